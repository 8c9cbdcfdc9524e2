"""One client's connection: a line that says at once when it is full, and never holds much.

1. The transport's buffer has a high-water mark of zero: the line is full as soon as the kernel
   takes less than it is given, and free when all of it is gone. What waits meanwhile waits in the
   cursor, where it can still be replaced by something newer.
2. The kernel is told to hold little that is unsent, else seconds of old results would wait there.
3. What the kernel has delivered may still lie unread: see flow.py for how that is bounded.
4. A full line must move: the bytes in the buffer and in the kernel have to become fewer within
   `stall_s`, else the connection is aborted. Nothing gentler works, since a close waits for the
   same line.
5. Who sends nothing, not even a pong, for `silence_s` is closed. Being slow is no reason.
6. A client may send little, and not often; a buffer that fills with answers to its pings aborts.
"""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any, Protocol, cast

from websockets.asyncio.server import ServerConnection
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN

from framefan.base import clock
from framefan_gateway.connection import tcp
from framefan_gateway.connection.commands import acknowledged
from framefan_gateway.connection.flow import Counted, Open, flow_for
from framefan_gateway.connection.token_bucket import TokenBucket
from framefan_gateway.connection.write_deadline import WriteDeadline
from framefan_gateway.delivery import frames
from framefan_gateway.delivery.subscribers import Place, Writer
from framefan_gateway.delivery.subscription import DEFAULT

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from websockets.protocol import Event

    from framefan.settings.run import Limits
    from framefan_gateway.connection.flow import Flow
    from framefan_gateway.delivery.hub import Hub
    from framefan_gateway.delivery.subscribers import Client
    from framefan_gateway.delivery.subscription import Ack, Opening, Subscription
    from framefan_gateway.delivery.wire import Body
    from framefan_gateway.stats import Stats

TOO_MANY, BAD_REQUEST, TOO_SLOW, SILENT = 1008, 4400, 4408, 4409
"""Close codes."""
_READ_BYTES = 4096
"""At once: a client says little, mostly pongs and acknowledgements."""
_ASKS = 3
"""How often within `silence_s` a client that says nothing is sent a ping."""


class ConnectionHost(Protocol):
    """What a connection needs of its server."""

    hub: Hub
    limits: Limits
    tally: Stats

    def opened(self, connection: ClientConnection) -> None:
        """A TCP connection was accepted; its handshake begins."""

    def asked(self, connection: ClientConnection) -> None:
        """Its request is whole: it is to be answered."""

    def lost(self, connection: ClientConnection) -> None:
        """The TCP connection is gone."""

    def filled(self, connection: ClientConnection) -> None:
        """A client's line is full."""

    def work_soon(self) -> None:
        """The hub may have work."""

    def expects(self, connection: ClientConnection) -> None:
        """Call its `check_past` whenever some of the hub's work is done, until that answers yes."""

    def spawn(self, closing: Any) -> None:
        """Run a coroutine to its end; its errors are the owner's."""


