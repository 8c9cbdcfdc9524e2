"""The asyncio feed of a run's live results, which `framefan.client.connect` returns.

A feed has no task and no queue of its own. A caller that waits for a message or for the reply to a
command does one step at a time under one lock: one attempt to connect, or one message. Messages
that a command reads before its reply are kept for the iterator, in order.

Each step first acknowledges the messages before it (`connector.Line`). So the gateway knows how far
the loop is, and sends no faster than the loop reads.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from typing import TYPE_CHECKING, Any

from websockets.exceptions import ConnectionClosed

from framefan.base import clock
from framefan.client import address, connector, retry_rules
from framefan.client.position import Positions
from framefan.client.recovery import Recovery
from framefan.errors import ClientError, CommandFailed, Unreachable
from framefan.ipc.protocol import CommandError, Failure, Reply, Result, Resumed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
    from typing import Unpack

    from framefan.client.connector import Changes, ConnectOptions, Line
    from framefan.ipc.protocol import Message

REPLY_S = 10.0
_HELD_BYTES = 16 << 20
"""How many bytes of messages a command may keep while it waits for its reply: more than a gateway
has in transit."""


class Feed:
    """The feed that `connect` returns: an async iterator of `Result` and `Failure`.

    Iterating raises `Refused` for errors that a retry cannot fix, such as a wrong token or a camera
    that does not exist. After a temporary error the feed reconnects.
    """

    def __init__(self, asked: ConnectOptions) -> None:
        self._asked = asked
        self._positions = Positions()
        self._line: Line | None = None
        self._dialling = connector.Connector(asked)
        self._reading = asyncio.Lock()
        self._held: deque[tuple[Message, int]] = deque()
        self._held_bytes = 0
        self._numbers = itertools.count(1)
        self._waiting: dict[int, Reply | None] = {}
        self._told: CommandError | None = None
        self._recovery = Recovery(self._positions, asked.resume)
        self._over: ClientError | None = None
        self._closed = False

    # ---- state ------------------------------------------------------------------------------

    @property
    def missed(self) -> dict[str, dict[str, int]]:
        """How many results were not sent, by camera and cause (`framefan.ipc.protocol.CAUSES`).

        It is the sum of the counts in all messages, over all connections.
        """
        missed = self._positions.missed.copy()  # another thread may be counting
        return {camera: causes.copy() for camera, causes in missed.items()}

    @property
    def recovered(self) -> bool | None:
        """Whether the last reconnection recovered every result; None if there was none or it is
        not known yet.
        """
        return self._recovery.recovered

    @property
    def url(self) -> str:
        """The address that it connects to, without the query."""
        return self._asked.url

    @property
    def connected(self) -> bool:
        return self._line is not None

    @property
    def trouble(self) -> str:
        """Why it is not connected, in one line; empty while connected."""
        if self._line is not None:
            return ""
        return self._dialling.trouble or (self._over.what if self._over else "connecting")

    @property
    def contract(self) -> dict[str, Any]:
        """The current subscription, which each reconnection restores."""
        return dict(self._asked.subscription)

    # ---- reading ----------------------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[Result | Failure]:
        return self

    async def __anext__(self) -> Result | Failure:
        """The next outcome; StopAsyncIteration after `close`. Cancelling it loses no message."""
        while True:
            message = await self.next_message()
            if isinstance(message, Result | Failure):
                return message

    def messages(self) -> AsyncIterator[Message]:
        """All messages, also `Status`, `Gap`, `Resumed` and `Reply`."""
        return _Messages(self)

    async def next_message(self) -> Message:
        """The next of `messages`; raises Refused, and StopAsyncIteration after `close`."""
        while (message := self.next_held()) is None:
            if self._closed:
                raise StopAsyncIteration
            await self._step(lambda: bool(self._held))
        return message

    def next_held(self) -> Message | None:
        """The next of `messages` if it has already been read, else None."""
        if not self._held:
            return None
        message, size = self._held.popleft()
        self._held_bytes -= size
        return message

    async def _step(self, enough: Callable[[], bool]) -> None:
        """Connect once or read one message, unless `enough` is true once the lock is held."""
        async with self._reading:
            if enough() or self._closed:
                return
            if self._over is not None:
                raise self._over
            try:
                if self._line is None:
                    await self._open()
                else:
                    self._take(await self._line.next())
            except ConnectionClosed as error:
                self._lost(error)
            except ClientError as error:
                self._over = error
                raise

    def _take(self, data: str | bytes) -> None:
        message = connector.decode(data, self._asked.subscription["format"])
        if message is None or not self._positions.take(
            message, self._asked.subscription["cameras"]
        ):
            return
        if isinstance(message, Reply):
            self._replied(message)
            if self._knows_no_ack:
                return
        elif isinstance(message, Resumed):
            self._recovery.told(message)
        self._held.append((message, len(data)))
        self._held_bytes += len(data)

    # ---- connecting -------------------------------------------------------------------------

    async def _open(self) -> None:
        """One attempt, when it is due."""
        cameras, again = self._asked.subscription["cameras"], self._dialling.ever
        plain = address.asking(self._asked.url, self._asked.subscription, {})
        since = self._recovery.asks(cameras, len(plain))
        line = await self._dialling.attempt(since)
        if line is None:
            return
        self._line = line
        self._told = None
        if again:
            self._recovery.opened(since, cameras)

    @property
    def _knows_no_ack(self) -> bool:
        """Whether the gateway reported that it does not support acknowledgements."""
        return self._asked.subscription["ack"] is not None and retry_rules.is_of_ack(self._told)

    def _lost(self, error: ConnectionClosed) -> None:
        """Handle the end of a connection. Raises Refused if reconnecting would not help."""
        self._line = None
        if self._closed:
            return
        if self._knows_no_ack:
            self._asked.subscription["ack"] = None  # reconnect at once, without ack
            return
        refused = retry_rules.of_closing(self._asked.url, error, self._told)
        if refused is None:
            self._dialling.failed(error)
        else:
            self._over = refused
            raise refused from error

    async def open(self) -> None:
        """Wait for the first connection; `connect` does this."""
        while self._line is None:
            await self._step(lambda: self._line is not None)

    async def close(self) -> None:
        """Close the connection; `connect` does this. Messages already read stay iterable."""
        self._closed = True
        self._dialling.stop()
        line, self._line = self._line, None
        if line is not None:
            await line.leave()

    # ---- commands ---------------------------------------------------------------------------

    async def subscribe(
        self, *, timeout_s: float = REPLY_S, **changes: Unpack[Changes]
    ) -> dict[str, Any]:
        """Change the subscription: `cameras`, `delivery`, `max_fps`, `labels`, `min_confidence`,
        `nonempty` or `history`. Parameters not given keep their value; None: all, or no limit.

        Returns the complete new subscription. Raises CommandFailed when the gateway does not accept
        it, and TimeoutError when no reply has come within `timeout_s` seconds.
        """
        await self._ask("subscribe", connector.changes(changes), timeout_s)
        return self.contract

    async def unsubscribe(self, *cameras: str, timeout_s: float = REPLY_S) -> dict[str, Any]:
        """Stop receiving these cameras, or all; returns and raises like `subscribe`."""
        await self._ask("unsubscribe", {"cameras": list(cameras)} if cameras else {}, timeout_s)
        return self.contract

    async def ping(self, *, timeout_s: float = REPLY_S) -> float:
        """Round-trip time in seconds, including messages in transit. Raises like `subscribe`."""
        start = clock.now()
        await self._ask("ping", {}, timeout_s)
        return clock.now() - start

    async def _ask(self, command: str, fields: Mapping[str, Any], timeout_s: float) -> Reply:
        """Send the command, once on each connection, until the reply arrives."""
        number = next(self._numbers)
        said = {"id": number, command: fields}
        self._waiting[number] = None
        try:
            async with asyncio.timeout(timeout_s):
                reply = await self._answer(number, said)
        finally:
            del self._waiting[number]
        if isinstance(reply.error, CommandError):
            raise CommandFailed(reply.error.code, reply.error.message, reply.error.temporary)
        return reply

    async def _answer(self, number: int, said: Mapping[str, Any]) -> Reply:
        sent_on: Line | None = None

        def enough() -> bool:
            """Whether the reply is there, or the command must be sent again."""
            return self._waiting[number] is not None or self._line not in (None, sent_on)

        while (reply := self._waiting[number]) is None:
            line = self._line
            if line is not None and line is not sent_on:
                sent_on = line
                await line.send(said)
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
            subscription = self._asked.subscription
            subscription.update({name: told[name] for name in subscription if name in told})


class _Messages:
    def __init__(self, feed: Feed) -> None:
        self._feed = feed

    def __aiter__(self) -> AsyncIterator[Message]:
        return self

    def __anext__(self) -> Awaitable[Message]:
        return self._feed.next_message()
