"""A session: one client, from authentication to its last command.

1. If a token is set and the handshake did not have it, the client's first message must, in time.
2. The query of the URL is the first subscription. If it is invalid, the gateway says why and closes
   the connection.
3. After that the client may change its subscription by command. Commands are answered in order,
   between the results and in the client's format. An invalid command changes nothing.
"""

from __future__ import annotations

import asyncio
import hmac
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlsplit

from websockets.protocol import OPEN

from framefan.base import clock
from framefan.ipc import protobuf
from framefan.ipc.protocol import Reply
from framefan_gateway.connection import commands, options
from framefan_gateway.connection.connection import BAD_REQUEST
from framefan_gateway.connection.handshake import shorten_reason
from framefan_gateway.connection.options import Refusal
from framefan_gateway.delivery import wire
from framefan_gateway.delivery.subscription import ANEW
from framefan_gateway.http.web import shows_token

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from framefan.ipc.protocol import Status
    from framefan.settings.run import Settings
    from framefan_gateway.connection.commands import Command
    from framefan_gateway.connection.connection import ClientConnection
    from framefan_gateway.delivery.subscription import Opening

UNAUTHORIZED = 4401
_CHANGES = ("subscribe", "unsubscribe")
"""Commands that wait until the client's replays are finished."""


class SessionHost(Protocol):
    """What a session needs of its server."""

    settings: Settings

    def cameras(self) -> Collection[str]:
        """The names of all cameras."""

    def removal(self, camera: str) -> Status | None:
        """The status of a camera that is not in the state table; None before there is a table."""

    def on_authorized(self, connection: ClientConnection) -> None:
        """The client has authenticated, or needs no token."""


class Session:
    def __init__(self, host: SessionHost, connection: ClientConnection) -> None:
        self._host = host
        self._connection = connection
        self._handlers: dict[str, Callable[[Command], None]] = {
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
            "auth": self._auth,
            "ping": self._ping,
        }

    async def run(self) -> None:
        """Run until the client or the server closes the connection. Raises ConnectionClosed."""
        connection = self._connection
        if not await self._authenticate():
            return
        self._host.on_authorized(connection)
        assert connection.request is not None
        try:
            query = urlsplit(connection.request.path).query
            await _prepare("protobuf" if "protobuf" in query else None)
            if connection.protocol.state is not OPEN:  # closed meanwhile
                return
            subscription, opening, ack = options.parse_query(query, self._host.cameras())
        except Refusal as refusal:
            await self._refuse(None, refusal, BAD_REQUEST)
            return
        connection.crowd.join(clock.now())
        connection.join(subscription, self._with_removals(opening), ack)
        async for message in connection:
            await self._answer(message)

    # ---- authentication ---------------------------------------------------------------------

    async def _authenticate(self) -> bool:
        token, connection = self._host.settings.token.reveal(), self._connection
        assert connection.request is not None
        if not token or shows_token(connection.request.headers, token):
            return True
        try:
            async with asyncio.timeout(self._host.settings.limits.handshake_s):
                message = await connection.recv()
        except TimeoutError:
            await connection.close(UNAUTHORIZED, "no token came in time")
            return False
        try:
            command = commands.read(message, connection.subscription.format)
            self._check_token(command)
        except commands.NotACommand:
            await connection.close(UNAUTHORIZED, "the first message must be auth")
            return False
        except Refusal as refusal:
            await self._refuse(command.id, refusal, UNAUTHORIZED)
            return False
        await connection.send_first(_text(Reply(id=command.id, auth={})))
        return True

    def _check_token(self, command: Command) -> None:
        token = self._host.settings.token.reveal()
        if command.name != "auth":
            raise Refusal(options.UNAUTHORIZED, "the first message must be auth")
        guess = command.options.get("token")
        if not isinstance(guess, str) or set(command.options) != {"token"}:
            raise Refusal(options.BAD_VALUE, 'auth is {"token": TOKEN}')
        if token and not hmac.compare_digest(guess.encode(), token.encode()):
            raise Refusal(options.UNAUTHORIZED, "this is not the token")

    async def _refuse(self, number: commands.Id, refusal: Refusal, code: int) -> None:
        connection = self._connection
        await connection.send(_text(commands.refuse(number, refusal)))
        await connection.close(code, shorten_reason(refusal.message))

    # ---- commands ---------------------------------------------------------------------------

    async def _answer(self, message: str | bytes) -> None:
        fmt, binary = self._connection.subscription.format, isinstance(message, bytes)
        count = commands.parse_ack(_bytes(message), fmt, binary=binary)
        if count is not None and self._connection.ack is not None:
            self._connection.acknowledge(count)  # fragmented, or not new
            return
        try:
            command = commands.read(message, fmt, acks=self._connection.ack is not None)
        except commands.NotACommand as error:
            self._reply(error.reply)
            return
        await _prepare(command.options.get("format"))
        if command.name in _CHANGES:
            await self._connection.wait_replayed()
        try:
            self._handlers[command.name](command)
        except Refusal as refusal:
            self._reply(commands.refuse(command.id, refusal))

    def _reply(self, reply: Reply) -> None:
        connection = self._connection
        connection.send_reply(wire.body(reply, connection.subscription.format))

    def _subscribe(self, command: Command) -> None:
        connection = self._connection
        cameras, before = self._host.cameras(), connection.subscription
        subscription, opening, ack = options.subscribe(
            before, command.options, cameras, connection.ack
        )
        reply = Reply(id=command.id, subscribe=subscription.to_dict() | {"ack": ack})
        connection.switch(
            subscription,
            self._with_removals(opening),
            ack,
            wire.body(reply, subscription.format),
        )

    def _with_removals(self, opening: Opening) -> Opening:
        """`opening` with the status of each camera that does not exist."""
        statuses = {camera: self._host.removal(camera) for camera in opening.unknown}
        return opening._replace(unknown=statuses)

    def _unsubscribe(self, command: Command) -> None:
        connection = self._connection
        subscription = options.unsubscribe(
            connection.subscription, command.options, self._host.cameras()
        )
        ack = connection.ack
        reply = Reply(id=command.id, unsubscribe=subscription.to_dict() | {"ack": ack})
        connection.switch(subscription, ANEW, ack, wire.body(reply, subscription.format))

    def _auth(self, command: Command) -> None:
        self._check_token(command)
        self._reply(Reply(id=command.id, auth={}))

    def _ping(self, command: Command) -> None:
        for name in command.options:
            raise Refusal(
                options.UNKNOWN_OPTION, f'ping takes no options, not "{options.shorten(name)}"'
            )
        self._reply(Reply(id=command.id, ping={"ts": round(clock.wall(), 3)}))


async def _prepare(fmt: object) -> None:
    """Import what the format needs in a thread, so that the event loop is not blocked."""
    if fmt == "protobuf" and not protobuf.is_loaded():
        await asyncio.to_thread(protobuf.is_usable)


def _text(reply: Reply) -> str:
    """A reply in JSON, for a client that has no subscription and so no format yet."""
    return wire.body(reply, "json").data.decode()


def _bytes(message: str | bytes) -> bytes:
    return message.encode() if isinstance(message, str) else message
