"""One client's connection: a line that says at once when it is full, and never holds much.

1. The transport's buffer has a high-water mark of zero: the line is full as soon as the kernel
   takes less than it is given, and free when all of it is gone. What waits meanwhile waits in the
   outbox, where it can still be replaced by something newer.
2. The kernel is told to hold little that is unsent, else seconds of old results would wait there.
3. A full line must move: the bytes in the buffer and in the kernel have to become fewer within
   `stall_s`, else the connection is aborted. Nothing gentler works, since a close waits for the
   same line.
4. What the kernel has delivered may still lie unread. A `latest` client is paced by its pongs, so
   that little does: see pace.py.
5. A client may send little, and not often; a buffer that fills with answers to its pings aborts.
"""

from __future__ import annotations

import asyncio
import functools
import os
from typing import TYPE_CHECKING, Any, Protocol, cast

from websockets.asyncio.server import ServerConnection
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN

from framefan import clock
from framefan_gateway import kernel, pace
from framefan_gateway.contract import DEFAULT
from framefan_gateway.credit import Credit
from framefan_gateway.group import Line, Place
from framefan_gateway.stall import Stall

if TYPE_CHECKING:
    from websockets.protocol import Event

    from framefan.settings import Limits
    from framefan_gateway.contract import Contract, Opening
    from framefan_gateway.group import Client
    from framefan_gateway.hub import Hub

TOO_MANY = 1008
TOO_SLOW = 4408


class Owner(Protocol):
    """What a connection needs of its server."""

    hub: Hub
    limits: Limits

    def opened(self, connection: ClientConnection) -> None:
        """A TCP connection was accepted; its handshake begins."""

    def asked(self, connection: ClientConnection) -> None:
        """Its request is whole: it is to be answered."""

    def lost(self, connection: ClientConnection) -> None:
        """The TCP connection is gone."""

    def filled(self, connection: ClientConnection) -> None:
        """A client's line is full."""

    def probe(self, connection: ClientConnection) -> None:
        """A `latest` client joined: call its `probe` after each flush while it is young."""

    def spawn(self, closing: Any) -> None:
        """Run a coroutine to its end; its errors are the owner's."""


