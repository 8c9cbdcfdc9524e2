"""The live results of a run, from Python: typed, in order, and again after every interruption.

    from framefan.client import connect

    async with connect() as feed:
        async for result in feed:
            print(result.camera, result.seq, result.detections)

A feed has no task and no queue of its own. Whoever waits for something, a message or the answer to
a command, does one step at a time under one lock: one attempt to connect, or one message. So what
is not read stays in the socket, where the gateway sees that this client is slow, and leaving the
context leaves nothing behind. What a command reads past while it waits for its answer is held for
the iterator, in order.

After an interruption it comes back by itself, with waits that grow, says how far it had come in
each camera, and goes on from there: nothing comes twice, and nothing that the gateway still has is
left out. `recovered` tells whether that was all, `missed` how much was not sent, and why.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import deque
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import UNSET, UnsetType
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from framefan import address, clock, dial, refusal
from framefan.errors import ClientError, CommandFailed, Refused, Unreachable
from framefan.position import Positions
from framefan.protocol import CommandError, Failure, Reply, Result, Resumed
from framefan.recovery import Recovery

if TYPE_CHECKING:
    import ssl as tls
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
    from types import TracebackType

    from framefan.dial import Asked
    from framefan.protocol import Delivery, Format, Message

__all__ = ["ClientError", "CommandFailed", "Feed", "Refused", "Unreachable", "connect"]

REPLY_S = 10.0
_HELD_BYTES = 16 << 20
"""What a command may read past before it gives up: more than a gateway has on the way."""


class Feed:
    """What `connect` gives: an async iterator of `Result` and `Failure`, the two outcomes.

    Iterating raises `Refused` when the gateway says no, and would again: a wrong token, a camera
    that does not exist. What passes by itself is waited for.
    """

    def __init__(self, asked: Asked) -> None:
        self._asked = asked
        self._positions = Positions()
        self._line: ClientConnection | None = None
        self._dialling = dial.Attempts(asked)
        self._reading = asyncio.Lock()
        self._held: deque[tuple[Message, int]] = deque()
        self._held_bytes = 0
        self._numbers = itertools.count(1)
        self._waiting: dict[int, Reply | None] = {}
        self._told: CommandError | None = None
        self._recovery = Recovery(self._positions, asked.resume)
        self._over: ClientError | None = None
        self._closed = False

    # ---- what it tells ----------------------------------------------------------------------

    @property
    def missed(self) -> dict[str, dict[str, int]]:
        """How many results were not sent, by camera and cause (`framefan.protocol.CAUSES`).

        The sum of what the messages said, over all connections: exact, as far as told.
        """
        return {camera: dict(causes) for camera, causes in self._positions.missed.items()}

    @property
    def recovered(self) -> bool | None:
        """Whether the last reconnection left nothing out; None before, or while not told yet."""
        return self._recovery.recovered

    @property
    def url(self) -> str:
        """Where it connects to, without what is asked for."""
        return self._asked.url

    @property
    def connected(self) -> bool:
        return self._line is not None

    @property
    def trouble(self) -> str:
        """Why it is not connected, in one line; empty while it is."""
        if self._line is not None:
            return ""
        return self._dialling.trouble or (self._over.what if self._over else "connecting")

    @property
    def contract(self) -> dict[str, Any]:
        """What is asked for now; restored after each reconnection."""
        return dict(self._asked.contract)

    # ---- reading ----------------------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[Result | Failure]:
        return self

    async def __anext__(self) -> Result | Failure:
        """The next outcome; StopAsyncIteration after `close`. Nothing is lost by cancelling it."""
        while True:
            message = await self.next_message()
            if isinstance(message, Result | Failure):
                return message

    def messages(self) -> AsyncIterator[Message]:
        """Everything, typed: also `Status`, `Gap`, `Resumed` and `Reply`."""
        return _Messages(self)

    async def next_message(self) -> Message:
        """The next of `messages`; raises Refused, and StopAsyncIteration after `close`."""
        while not self._held:
            if self._closed:
                raise StopAsyncIteration
            await self._step(lambda: bool(self._held))
        message, size = self._held.popleft()
        self._held_bytes -= size
        return message

    async def _step(self, enough: Callable[[], bool]) -> None:
        """Connect once or read one message, unless there is `enough` when the turn has come."""
        async with self._reading:
            if enough() or self._closed:
                return
            if self._over is not None:
                raise self._over
            try:
                if self._line is None:
                    await self._open()
                else:
                    self._take(await self._line.recv())
            except ConnectionClosed as error:
                self._lost(error)
            except ClientError as error:
                self._over = error
                raise

    def _take(self, data: str | bytes) -> None:
        message = dial.decode(data)
        if message is None or not self._positions.take(message, self._asked.contract["cameras"]):
            return
        if isinstance(message, Reply):
            self._replied(message)
        elif isinstance(message, Resumed):
            self._recovery.told(message)
        self._held.append((message, len(data)))
        self._held_bytes += len(data)

    # ---- connecting -------------------------------------------------------------------------

    async def _open(self) -> None:
        """One attempt, when it is due."""
        cameras, again = self._asked.contract["cameras"], self._dialling.ever
        since = self._recovery.asks(cameras)
        line = await self._dialling.attempt(since)
        if line is None:
            return
        self._line = line
        self._told = None
        if again:
            self._recovery.opened(since, cameras)

    def _lost(self, error: ConnectionClosed) -> None:
        """Raises Refused when there is no coming back."""
        self._line = None
        if self._closed:
            return
        refused = refusal.of_closing(self._asked.url, error, self._told)
        if refused is None:
            self._dialling.failed(error)
        else:
            self._over = refused
            raise refused from error

    async def open(self) -> None:
        """Until the first connection stands; `connect` does this."""
        while self._line is None:
            await self._step(lambda: self._line is not None)

    async def close(self) -> None:
        """Say goodbye to the gateway; `connect` does this. What was read may still be iterated."""
        self._closed = True
        self._dialling.stop()
        line, self._line = self._line, None
        if line is not None:
            await dial.leave(line)

    # ---- commands ---------------------------------------------------------------------------

    async def subscribe(
        self,
        *,
        cameras: Iterable[str] | str | UnsetType | None = UNSET,
        delivery: Delivery | UnsetType = UNSET,
        max_fps: float | UnsetType | None = UNSET,
        labels: Iterable[str] | str | UnsetType | None = UNSET,
        min_confidence: float | UnsetType = UNSET,
        nonempty: bool | UnsetType = UNSET,
        history: int | UnsetType = UNSET,
        timeout_s: float = REPLY_S,
    ) -> dict[str, Any]:
        """Ask for something else; what is not named stays. None: all of them, or no limit.

        Answers the whole contract from here on. Raises CommandFailed when the gateway does not
        accept it, and TimeoutError when no answer has come within `timeout_s` seconds.
        """
        named = {
            "cameras": dial.names(cameras),
            "delivery": delivery,
            "max_fps": max_fps,
            "labels": dial.names(labels),
            "min_confidence": min_confidence,
            "nonempty": nonempty,
            "history": history,
        }
        changes = {name: value for name, value in named.items() if value is not UNSET}
        await self._ask("subscribe", changes, timeout_s)
        return self.contract

    async def unsubscribe(self, *cameras: str, timeout_s: float = REPLY_S) -> dict[str, Any]:
        """Hear no more of these cameras, or of any; answers and raises as `subscribe`."""
        await self._ask("unsubscribe", {"cameras": list(cameras)} if cameras else {}, timeout_s)
        return self.contract

    async def ping(self, *, timeout_s: float = REPLY_S) -> float:
        """Seconds there and back, behind whatever is on its way here. Raises as `subscribe`."""
        start = clock.now()
        await self._ask("ping", {}, timeout_s)
        return clock.now() - start

    async def _ask(self, command: str, fields: Mapping[str, Any], timeout_s: float) -> Reply:
        """Send it, once on each connection, until it is answered."""
        number = next(self._numbers)
        text = msgspec.json.encode({"id": number, command: fields}).decode()
        self._waiting[number] = None
        try:
            async with asyncio.timeout(timeout_s):
                reply = await self._answer(number, text)
        finally:
            del self._waiting[number]
        if isinstance(reply.error, CommandError):
            raise CommandFailed(reply.error.code, reply.error.message, reply.error.temporary)
        return reply

    async def _answer(self, number: int, text: str) -> Reply:
        sent_on: ClientConnection | None = None

        def enough() -> bool:
            """It is there, or is to be asked for anew."""
            return self._waiting[number] is not None or self._line not in (None, sent_on)

        while (reply := self._waiting[number]) is None:
            line = self._line
            if line is not None and line is not sent_on:
                sent_on = line
                with contextlib.suppress(ConnectionClosed):  # whoever reads next is told
                    await line.send(text)
            await self._step(enough)
            self._check_patience()
        return reply

    def _check_patience(self) -> None:
        if self._closed:
            raise Unreachable("the feed was closed before the answer came")
        if self._held_bytes > _HELD_BYTES:
            raise TimeoutError(f"no answer within {_HELD_BYTES >> 20} MiB of results")

    def _replied(self, reply: Reply) -> None:
        if isinstance(reply.id, int) and reply.id in self._waiting:
            self._waiting[reply.id] = reply
        elif isinstance(reply.error, CommandError):
            self._told = reply.error
        told = reply.subscribe or reply.unsubscribe
        if isinstance(told, dict):
            contract = self._asked.contract
            contract.update({name: told[name] for name in contract if name in told})


class _Messages:
    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    def __anext__(self) -> Awaitable[Message]:
        return self._feed.next_message()


class connect:  # noqa: N801 - called like a function, as its namesake in websockets
    """A live feed: `async with connect(...) as feed`, or simply `async for result in connect(...)`.

    `url`: ws://, wss://, http://, https:// or HOST:PORT. `cameras` and `labels`: one name or
    several; None: all. `delivery`: "latest", the newest of each camera, or "every", all of them in
    order. `max_fps`: results a second of each camera. `min_confidence`: from 0 to 1. `nonempty`:
    only results in which something was seen. `history`: so many of each camera's last results
    come first; None: one. `token`: the run's, sent as a header.

    `format`: MessagePack takes about a quarter less time to decode here than JSON, in as many
    bytes; JSON is there to be looked at on the wire. The records are the same.

    `resume`: go on after each interruption where it came, instead of with the newest.
    `connect_s`: seconds until the first connection must stand; 0: one attempt; None: however long
    it takes. Once connected it comes back for ever, after waits drawn from nothing to
    `backoff_first_s`, doubling up to `backoff_cap_s`, in seconds.

    Raises UsageError for an unusable address; entering it raises `Refused` when trying again would
    not help, and `Unreachable` after `connect_s`.

    A loop that takes longer than 5 s for one result is cut off as stalled, and then resumed behind
    the times: ask for fewer with `max_fps`.
    """

    def __init__(
        self,
        url: str = address.DEFAULT,
        *,
        cameras: Iterable[str] | str | None = None,
        delivery: Delivery = "latest",
        max_fps: float | None = None,
        labels: Iterable[str] | str | None = None,
        min_confidence: float | None = None,
        nonempty: bool = False,
        history: int | None = None,
        token: str | None = None,
        format: Format = "msgpack",  # noqa: A002 - the protocol's name for it
        resume: bool = True,
        ssl: tls.SSLContext | None = None,
        connect_s: float | None = None,
        backoff_first_s: float = 0.5,
        backoff_cap_s: float = 30.0,
    ) -> None:
        contract = {
            "cameras": dial.names(cameras),
            "delivery": delivery,
            "max_fps": max_fps,
            "labels": dial.names(labels),
            "min_confidence": min_confidence,
            "nonempty": nonempty,
            "history": history,
            "format": format,
        }
        self._asked = dial.Asked(
            url=address.websocket(url, tls=ssl is not None),
            contract=contract,
            token=token,
            resume=resume,
            ssl=ssl,
            connect_s=connect_s,
            backoff_first_s=backoff_first_s,
            backoff_cap_s=backoff_cap_s,
        )
        self._feed: Feed | None = None

    async def __aenter__(self) -> Feed:
        if self._feed is not None:
            raise RuntimeError("this connect() is in use; call connect() again")
        feed = self._feed = Feed(self._asked.copy())
        try:
            await feed.open()
        except BaseException:  # a cancellation too: nothing may stay open
            await self.__aexit__(None, None, None)
            raise
        return feed

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        feed, self._feed = self._feed, None
        if feed is not None:
            await feed.close()

    async def __aiter__(self) -> AsyncIterator[Result | Failure]:
        async with self as feed:
            async for outcome in feed:
                yield outcome
