"""One client's connection: it detects at once that a client cannot take more, and buffers little.

1. The transport's buffer has a high-water mark of zero: the client is blocked as soon as the kernel
   takes less than it is given, and unblocked when the buffer is empty. Results wait in the cursor
   meanwhile, where newer ones can replace them.
2. The kernel may hold few unsent bytes; otherwise seconds of old results would wait there.
3. Bytes that the kernel has delivered may still lie unread; flow.py limits them.
4. While a client is blocked by its buffer, the bytes in the buffer and in the kernel must decrease
   within `stall_s`; otherwise the connection is aborted. A close would wait behind the same bytes.
5. A client that sends nothing for `silence_s`, not even a pong, is closed. Slowness is no reason.
6. What a client sends is limited, and so are unread replies to it.
"""

from __future__ import annotations

import asyncio
import functools
from typing import TYPE_CHECKING, Any, Protocol, cast

from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN

from framefan.base import clock
from framefan_gateway.connection import tcp
from framefan_gateway.connection.commands import parse_ack
from framefan_gateway.connection.flow import Counted, Open, flow_for
from framefan_gateway.connection.handshake import HandshakeConnection
from framefan_gateway.connection.keepalive import Keepalive
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
    from framefan_gateway.connection.crowd import Crowd
    from framefan_gateway.connection.flow import Flow
    from framefan_gateway.delivery.hub import Hub
    from framefan_gateway.delivery.subscribers import Client
    from framefan_gateway.delivery.subscription import Ack, Opening, Subscription
    from framefan_gateway.delivery.wire import Body
    from framefan_gateway.stats import Stats

TOO_MANY, BAD_REQUEST, TOO_SLOW, SILENT = 1008, 4400, 4408, 4409
"""Close codes."""
_READ_BYTES = 4096
"""The most bytes read at once: clients send little, mostly pongs and acknowledgements."""


class ConnectionHost(Protocol):
    """What a connection needs of its server."""

    hub: Hub
    limits: Limits
    stats: Stats
    crowd: Crowd

    def on_open(self, connection: ClientConnection) -> None:
        """A TCP connection was accepted; its handshake begins."""

    def on_request(self, connection: ClientConnection) -> None:
        """The connection's request is complete and will be answered."""

    def on_lost(self, connection: ClientConnection) -> None:
        """The TCP connection is closed."""

    def on_blocked(self, connection: ClientConnection) -> None:
        """The client became blocked."""

    def work_soon(self) -> None:
        """The hub may have work."""

    def watch_replay(self, connection: ClientConnection) -> None:
        """Call the connection's `check_replay` after the hub's work until it returns True."""

    def spawn(self, closing: Any) -> None:
        """Run a coroutine to its end; the host handles its errors."""