class ClientConnection(ServerConnection):
    def __init__(self, owner: Owner, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._owner = owner
        self._client: Client | None = None
        self._pace = pace.Pace(clock.now())
        self._pings = 0
        self._whole = True
        """Whether what was received so far ends with a whole frame."""
        self._stall: Stall | None = None
        self._credit = Credit(owner.limits.inbound_per_s, clock.now())
        self._ending = False
        self._full_at = 0.0
        self._fd = -1
        """To write to past the transport, where that can be."""
        self.address = ""
        """Where the client is; its port is left out."""
        self.joined_at = 0.0
        self.served = False
        """Whether it got past the handshake."""
        self.aborted = ""
        """Why we aborted it, if we did: stalled or flood."""

    # ---- between the hub and this line ------------------------------------------------------

    def join(self, contract: Contract, opening: Opening) -> None:
        """Become a client of the hub: from here on it writes to this line."""
        hub, now = self._owner.hub, clock.now()
        self.joined_at = now
        self._pace = pace.Pace(now)
        line = self._line()
        self._client = client = hub.join(contract, line, self._evict, now, opening)
        client.line = line._replace(write=functools.partial(self._greet, client, line))
        hub.start(client, now)
        if client.line.offer is line.offer:  # nothing greeted it
            client.line = line
        if contract.delivery == "latest":
            self._owner.probe(self)

    def _greet(self, client: Client, line: Line, data: bytes) -> None:
        """The first write. With a ping in it: a reader that pauses between the two would seem
        slower than it is.
        """
        client.line = line
        if client.contract.delivery == "latest":
            self._ping(client.outbox.sent_bytes, behind=data)
        else:
            line.write(data)

    def switch(self, contract: Contract, opening: Opening, reply: bytes) -> None:
        """Another contract from here on; `reply` comes before anything under it."""
        client, now = self._client, clock.now()
        if client is None:
            return
        if contract.delivery != client.contract.delivery:
            self._pace = pace.Pace(now, client.outbox.sent_bytes)
            client.line = self._line()
        self._owner.hub.switch(client, contract, opening, reply, now)
        self._free_line(now)
        self._bound(client)
        if contract.delivery == "latest":
            self._owner.probe(self)

    def say(self, reply: bytes) -> None:
        """Answer a command, in its turn."""
        client = self._client
        if client is not None:
            self._owner.hub.say(client, reply, clock.now())
            self._bound(client)

    def _bound(self, client: Client) -> None:
        """Answers that nobody reads may not pile up; a replay that it asked for may wait."""
        waiting = client.outbox.said_bytes + self.transport.get_write_buffer_size()
        if client.place is Place.FULL and waiting > self._owner.limits.client_buffer_bytes:
            self.abort("flood")

    @property
    def client(self) -> Client | None:
        """None before it joined the hub, and after it left."""
        return self._client

    @property
    def contract(self) -> Contract:
        return DEFAULT if self._client is None else self._client.contract

    @property
    def full_since(self) -> float | None:
        """None while its line is free."""
        full = self._client is not None and self._client.place is Place.FULL
        return self._full_at if full else None

    @property
    def held_bytes(self) -> int:
        """About what waits here for this client alone."""
        waiting = 0 if self._client is None else self._client.outbox.own_bytes
        return waiting + self.transport.get_write_buffer_size()

    def behind_bytes(self) -> int:
        """About what waits for this client, shared or not."""
        waiting = 0 if self._client is None else self._client.outbox.behind_bytes
        return waiting + self.transport.get_write_buffer_size()

    def _line(self) -> Line:
        """Past the transport to its descriptor while its buffer is empty: a fifth of the cost.

        The descriptor outlives the client: asyncio calls connection_lost, where we leave the hub,
        before it closes the socket.
        """
        write = self.transport.write
        if self.transport.get_extra_info("ssl_object") is not None:
            return Line(write, lambda data: write(data) or len(data))
        self._fd = self.transport.get_extra_info("socket").fileno()
        return Line(write, functools.partial(os.write, self._fd))

    def _paced_line(self, client: Client) -> Line:
        """Each write ends with a ping, and the line is full until its pong has come."""

        def write(data: bytes) -> int:
            self._ping(client.outbox.sent_bytes, data)
            self._fill(client)
            return len(data)

        return Line(write, write)

    @property
    def young(self) -> bool:
        """Whether its pace is still to be found out."""
        return self._client is not None and self._pace.young

    def _fill(self, client: Client) -> None:
        if client.place is not Place.FULL:
            self._full_at = clock.now()
            self._owner.filled(self)
        self._owner.hub.line_full(client)

    @property
    def is_behind(self) -> bool:
        """Whether it is to get every result, and there are some that its line has no room for."""
        every = self._client is not None and self._client.contract.delivery == "every"
        return every and self.full_since is not None

    def leave(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            self._owner.hub.leave(client)

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

    def _evict(self, reason: str) -> None:
        self.end(TOO_SLOW, reason)

    # ---- what asyncio calls -----------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        sock = transport.get_extra_info("socket")
        kernel.bound_unsent(sock, self._owner.limits.unsent_bytes)
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if isinstance(peer, tuple) else ""
        self.transport = cast("asyncio.Transport", transport)  # TLS may pause us in the next line
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
        self._stall = Stall(self.loop, self.transport, stall_s, over)
        if self._client is not None:
            self._fill(self._client)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._moves()
        self._free_line(clock.now())

    def _moves(self) -> None:
        stall, self._stall = self._stall, None
        if stall is not None:
            stall.cancel()

    def data_received(self, data: bytes) -> None:
        if self._whole:
            number = pace.pong_in(data)
            if number is not None and self._pace.awaits(number):
                self._ponged(number, clock.now())  # the rest of websockets would cost far more
                return
            opening = self.protocol.state is not OPEN
            self._whole = data.endswith(b"\r\n\r\n") if opening else pace.whole(data)
        super().data_received(data)
        if self.transport.get_write_buffer_size() > self._owner.limits.client_buffer_bytes:
            self.abort("flood")

    def send_data(self) -> None:
        super().send_data()
        if self._client is not None and self.protocol.state is not OPEN:
            self.leave()  # nothing may follow a close frame

    def process_event(self, event: Event) -> None:
        if self._ending:  # the rest of a flood costs nothing more
            return
        if isinstance(event, Frame) and event.opcode is Opcode.PONG:
            number = pace.number_of(bytes(event.data))
            if number is not None and self._pace.awaits(number):  # any other is the client's idea
                self._ponged(number, clock.now())
                return
        if self.request is None:
            self._owner.asked(self)
        elif not self._credit.spend(clock.now()):
            if self.protocol.state is OPEN:
                self.end(TOO_MANY, "too many messages")
            return
        super().process_event(event)

    # ---- pace -------------------------------------------------------------------------------

    def pulse(self, now: float) -> None:
        """Look after this client's pace; the server calls it now and then."""
        client = self._client
        if client is None or client.contract.delivery != "latest" or self.paused:
            return
        if self._pace.lagging:
            if self._pace.waited(now) > self._owner.limits.stall_s:
                self.abort("stalled")
            return
        sent = client.outbox.sent_bytes
        if self._pace.late(sent, now):
            round_trip_s = kernel.round_trip_s(self.transport.get_extra_info("socket"))
            if self._pace.falls_behind(round_trip_s, client.outbox.account().conflated, now):
                self._lag(client)
        elif self._pace.wants_ping(sent):
            if client.place is Place.IN_STEP and self._fd >= 0:
                client.group.write_by(client, functools.partial(self._offer_with_ping, client))
            else:
                self._ping(sent)

    def _offer_with_ping(self, client: Client, data: bytes) -> int:
        """Once: a ping costs least as the end of a write that is made anyway."""
        client.group.write_by(client, client.line.offer)
        whole = data + pace.ping(self._pings + 1)
        taken = os.write(self._fd, whole)
        self._pings += 1
        self._pace.pinged(self._pings, client.outbox.sent_bytes, clock.now())
        if taken < len(whole):
            self.transport.write(whole[taken:])
        return len(data)

    def probe(self, now: float) -> None:
        """Find out the pace of a young client; the server calls it after each flush."""
        client = self._client
        if client is None or self.paused:
            return
        if self._pace.gives_up(now):
            client.line = self._line()
            self._free_line(now)
        elif not self._pace.grown(now) and not self._pace.lagging:
            sent = client.outbox.sent_bytes
            if self._pace.exceeds_window(sent, client.outbox.account().conflated, now):
                self._lag(client)
            elif self._pace.wants_ping(sent):
                self._ping(sent)

    def _lag(self, client: Client) -> None:
        """From here on nothing more is sent until all that was sent is known to be read."""
        self._ping(client.outbox.sent_bytes)
        self._fill(client)
        client.line = self._paced_line(client)

    def _ping(self, sent_bytes: int, behind: bytes = b"") -> None:
        """Send a ping behind `behind`, in one write; `sent_bytes` of results have gone before."""
        self._pings += 1
        self._pace.pinged(self._pings, sent_bytes, clock.now())
        self.transport.write(behind + pace.ping(self._pings))

    def _ponged(self, number: int, now: float) -> None:
        if not self._pace.ponged(number) or not self._pace.lagging:
            return
        client = self._client
        if client is not None and self._pace.recovers(client.outbox.account().conflated, now):
            client.line = self._line()
            client.group.write_by(client, client.line.offer)  # it may be in step with the old one
        self._free_line(now)

    def _free_line(self, now: float) -> None:
        """The line takes more, unless the transport or the client still has to get through some."""
        waits = self.paused or (self._pace.lagging and self._pace.waits)
        if self._client is not None and not waits:
            self._owner.hub.line_free(self._client, now)
