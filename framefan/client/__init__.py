"""Python client for the live results of a run: typed, in order, and resumed after interruptions.

    from framefan.client import connect_sync

    with connect_sync() as feed:
        for result in feed:
            print(result.camera, result.seq, result.detections)

and with asyncio:

    from framefan.client import connect

    async with connect() as feed:
        async for result in feed:
            ...

The client acknowledges a message when the loop asks for the next one. So the gateway knows how fast
the loop is. Newer results wait in the gateway, where a still newer one can replace them.

After an interruption the client reconnects with growing waits, sends its position in each camera,
and resumes there. No result comes twice, and none that the gateway still has is left out.
`recovered` says whether all results were recovered; `missed` counts the unsent results by cause.
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
    """The parameters of `connect` and `connect_sync`."""

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
        or several; None: all. `delivery`: "latest", the newest result of each camera, or "every",
        all results in order. `max_fps`: results per second for each camera. `min_confidence`: from
        0 to 1. `nonempty`: leave out results without detections and empty values. `history`: how
        many of each camera's last results are sent first; None: one. `token`: the run's token, sent
        as a header.

        `ack`: how many messages the gateway may send ahead of the loop, from 1 to 1000; "auto": as
        many as keep the loop busy; None: as many as the network accepts. If the gateway is too old
        for `ack`, the client reconnects once without it.

        `format`: MessagePack takes a quarter less time to decode than JSON. Protocol Buffers take
        half the bytes and ten times as long to decode; they need `framefan[protobuf]`, in the
        client and in the gateway.

        `resume`: after an interruption, continue where it occurred instead of with the newest
        result. `connect_s`: the seconds within which the first connection must succeed; 0: one
        attempt; None: no limit. Once connected, the client reconnects without limit. Each wait is
        random, from zero to a ceiling that doubles from `backoff_first_s` to `backoff_cap_s`.

        Raises UsageError for an unusable address or format. Entering the context raises `Refused`
        when trying again would not help, and `Unreachable` after `connect_s`.
        """
        _check_format(format)
        subscription = {
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
            where, subscription, token, resume, ssl, connect_s, *waits
        )


def _checked(ack: int | Literal["auto"] | None) -> int | Literal["auto"] | None:
    """Raises UsageError for a value that no gateway accepts."""
    if ack is None or ack == "auto" or (type(ack) is int and 1 <= ack <= 1000):
        return ack
    raise UsageError(
        f"ack={ack!r} is not possible", "it is 1 to 1000, 'auto' or None", "leave it out for 'auto'"
    )


def _check_format(wanted: Format) -> None:
    """Raises UsageError for a format that this installation cannot decode."""
    if wanted == "protobuf" and not protobuf.is_usable():
        raise UsageError(
            "format=protobuf needs the package protobuf", "it is not installed", protobuf.INSTALL
        )


class connect(_Connect):  # noqa: N801 - called like a function, as its namesake in websockets
    """A live feed: `async with connect(...) as feed`, or simply `async for result in connect(...)`.

    A loop that blocks its thread for more than a minute without an await cannot answer the
    gateway's pings. It is disconnected, and resumes when it continues. `connect_sync` has no such
    limit.
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
    """A live feed without asyncio: `with connect_sync(...) as feed`, or simply
    `for result in connect_sync(...)`. It has the parameters and errors of `connect`.

    A thread keeps the connection alive, however long the loop takes for one result.
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
