"""The live results of a run, from Python: typed, in order, and again after every interruption.

    from framefan.client import connect_sync

    with connect_sync() as feed:
        for result in feed:
            print(result.camera, result.seq, result.detections)

and where there are coroutines:

    from framefan.client import connect

    async with connect() as feed:
        async for result in feed:
            ...

A message is acknowledged when the loop asks for the next one. So the gateway knows how quick the
loop is, and what comes meanwhile waits there, where it can still be replaced by something newer.

After an interruption it comes back by itself, with waits that grow, says how far it had come in
each camera, and goes on from there: nothing comes twice, and nothing that the gateway still has is
left out. `recovered` tells whether that was all, `missed` how much was not sent, and why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from framefan.client import address, connector
from framefan.client.live_feed import Feed
from framefan.client.sync_feed import SyncFeed
from framefan.errors import ClientError, CommandFailed, Refused, Unreachable, UsageError
from framefan.ipc import protobuf

if TYPE_CHECKING:
    import ssl as tls
    from collections.abc import AsyncIterator, Iterable, Iterator
    from types import TracebackType

    from framefan.ipc.protocol import Delivery, Failure, Format, Result

__all__ = [
    "ClientError",
    "CommandFailed",
    "Feed",
    "Refused",
    "SyncFeed",
    "Unreachable",
    "connect",
    "connect_sync",
]


class _Connect:
    """What is asked for, by the one way to wait or the other."""

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
        ack: int | Literal["auto"] | None = "auto",
        token: str | None = None,
        format: Format = "msgpack",  # noqa: A002 - the protocol's name for it
        resume: bool = True,
        ssl: tls.SSLContext | None = None,
        connect_s: float | None = None,
        backoff_first_s: float = 0.5,
        backoff_cap_s: float = 30.0,
    ) -> None:
        """`url`: ws://, wss://, http://, https:// or HOST:PORT. `cameras` and `labels`: one name
        or several; None: all. `delivery`: "latest", the newest of each camera, or "every", all of
        them in order. `max_fps`: results a second of each camera. `min_confidence`: from 0 to 1.
        `nonempty`: only results in which something was seen. `history`: so many of each camera's
        last results come first; None: one. `token`: the run's, sent as a header.

        `ack`: messages that the gateway may send ahead of the loop, from 1 to 1000; "auto": as many
        as keep the loop busy; None: as many as the network takes. A gateway that is too old to know
        of it is asked again without, once.

        `format`: MessagePack decodes here in a quarter less time than JSON. Protocol Buffers take
        half the bytes and ten times as long to decode; they need `framefan[protobuf]`, here and at
        the gateway.

        `resume`: go on after each interruption where it came, instead of with the newest.
        `connect_s`: seconds until the first connection must stand; 0: one attempt; None: however
        long it takes. Once connected it comes back for ever, after waits drawn from nothing to
        `backoff_first_s`, doubling up to `backoff_cap_s`, in seconds.

        Raises UsageError for an unusable address or format; entering it raises `Refused` when
        trying again would not help, and `Unreachable` after `connect_s`.
        """
        _check_format(format)
        contract = {
            "cameras": connector.names(cameras),
            "delivery": delivery,
            "max_fps": max_fps,
            "labels": connector.names(labels),
            "min_confidence": min_confidence,
            "nonempty": nonempty,
            "history": history,
            "ack": _checked(ack),
            "format": format,
        }
        where, waits = address.websocket(url, tls=ssl is not None), (backoff_first_s, backoff_cap_s)
        self._asked = connector.ConnectOptions(
            where, contract, token, resume, ssl, connect_s, *waits
        )


def _checked(ack: int | Literal["auto"] | None) -> int | Literal["auto"] | None:
    """Raises UsageError for what no gateway takes."""
    if ack is None or ack == "auto" or (type(ack) is int and 1 <= ack <= 1000):
        return ack
    raise UsageError(
        f"ack={ack!r} is not possible", "it is 1 to 1000, 'auto' or None", "leave it out for 'auto'"
    )


def _check_format(wanted: Format) -> None:
    """Raises UsageError for a format that this machine cannot read."""
    if wanted == "protobuf" and not protobuf.is_usable():
        raise UsageError(
            "format=protobuf needs the package protobuf", "it is not installed", protobuf.INSTALL
        )


class connect(_Connect):  # noqa: N801 - called like a function, as its namesake in websockets
    """A live feed: `async with connect(...) as feed`, or simply `async for result in connect(...)`.

    A loop that blocks its thread for longer than a minute, and awaits nothing, cannot answer the
    gateway's pings. It is disconnected, and resumed when it goes on; `connect_sync` is not.
    """

    _feed: Feed | None = None

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


class connect_sync(_Connect):  # noqa: N801 - as above
    """A live feed without coroutines: `with connect_sync(...) as feed`, or simply
    `for result in connect_sync(...)`. It takes and raises what `connect` does.

    A thread keeps the connection alive however long the loop takes for one result.
    """

    _feed: SyncFeed | None = None

    def __enter__(self) -> SyncFeed:
        if self._feed is not None:
            raise RuntimeError("this connect_sync() is in use; call connect_sync() again")
        feed = self._feed = SyncFeed(Feed(self._asked.copy()))
        try:
            feed.open()
        except BaseException:  # Ctrl-C too: nothing may stay open
            self.__exit__(None, None, None)
            raise
        return feed

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        feed, self._feed = self._feed, None
        if feed is not None:
            feed.close()

    def __iter__(self) -> Iterator[Result | Failure]:
        with self as feed:
            yield from feed
