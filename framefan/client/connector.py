"""A client's connections: attempts to connect, one at a time, and the messages that arrive."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Any, TypedDict
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET, Struct
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_websocket
from websockets.exceptions import ConcurrencyError, ConnectionClosed, WebSocketException
from websockets.protocol import OPEN

from framefan.base import clock, net
from framefan.base.backoff import Backoff
from framefan.client import address, retry_rules
from framefan.errors import Refused, Unreachable
from framefan.ipc import protobuf
from framefan.ipc.protocol import Message

if TYPE_CHECKING:
    import ssl as tls
    from collections.abc import Iterable, Mapping

    from framefan.client.position import Position
    from framefan.ipc.protocol import Delivery, Format

_MESSAGE_BYTES = 4 << 20
"""More than the largest result (256 KiB) in its longest encoding."""
_QUEUE = 1
"""Messages that websockets buffers before it stops reading. It is small, because results that wait
in the gateway can still be replaced by newer ones."""
_QUEUE_WITH_ACK = 1000
"""The same with acknowledgements, which limit the gateway to 1,000 messages ahead. Reading then
never stops, so pings are answered however long a handler takes for one message."""
_PING_S = 20.0
_PONG_S = 40.0
"""Together one minute, after which a gateway also closes a silent client. A handler that blocks the
event loop for less than `_PONG_S` cannot make the gateway look unresponsive."""
_OPEN_S = 10.0
_HEALTHY_S = 10.0
"""A connection that lasted this long resets the backoff."""
_FAREWELL_S = 2.0

_log = logging.getLogger("framefan.client")
_json = msgspec.json.Decoder(Message)
_msgpack = msgspec.msgpack.Decoder(Message)
_PICTURE = b"\0"
"""The first byte of a picture message, part of its length. No MessagePack map and no message in
Protocol Buffers begins with it."""


class Changes(TypedDict, total=False):
    """The parameters that `subscribe` can change."""

    cameras: Iterable[str] | str | None
    delivery: Delivery
    max_fps: float | None
    labels: Iterable[str] | str | None
    min_confidence: float | None
    nonempty: bool
    history: int


def changes(named: Mapping[str, Any]) -> dict[str, Any]:
    """The changes as a command encodes them. Raises TypeError for an unknown parameter."""
    unknown = ", ".join(named.keys() - Changes.__annotations__.keys())
    if unknown:
        raise TypeError(f"subscribe has no {unknown}")
    found = {name: value for name, value in named.items() if value is not UNSET}
    return found | {name: names(found[name]) for name in ("cameras", "labels") if name in found}


class ConnectOptions(Struct):
    """The parameters of `connect`. A `subscribe` command changes `subscription`."""

    url: str
    subscription: dict[str, Any]
    token: str | None
    resume: bool
    ssl: tls.SSLContext | None
    connect_s: float | None
    backoff_first_s: float
    backoff_cap_s: float

    def copy(self) -> ConnectOptions:
        return msgspec.structs.replace(self, subscription=dict(self.subscription))


def names(asked: Iterable[str] | str | None) -> list[str] | None:
    """A list of names; a single name becomes a list."""
    if asked is None:
        return None
    return [asked] if isinstance(asked, str) else list(asked)


class Line:
    """One connection, and how many of its messages are acknowledged.

    A reader that asks for the next message has processed or stored all earlier ones. So they are
    acknowledged at that moment, each of them, whatever its type.
    """

    def __init__(self, connection: ClientConnection, subscription: Mapping[str, Any]) -> None:
        self._connection = connection
        self._acks = subscription["ack"] is not None
        self.format: Format = subscription["format"]
        self._received = 0
        self._acknowledged = 0

    async def next(self) -> str | bytes:
        """The next message. Raises ConnectionClosed. Cancelling it loses no message."""
        self._acknowledge()
        data = await self._connection.recv()
        self._received += 1
        return data

    def _acknowledge(self) -> None:
        """Send the number of received messages, without waiting.

        The `send` of websockets would wait while the network accepts no data, so we bypass it. The
        unsent data stays small: there is one acknowledgement per message, and a gateway that gets
        none stops sending. If the connection has ended, `recv` reports it.
        """
        protocol = self._connection.protocol
        if not self._acks or self._acknowledged == self._received or protocol.state is not OPEN:
            return
        self._acknowledged = self._received
        message = {"ack": self._received}
        if self.format == "protobuf":
            protocol.send_binary(protobuf.encode_command(message))
        elif self.format == "msgpack":
            protocol.send_binary(msgspec.msgpack.encode(message))
        else:
            protocol.send_text(msgspec.json.encode(message))
        self._connection.send_data()

    async def send(self, command: Mapping[str, Any]) -> None:
        """Send a command. If the connection has ended, do nothing: the next read reports it."""
        protobufs = self.format == "protobuf"
        data = protobuf.encode_command(command) if protobufs else _text(command)
        with contextlib.suppress(ConnectionClosed):
            await self._connection.send(data)

    async def leave(self) -> None:
        """Close the connection with a closing handshake, within two seconds."""
        line = self._connection
        farewell = asyncio.ensure_future(line.close())
        try:
            # Otherwise reading may pause before it reaches the gateway's close frame.
            with contextlib.suppress(ConnectionClosed, ConcurrencyError):
                while True:
                    await line.recv()
            await farewell
        finally:
            if not farewell.done():
                line.transport.abort()
                await farewell


class Connector:
    """Makes the attempts to connect: when the next is due, and why the last failed."""

    def __init__(self, asked: ConnectOptions) -> None:
        self._asked = asked
        self._backoff = Backoff(asked.backoff_first_s, asked.backoff_cap_s, _HEALTHY_S)
        self._due = clock.now()
        self._deadline = None if asked.connect_s is None else self._due + asked.connect_s
        self._opened_at: float | None = None
        self.ever = False
        """Whether a connection has ever been open."""
        self.trouble = ""
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """Make no more attempts; an attempt that is still waiting returns at once."""
        self._stopped.set()

    async def attempt(self, since: Mapping[str, Position]) -> Line | None:
        """Wait until the next attempt is due, and try once. None if it failed, or after `stop`.

        Raises Refused when another attempt would fail in the same way, and Unreachable when the
        time for the first connection is over.
        """
        if (wait := self._due - clock.now()) > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), wait)
        if self._stopped.is_set():
            return None
        try:
            line = await _open(self._asked, since)
        except (OSError, WebSocketException) as error:
            refused = retry_rules.of_opening(self._asked.url, error)
            if refused is not None:
                raise refused from error
            self.failed(error)
            return None
        if self._stopped.is_set():
            await line.leave()
            return None
        await _ask_for_nothing(line, self._asked.subscription)
        if self.trouble:
            _log.info("connected to %s again", self._asked.url)
        self.ever = True
        self.trouble = ""
        self._opened_at = clock.now()
        return line

    def failed(self, error: Exception) -> None:
        """A connection ended, or an attempt failed. Raises Unreachable after the last attempt."""
        now, why = clock.now(), retry_rules.shortly(error)
        lasted_s = 0.0 if self._opened_at is None else now - self._opened_at
        self._opened_at = None
        wait = self._backoff.failed(lasted_s)
        url = self._asked.url
        if not self.ever and self._deadline is not None and now + wait > self._deadline:
            fix = retry_rules.advice(url, error)
            raise Unreachable(f"no connection to {url}", why, fix) from error
        level = logging.INFO if self.trouble else logging.WARNING  # warn once per outage
        _log.log(level, "no connection to %s (%s); next try in %.1f s", url, why, wait)
        self.trouble = why
        self._due = now + wait


async def _open(asked: ConnectOptions, since: Mapping[str, Position]) -> Line:
    url = address.asking(asked.url, asked.subscription, since)
    headers = {"Authorization": f"Bearer {asked.token}"} if asked.token else None
    options: dict[str, Any] = {"ssl": asked.ssl} if asked.ssl is not None else {}
    local = net.is_loopback(urlsplit(url).hostname or "")
    try:
        connection = await open_websocket(
            url,
            additional_headers=headers,
            compression=None,
            proxy=None if local else True,
            max_size=_MESSAGE_BYTES,
            max_queue=_QUEUE if asked.subscription["ack"] is None else _QUEUE_WITH_ACK,
            ping_interval=_PING_S,
            ping_timeout=_PONG_S,
            open_timeout=_OPEN_S,
            close_timeout=_FAREWELL_S,
            **options,
        )
    except UnicodeError as error:  # raised for an invalid host name
        raise Refused(f"{asked.url} has no valid host", str(error), "check the address") from error
    return Line(connection, asked.subscription)


async def _ask_for_nothing(line: Line, subscription: Mapping[str, Any]) -> None:
    """Subscribe to no camera or no label by a command: an address cannot express that."""
    empty = {name: value for name, value in subscription.items() if value == []}
    if empty:
        await line.send({"subscribe": empty})


def _text(command: Mapping[str, Any]) -> str:
    return msgspec.json.encode(command).decode()


class _Typed(Struct):
    type: str = ""


def decode(data: str | bytes, fmt: Format) -> Message | None:
    """The message; None for one of an unknown type, or for a preview, which repeats a result.
    Raises Refused for data that is no message.
    """
    if isinstance(data, bytes) and data.startswith(_PICTURE):
        return None
    try:
        if fmt == "protobuf" and isinstance(data, bytes):
            return protobuf.decode(data)
        return _decoded(data)
    except msgspec.ValidationError:
        kind = _kind(data, fmt)
    except (msgspec.DecodeError, protobuf.Garbled, RecursionError) as error:
        raise _garbled(str(error)) from error
    if kind in ("result", "error"):
        raise _garbled(f"a message of type {kind} has missing or invalid fields")
    return None


def _decoded(data: str | bytes) -> Message:
    found: Message = _json.decode(data) if isinstance(data, str) else _msgpack.decode(data)
    return found


def _kind(data: str | bytes, fmt: Format) -> str | None:
    try:
        if isinstance(data, str):
            return msgspec.json.decode(data, type=_Typed).type
        if fmt == "protobuf":
            return protobuf.kind(data)
        return msgspec.msgpack.decode(data, type=_Typed).type
    except msgspec.ValidationError as error:
        raise _garbled(str(error)) from error


def _garbled(why: str) -> Refused:
    return Refused("the server sent no valid message of framefan", why, "check the address")