class ClientConnection(HandshakeConnection):
    def __init__(self, host: ConnectionHost, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._host = host
        self._client: Client | None = None
        self._acked = self._unread_replies = 0
        """How many messages the client has acknowledged; bytes of replies since it was blocked."""
        self._sent_before_join = 0
        """How many messages were sent before the client joined the hub."""
        self._keepalive = Keepalive(host.limits.silence_s, clock.now())
        self._caught_up: asyncio.Future[None] | None = None
        """Done when the client's replays are finished; None if nothing waits for that."""
        self.ack: Ack | None = None
        self._at_frame_end = True
        """Whether the bytes received so far end at the end of a frame."""
        self._deadline: WriteDeadline | None = None
        self._bucket = TokenBucket(
            host.limits.inbound_per_s, host.limits.inbound_bytes, clock.now()
        )
        self._is_closing, self._blocked_at = False, 0.0
        self.lateness, self.crowd = host.stats.lag, host.crowd
        self.try_write: Callable[[bytes], int] = len
        """A placeholder until `join`: nothing is written before."""
        self._flow: Flow = Open(self)
        self.socket: socket.socket
        """The acceptor sets it right after construction."""
        self.address = ""
        """The client's address, without the port."""
        self.joined_at = 0.0
        self.served = False
        """Whether the handshake is complete."""
        self.aborted = ""
        """Why the gateway aborted the connection: stalled, flood, shed, shutdown or handshakes."""

    # ---- the hub and this connection --------------------------------------------------------

    def join(self, subscription: Subscription, opening: Opening, ack: Ack | None) -> None:
        """Become a client of the hub, which writes to this connection from here on."""
        hub, now = self._host.hub, clock.now()
        self.joined_at, self.ack = now, ack
        self.try_write = tcp.make_try_write(self.socket, self.transport)
        self._flow = flow_for(self, subscription.delivery, ack, now)
        evict = functools.partial(self.end, TOO_SLOW)
        self._client = client = hub.join(subscription, self._flow.writer, evict, now, opening)
        hub.start(client, now)
        self._host.work_soon()

    async def wait_replayed(self) -> None:
        """Wait until the client's replays are finished or it has left."""
        if self._client is not None and self._client.cursor.replaying:
            self._caught_up = self.loop.create_future()
            self._host.watch_replay(self)
            await self._caught_up

    def check_replay(self) -> bool:
        """Whether the replays are finished, or nothing waits for that; wake the one that waits."""
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
        """Change the subscription; `reply` is sent before anything under the new one."""
        client, now = self._client, clock.now()
        if client is None:
            return
        if (subscription.delivery, ack) != (client.subscription.delivery, self.ack):
            self.ack, self._flow = ack, flow_for(self, subscription.delivery, ack, now)
            self.set_writer(self._flow.writer)
        self._host.hub.switch(client, subscription, opening, reply, now)
        self.free()
        self._limit_replies(len(reply.data))
        self._host.work_soon()

    def send_reply(self, reply: Body) -> None:
        """Send the reply to a command; it keeps its order among the results."""
        client = self._client
        if client is not None:
            self._host.hub.send(client, reply, clock.now())
            self._limit_replies(len(reply.data))

    async def send_first(self, text: str) -> None:
        """Send a message before the connection is a client of the hub."""
        self._sent_before_join += 1
        await self.send(text)

    def _limit_replies(self, answered: int) -> None:
        """Abort if unread replies exceed their limit. Results are not counted."""
        if self.paused or self.blocked_since is not None:
            self._unread_replies += answered
        if self._unread_replies > self._host.limits.client_buffer_bytes:
            self.abort("flood")

    @property
    def client(self) -> Client | None:
        """None before the client joined the hub, and after it left."""
        return self._client

    @property
    def subscription(self) -> Subscription:
        return DEFAULT if self._client is None else self._client.subscription

    @property
    def blocked_since(self) -> float | None:
        """When the client became blocked; None if it is not."""
        full = self._client is not None and self._client.place is Place.BLOCKED
        return self._blocked_at if full else None

    @property
    def held_bytes(self) -> int:
        """Roughly how many bytes wait here for this client alone."""
        waiting = 0 if self._client is None else self._client.cursor.own_bytes
        return waiting + self.transport.get_write_buffer_size()

    def backlog_bytes(self) -> int:
        """Roughly how many bytes wait for this client, shared ones included."""
        waiting = 0 if self._client is None else self._client.cursor.backlog_bytes
        return waiting + self.transport.get_write_buffer_size()

    def write(self, data: bytes) -> None:
        self.transport.write(data)

    def next_number(self) -> int:
        return self._keepalive.next_number()

    def fill(self) -> None:
        client = self._client
        if client is None:
            return
        if client.place is not Place.BLOCKED:
            self._blocked_at = clock.now()
            self._host.on_blocked(self)
        self._host.hub.block(client)

    def free(self) -> None:
        """Unblock the client, unless its transport's buffer or its flow still blocks it."""
        client = self._client
        if client is None or client.place is not Place.BLOCKED or self.paused or self._flow.blocks:
            return
        self._unread_replies = 0
        self._host.hub.unblock(client, clock.now())
        self._host.work_soon()
        self.check_replay()

    def set_writer(self, writer: Writer) -> None:
        if self._client is not None:
            self._client.subscribers.set_writer(self._client, writer)

    def set_try_write(self, try_write: Callable[[bytes], int]) -> None:
        if self._client is not None:
            self._client.subscribers.set_try_write(self._client, try_write)

    @property
    def held(self) -> int:
        return 0 if self._client is None else self._client.cursor.held

    @property
    def sent_messages(self) -> int:
        return self._sent_before_join + (
            0 if self._client is None else self._client.cursor.sent_messages
        )

    @property
    def is_behind(self) -> bool:
        """Whether this is a blocked `every` client."""
        return self.subscription.delivery == "every" and self.blocked_since is not None

    def leave(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            self._host.hub.leave(client)
        self.check_replay()

    def end(self, code: int, reason: str) -> None:
        """Close the connection. If bytes are buffered, that waits until they drain or stall."""
        self.leave()
        if self._is_closing:
            return
        self._is_closing = True
        self._host.spawn(self.close_in_time(code, reason, 2 * self._host.limits.stall_s))

    def abort(self, why: str) -> None:
        self.aborted = self.aborted or why
        self.leave()
        self.transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        sock = transport.get_extra_info("socket")
        tcp.limit_unsent(sock, self._host.limits.unsent_bytes)
        peer = transport.get_extra_info("peername")
        self.address = str(peer[0]) if isinstance(peer, tuple) else ""
        self.transport = cast("asyncio.Transport", transport)  # TLS may pause us in the next line
        tcp.limit_reads(self.transport, _READ_BYTES)
        super().connection_made(transport)
        self._host.on_open(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.leave()
        self._cancel_deadline()
        super().connection_lost(exc)
        self._host.on_lost(self)

    def pause_writing(self) -> None:
        super().pause_writing()
        stall_s, over = self._host.limits.stall_s, functools.partial(self.abort, "stalled")
        self._deadline = WriteDeadline(self.loop, self.transport, stall_s, over)
        self.fill()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._unread_replies = 0
        self._keepalive.record_bytes(clock.now())  # the client's system has acknowledged some
        self._cancel_deadline()
        self.free()

    def _cancel_deadline(self) -> None:
        stall, self._deadline = self._deadline, None
        if stall is not None:
            stall.cancel()

    def data_received(self, data: bytes) -> None:
        self._keepalive.record_bytes(clock.now())
        opening = self.request is None
        if self._at_frame_end and not opening:
            number = frames.pong_number(data)
            if number is not None and self._client is not None and self._pong(number):
                return  # passing the pong to websockets would cost far more
            self._at_frame_end = frames.ends_with_frame(data)
        full, before = self.paused, self.transport.get_write_buffer_size()
        super().data_received(data)
        if opening and self.request is not None:
            self._at_frame_end = not self.protocol.reader.buffer
        if full:
            self._limit_replies(max(self.transport.get_write_buffer_size() - before, 0))

    def send_data(self) -> None:
        super().send_data()
        if self._client is not None and self.protocol.state is not OPEN:
            self.leave()  # nothing may follow a close frame

    def process_event(self, event: Event) -> None:
        if self._is_closing:  # ignore the remainder of a flood
            return
        if isinstance(event, Frame) and self._client is not None and self._handle_echo(event):
            return
        if self.request is None:
            self._host.on_request(self)
        elif isinstance(event, Frame) and not self._bucket.spend(event, clock.now()):
            if self.protocol.state is OPEN:
                self.end(TOO_MANY, "too many messages")
            return
        super().process_event(event)

    async def recv(self, decode: bool | None = None) -> Any:
        message = await super().recv(decode)
        self._bucket.release()
        return message

    def _handle_echo(self, frame: Frame) -> bool:
        """Handle a pong of ours or an acknowledgement; return whether the frame was one."""
        if frame.opcode is Opcode.PONG:
            number = frames.ping_number(bytes(frame.data))
            return number is not None and self._pong(number)
        whole = frame.fin and frame.opcode in (Opcode.TEXT, Opcode.BINARY)
        if not isinstance(self._flow, Counted) or not whole:
            return False
        count = parse_ack(
            frame.data, self.subscription.format, binary=frame.opcode is Opcode.BINARY
        )
        return count is not None and self.acknowledge(count)

    def _pong(self, number: int) -> bool:
        """Handle a pong; return whether it answers one of our pings."""
        if not self._keepalive.record_pong(number):
            return False
        if self._flow.awaits(number):
            self._flow.pong(number)
        return True

    def acknowledge(self, count: int) -> bool:
        """Record that the client has handled `count` messages. Return False if it said so before:
        such a message counts towards the client's message rate.
        """
        if not isinstance(self._flow, Counted):
            return False
        news = count > self._acked
        try:
            self._flow.acknowledge(count)
            self._acked = max(count, self._acked)
            return news
        except ValueError:
            self.end(BAD_REQUEST, f"ack {count}, but {self.sent_messages} messages were sent")
            return True

    def check(self, now: float) -> None:
        """Check this client for silence; the server calls this periodically."""
        if self._client is None or self.paused:  # the write deadline watches a paused one
            return
        if self._keepalive.is_silent(now):
            silence_s = self._host.limits.silence_s
            self.end(SILENT, f"silent: no pong and no byte for {silence_s:g} s")
            return
        if self._keepalive.needs_ping(now):
            self.write(frames.ping(self.next_number()))
        self._flow.check(now)
