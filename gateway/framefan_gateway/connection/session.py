"""A session: one client's conversation, from who it is to what it asks for next.

1. Where a token is set and the handshake did not show it, the client's first message must, in time.
2. The query of its address says what it gets from the first second; what is wrong with it is said,
   and the connection closed.
3. From then on it may change that by command. Each command is answered in its turn between the
   results, in the client's own format, and a wrong one changes nothing.
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
from framefan_gateway.connection.options import Refusal
from framefan_gateway.delivery import wire
from framefan_gateway.delivery.subscription import ANEW
from framefan_gateway.http.web import shows_token

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from framefan.settings.run import Settings
    from framefan_gateway.connection.commands import Command
    from framefan_gateway.connection.connection import ClientConnection

UNAUTHORIZED = 4401
_CHANGES = ("subscribe", "unsubscribe")
"""Commands that have to wait until the client's past has been replayed."""
_REASON_BYTES = 123
"""As long as the reason of a close may be."""


class SessionHost(Protocol):
    """What a session needs of its server."""

    settings: Settings

    def cameras(self) -> Collection[str]:
        """The names of all cameras there are."""

    def authorized(self, connection: ClientConnection) -> None:
        """This client has shown that it may be here."""


class Session:
    def __init__(self, desk: SessionHost, connection: ClientConnection) -> None:
        self._desk = desk
        self._connection = connection
        self._does: dict[str, Callable[[Command], None]] = {
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
            "auth": self._auth,
            "ping": self._ping,
        }

    async def run(self) -> None:
        """Until the client or the server ends it. Raises ConnectionClosed."""
        connection = self._connection
        if not await self._admitted():
            return
        self._desk.authorized(connection)
        assert connection.request is not None
        try:
            query = urlsplit(connection.request.path).query
            await _prepare("protobuf" if "protobuf" in query else None)
            if connection.protocol.state is not OPEN:  # it has gone meanwhile
                return
            subscription, opening, ack = options.by_query(query, self._desk.cameras())
        except Refusal as refusal:
            await self._refuse(None, refusal, BAD_REQUEST)
            return
        connection.join(subscription, opening, ack)
        async for message in connection:
            await self._answer(message)

    # ---- who it is --------------------------------------------------------------------------

    async def _admitted(self) -> bool:
        token, connection = self._desk.settings.token.reveal(), self._connection
        assert connection.request is not None
        if not token or shows_token(connection.request.headers, token):
            return True
        try:
            async with asyncio.timeout(self._desk.settings.limits.handshake_s):
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
        await connection.say_first(_text(Reply(id=command.id, auth={})))
        return True

    def _check_token(self, command: Command) -> None:
        token = self._desk.settings.token.reveal()
        if command.name != "auth":
            raise Refusal(options.UNAUTHORIZED, "the first message must be auth")
        guess = command.options.get("token")
        if not isinstance(guess, str) or set(command.options) != {"token"}:
            raise Refusal(options.BAD_VALUE, 'auth is {"token": TOKEN}')
        if token and not hmac.compare_digest(guess.encode(), token.encode()):
            raise Refusal(options.UNAUTHORIZED, "this is not the token")

    async def _refuse(self, number: commands.Id, refusal: Refusal, code: int) -> None:
        connection = self._connection
        await connection.send(_text(commands.refused(number, refusal)))
        reason = refusal.message.encode()[:_REASON_BYTES].decode(errors="ignore")
        await connection.close(code, reason)

    # ---- what it asks for next --------------------------------------------------------------

    async def _answer(self, message: str | bytes) -> None:
        fmt, binary = self._connection.subscription.format, isinstance(message, bytes)
        count = commands.acknowledged(_bytes(message), fmt, binary=binary)
        if count is not None and self._connection.ack is not None:
            self._connection.acknowledge(count)  # in pieces, or no news
            return
        try:
            command = commands.read(message, fmt)
        except commands.NotACommand as error:
            self._say(error.reply)
            return
        await _prepare(command.options.get("format"))
        if command.name in _CHANGES:
            await self._connection.settled()
        try:
            self._does[command.name](command)
        except Refusal as refusal:
            self._say(commands.refused(command.id, refusal))

    def _say(self, reply: Reply) -> None:
        connection = self._connection
        connection.say(wire.body(reply, connection.subscription.format))

    def _subscribe(self, command: Command) -> None:
        connection = self._connection
        cameras, before = self._desk.cameras(), connection.subscription
        subscription, opening, ack = options.subscribe(
            before, command.options, cameras, connection.ack
        )
        reply = Reply(id=command.id, subscribe=subscription.to_dict() | {"ack": ack})
        connection.switch(subscription, opening, ack, wire.body(reply, subscription.format))

    def _unsubscribe(self, command: Command) -> None:
        connection = self._connection
        subscription = options.unsubscribe(
            connection.subscription, command.options, self._desk.cameras()
        )
        ack = connection.ack
        reply = Reply(id=command.id, unsubscribe=subscription.to_dict() | {"ack": ack})
        connection.switch(subscription, ANEW, ack, wire.body(reply, subscription.format))

    def _auth(self, command: Command) -> None:
        self._check_token(command)
        self._say(Reply(id=command.id, auth={}))

    def _ping(self, command: Command) -> None:
        for name in command.options:
            raise Refusal(
                options.UNKNOWN_OPTION, f'ping takes no options, not "{options.shown(name)}"'
            )
        self._say(Reply(id=command.id, ping={"ts": round(clock.wall(), 3)}))


async def _prepare(fmt: object) -> None:
    """Import what the format needs, once, in a thread: the loop gets its turns meanwhile."""
    if fmt == "protobuf" and not protobuf.is_loaded():
        await asyncio.to_thread(protobuf.is_usable)


def _text(reply: Reply) -> str:
    """Before a client has a subscription it has no format: this is JSON, for websockets to send."""
    return wire.body(reply, "json").data.decode()


def _bytes(message: str | bytes) -> bytes:
    return message.encode() if isinstance(message, str) else message