class ClientConnection(ServerConnection):
    def __init__(self, owner: ConnectionHost, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._owner = owner
        self._client: Client | None = None
        self._pings = self._pongs = 0
        """The numbers of the last ping that was sent, and of the last that came back."""
        self._acked = self._answers = 0
        """The most messages it ever acknowledged; bytes of answers since its line is full."""
        self._said = 0
        """Messages that went out before it joined the hub."""
        self._heard_at = self._asked_at = clock.now()
        """When anything came last, and when it was last asked for anything for that reason."""
        self._caught_up: asyncio.Future[None] | None = None
        """Done when its past has been replayed, if somebody waits for that."""
        self.ack: Ack | None = None
        self._whole = True
        """Whether what was received so far ends with a whole frame."""
        self._stall: WriteDeadline | None = None
        self._credit = TokenBucket(
            owner.limits.inbound_per_s, owner.limits.inbound_bytes, clock.now()
        )
        self._ending = False
        self._full_at = 0.0
        self.lateness = owner.tally.lag
        self.try_write: Callable[[bytes], int] = len
        """Until it joins, nothing is written by a line."""
        self._flow: Flow = Open(self)
        self.socket: socket.socket
        """The acceptor sets it as soon as this is made."""
        self.address = ""
        """Where the client is; its port is left out."""
        self.joined_at = 0.0
        self.served = False
        """Whether it got past the handshake."""
        self.aborted = ""
        """Why we aborted it, if we did: stalled or flood."""

    # ---- between the hub and this line ------------------------------------------------------

    def join(self, subscription: Subscription, opening: Opening, ack: Ack | None) -> None:
        """Become a client of the hub: from here on it writes to this line."""
        hub, now = self._owner.hub, clock.now()
        self.joined_at, self.ack = now, ack
        self.try_write = tcp.writer(self.socket, self.transport)
        self._flow = flow_for(self, subscription.delivery, ack, now)
        evict = functools.partial(self.end, TOO_SLOW)
        self._client = client = hub.join(subscription, self._flow.writer, evict, now, opening)
        hub.start(client, now)
        self._owner.work_soon()

    async def settled(self) -> None:
        """Return when nothing of its past is to be replayed any more, or it is gone."""
        if self._client is not None and self._client.cursor.replaying:
            self._caught_up = self.loop.create_future()
            self._owner.expects(self)
            await self._caught_up

    def check_past(self) -> bool:
        """Whether it has been replayed, or nobody waits for it; whoever does is told."""
        waiting = self._caught_up
        if waiting is None or (self._client is not None and self._client.cursor.replaying):
            return waiting is None
        self._caught_up = None
        if not waiting.done():
            waiting.set_result(None)
        return True

    def switch(
        self, subscription: Subscription, opening: Opening, ack: Ack | None, reply: Body
    ) -> None:
        """Another subscription from here on; `reply` comes before anything under it."""
        client, now = self._client, clock.now()
        if client is None:
            return
        if (subscription.delivery, ack) != (client.subscription.delivery, self.ack):
            self.ack, self._flow = ack, flow_for(self, subscription.delivery, ack, now)
            self.set_writer(self._flow.writer)
        self._owner.hub.switch(client, subscription, opening, reply, now)
        self.free()
        self._bound(len(reply.data))
        self._owner.work_soon()

    def say(self, reply: Body) -> None:
        """Answer a command, in its turn."""
        client = self._client
        if client is not None:
            self._owner.hub.say(client, reply, clock.now())
            self._bound(len(reply.data))

    async def say_first(self, text: str) -> None:
        """Say something before it is a client of the hub."""
        self._said += 1
        await self.send(text)

    def _bound(self, answered: int) -> None:
        """Answers that nobody reads may not pile up; results that are due may wait."""
        if self.paused or self.full_since is not None:
            self._answers += answered
        if self._answers > self._owner.limits.client_buffer_bytes:
            self.abort("flood")

    @property
    def client(self) -> Client | None:
        """None before it joined the hub, and after it left."""
        return self._client

    @property
    def subscription(self) -> Subscription:
        return DEFAULT if self._client is None else self._client.subscription

    @property
    def full_since(self) -> float | None:
        """None while its line is free."""
        full = self._client is not None and self._client.place is Place.BLOCKED
        return self._full_at if full else None

    @property
    def held_bytes(self) -> int:
        """About what waits here for this client alone."""
        waiting = 0 if self._client is None else self._client.cursor.own_bytes
        return waiting + self.transport.get_write_buffer_size()

    def backlog_bytes(self) -> int:
        """About what waits for this client, shared or not."""
        waiting = 0 if self._client is None else self._client.cursor.backlog_bytes
        return waiting + self.transport.get_write_buffer_size()

    # ---- what its flow needs ----------------------------------------------------------------

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    def next_number(self) -> int:
        self._pings += 1
        return self._pings

    def fill(self) -> None:
        client = self._client
        if client is None:
            return
        if client.place is not Place.BLOCKED:
            self._full_at = clock.now()
            self._owner.filled(self)
        self._owner.hub.block(client)

    def free(self) -> None:
        """The line takes more, unless the transport or the client still has to get through some."""
        client = self._client
        if client is None or client.place is not Place.BLOCKED or self.paused or self._flow.blocks:
            return
        self._answers = 0
        self._owner.hub.unblock(client, clock.now())
        self._owner.work_soon()
        self.check_past()

    def set_writer(self, line: Writer) -> None:
        if self._client is not None:
            self._client.subscribers.set_writer(self._client, line)

    def set_try_write(self, try_write: Callable[[bytes], int]) -> None:
        if self._client is not None:
            self._client.subscribers.set_try_write(self._client, try_write)

    @property
    def held(self) -> int:
        return 0 if self._client is None else self._client.cursor.held

    @property
    def sent_messages(self) -> int:
        return self._said + (0 if self._client is None else self._client.cursor.sent_messages)

    @property
    def is_behind(self) -> bool:
        """Whether it is to get every result, and there are some that its line has no room for."""
        every = self._client is not None and self._client.subscription.delivery == "every"
        return every and self.full_since is not None

    def leave(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            self._owner.hub.leave(client)
        self.check_past()

    def end(self, code: int, reason: str) -> None:
        """Close it, in its own time: a full line delays that until it drains or stalls."""
        self.leave()
        if self._ending:
            return
        self._ending = True
        self._owner.spawn(self.close(code, reason))

    def abort(self, why: str) -> None:
        self.aborted = self.aborted or why
        self.leave()
        self.transport.abort()

    # ---- what asyncio calls -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        sock = transport.get_extra_info("socket")
        tcp.bound_unsent(sock, self._owner.limits.unsent_bytes)
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if isinstance(peer, tuple) else ""
        self.transport = cast("asyncio.Transport", transport)  # TLS may pause us in the next line
        tcp.bound_reads(self.transport, _READ_BYTES)
        super().connection_made(transport)
        self._owner.opened(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.leave()
        self._moves()
        super().connection_lost(exc)
        self._owner.lost(self)

    def pause_writing(self) -> None:
        super().pause_writing()
        stall_s, over = self._owner.limits.stall_s, functools.partial(self.abort, "stalled")
        self._stall = WriteDeadline(self.loop, self.transport, stall_s, over)
        self.fill()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._answers = 0
        self._heard_at = clock.now()  # its system has taken something
        self._moves()
        self.free()

    def _moves(self) -> None:
        stall, self._stall = self._stall, None
        if stall is not None:
            stall.cancel()

    def data_received(self, data: bytes) -> None:
        self._heard_at = clock.now()
        if self._whole:
            number = frames.pong_number(data)
            if number is not None and self._client is not None and self._pong(number):
                return  # the rest of websockets would cost far more
            opening = self.protocol.state is not OPEN
            self._whole = data.endswith(b"\r\n\r\n") if opening else frames.ends_with_frame(data)
        full, before = self.paused, self.transport.get_write_buffer_size()
        super().data_received(data)
        if full:
            self._bound(max(self.transport.get_write_buffer_size() - before, 0))

    def send_data(self) -> None:
        super().send_data()
        if self._client is not None and self.protocol.state is not OPEN:
            self.leave()  # nothing may follow a close frame

    def process_event(self, event: Event) -> None:
        if self._ending:  # the rest of a flood costs nothing more
            return
        if isinstance(event, Frame) and self._client is not None and self._takes(event):
            return
        if self.request is None:
            self._owner.asked(self)
        elif isinstance(event, Frame) and not self._credit.affords(event, clock.now()):
            if self.protocol.state is OPEN:
                self.end(TOO_MANY, "too many messages")
            return
        super().process_event(event)

    async def recv(self, decode: bool | None = None) -> Any:
        message = await super().recv(decode)
        self._credit.took()
        return message

    def _takes(self, frame: Frame) -> bool:
        """Whether this was a pong that is awaited, or an acknowledgement: no command."""
        if frame.opcode is Opcode.PONG:
            number = frames.ping_number(bytes(frame.data))
            return number is not None and self._pong(number)
        whole = frame.fin and frame.opcode in (Opcode.TEXT, Opcode.BINARY)
        if not isinstance(self._flow, Counted) or not whole:
            return False
        count = acknowledged(
            frame.data, self.subscription.format, binary=frame.opcode is Opcode.BINARY
        )
        return count is not None and self.acknowledge(count)

    def _pong(self, number: int) -> bool:
        """Whether this is the pong of one of our pings; any other is the client's own idea."""
        if not self._pongs < number <= self._pings:
            return False
        self._pongs = number
        if self._flow.awaits(number):
            self._flow.pong(number)
        return True

    def acknowledge(self, count: int) -> bool:
        """The client has handled so many messages. False when that is no news: it is counted then
        like any other message, so that nobody sends without an end.
        """
        if not isinstance(self._flow, Counted):
            return False
        news = count > self._acked
        try:
            self._flow.acknowledged(count)
            self._acked = max(count, self._acked)
            return news
        except ValueError:
            self.end(BAD_REQUEST, f"ack {count}, but {self.sent_messages} messages were sent")
            return True

    # ---- now and then -----------------------------------------------------------------------

    def look(self, now: float) -> None:
        """Look after this client; the server calls it now and then."""
        if self._client is None or self.paused:  # a full line moves, or stalls
            return
        silent_s, max_s = now - self._heard_at, self._owner.limits.silence_s
        if silent_s > max_s:
            self.end(SILENT, f"silent: no pong and no byte for {max_s:g} s")
            return
        if min(silent_s, now - self._asked_at) > max_s / _ASKS:
            self._asked_at = now
            self.write(frames.ping(self.next_number()))
        self._flow.look(now)
