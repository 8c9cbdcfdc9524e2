"""The server around the hub: one asyncio server for WebSocket clients and the page.

It owns the connections, and flushes the hub: at once, or after a pause (flush_pause.py).
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any, cast

import msgspec
from websockets.asyncio.server import Server as WebSocketServer
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from framefan.base import clock, logs
from framefan.ipc.gateway_counts import GatewayCounts, is_crowded
from framefan_gateway.connection import admission
from framefan_gateway.connection.acceptor import Acceptor, get_factory
from framefan_gateway.connection.admission import Admission
from framefan_gateway.connection.connection import ClientConnection
from framefan_gateway.connection.crowd import Crowd, HeldBack
from framefan_gateway.connection.session import Session
from framefan_gateway.delivery.wire import Picture
from framefan_gateway.flush_pause import FlushPause
from framefan_gateway.http import client_list, replies, web
from framefan_gateway.http.peers import Peers
from framefan_gateway.run_stats import RunStats
from framefan_gateway.stats import Stats

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Awaitable, Coroutine, Iterator

    from websockets.http11 import Request, Response

    from framefan.ipc.protocol import Status
    from framefan.settings.run import Settings
    from framefan_gateway.delivery.hub import Hub
    from framefan_gateway.http.client_list import ClientFacts
    from framefan_gateway.http.previews import Previews
    from framefan_gateway.intake import Intake

GOING_AWAY = 1001
_PULSE_S = 0.1
_PULSES = 100
"""How many clients are checked per pulse; with more clients, each is checked less often."""
_MANY_BLOCKED, _SELDOM = 1000, 10
"""With more blocked clients than this, their memory is summed up in every tenth pulse only."""
_WORK_S = 0.001
"""How long replays are worked on at a time, in seconds."""
_WORK_PAUSE_FACTOR = 2
"""How many times as long other work follows, so replays take at most a third of this process."""
_FAREWELL_S = 2.0
"""How long clients may take to answer a close before they are aborted."""
_ABORTED_S = 0.5
"""How long aborted connections may take to close: one loop iteration, unless it is very busy."""

_silent = logging.getLogger("framefan_gateway.websockets")
_silent.addHandler(logging.NullHandler())
_silent.propagate = False


class Server:
    """Serves clients of one hub on one listening socket until `close`."""

    def __init__(
        self,
        settings: Settings,
        gateway: int,
        hub: Hub,
        intake: Intake,
        previews: Previews,
        counts: GatewayCounts | None = None,
    ) -> None:
        """`counts`: the memory that all gateways of the run share; None: there is only this one."""
        self.settings = settings
        self.counts = counts or GatewayCounts(
            own=gateway, addresses=settings.limits.clients_per_address > 0
        )
        self.limits = settings.limits
        self.hub = hub
        self.stats = Stats(gateway, hub, intake)
        self.run_stats = RunStats(self.stats, intake, self.counts)
        self._intake = intake
        self.previews = previews
        self.peers = Peers(settings, gateway, self.counts, self._facts)
        self._web = web.Web(
            settings,
            gateway,
            hub,
            intake,
            self.run_stats,
            self._facts,
            self.previews.snapshot,
            self.peers.ask,
        )
        self._connections: set[ClientConnection] = set()
        self._blocked: set[ClientConnection] = set()
        """Connections whose client was blocked at the last check, or became blocked since."""
        self.admission: Admission[ClientConnection] = Admission(self.limits.max_handshakes)
        self.crowd = Crowd()
        self._held_back: HeldBack[ClientConnection] = HeldBack(self.crowd)
        self._acceptor: Acceptor | None = None
        self._addresses: Counter[str] = Counter()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._server: WebSocketServer | None = None
        self._flush: asyncio.TimerHandle | None = None
        self._pause = FlushPause()
        self._work: asyncio.Handle | None = None
        self._awaiting_replay: set[ClientConnection] = set()
        """Connections with a command that waits until their replays are finished."""
        self._unchecked: list[ClientConnection] = []
        self._pulses = 0
        self._pulse_timer: asyncio.TimerHandle | None = None
        self.most_clients = self.limits.max_clients
        self.most_connections = self.most_clients + admission.MOST
        """How many connections the descriptors allow: clients and pending ones."""

    async def start(self, listener: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        """Serve on a socket that is already bound and listening; `close` closes it."""
        self._server = serve(  # not awaited: that would listen and accept
            self._serve,
            create_connection=functools.partial(ClientConnection, self),  # type: ignore[arg-type]
            process_request=self._answer,
            compression=None,
            open_timeout=self.limits.handshake_s,
            ping_interval=None,  # connection.py sends the pings
            close_timeout=self.limits.stall_s,
            max_size=self.limits.inbound_bytes,
            max_queue=None,  # reading never pauses: see token_bucket.py
            write_limit=0 if tls is None else (1, 0),  # at 0, asyncio's TLS is full while empty
            server_header=None,
            logger=_silent,
        )
        self._acceptor = Acceptor(
            listener,
            get_factory(self._server),
            self,
            tls,
            ssl_handshake_timeout=self.limits.handshake_s,
            ssl_shutdown_timeout=self.limits.stall_s,
        )
        self._server.server = cast("asyncio.Server", self._acceptor)
        self._pulse()

    async def close(self) -> None:
        """Close all connections with 1001; abort those that are still open after 2 s."""
        for connection in tuple(self._connections):
            connection.leave()
        for timer in (self._flush, self._pulse_timer, self._work):
            if timer is not None:
                timer.cancel()
        if self._server is None:
            return
        self._server.close(code=GOING_AWAY)
        closed = asyncio.ensure_future(self._server.wait_closed())
        await asyncio.wait([closed], timeout=_FAREWELL_S)
        for connection in tuple(self._connections):
            connection.abort("shutdown")
        await asyncio.wait([closed], timeout=_ABORTED_S)
        closed.cancel()

    @property
    def is_settled(self) -> bool:
        """Whether all news has been flushed, and no `every` client is blocked."""
        behind = any(each.is_behind for each in self._blocked)
        return self._flush is None and not self.hub.waiting and not behind

    # ---- flushing ---------------------------------------------------------------------------

    def flush_soon(self) -> None:
        """The hub has news: flush it now, or when the pause after the last flush is over."""
        if self._flush is not None or not self.hub.waiting:
            return
        wait = self.flush_delay_s
        if wait:
            self._flush = asyncio.get_running_loop().call_later(wait, self.flush)
        else:
            self.flush()

    @property
    def flush_delay_s(self) -> float:
        """For how many seconds the next flush has to wait; 0 if it need not."""
        return self._pause.left_s(clock.now())

    def flush(self) -> None:
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        start = clock.now()
        news = self.hub.flush(start)
        self.stats.on_delivered(news, start)
        for item in news:
            if isinstance(item, Picture):
                self.previews.on_picture(item)
        self.work_soon()
        self._pause.record_flush(start, clock.now())

    def work_soon(self) -> None:
        """Schedule the next slices of the hub's work, if there is any."""
        if self._work is None and self.hub.has_work:
            self._work = asyncio.get_running_loop().call_soon(self._do_work)

    def _do_work(self) -> None:
        """Make slices for up to `_WORK_S`, then schedule the next call."""
        began = now = clock.now()
        while self.hub.has_work and now < began + _WORK_S:
            self.hub.work(now)
            now = clock.now()
        self._work = None
        if self.hub.has_work:
            wait = (now - began) * _WORK_PAUSE_FACTOR
            self._work = asyncio.get_running_loop().call_later(wait, self._do_work)
        self._awaiting_replay = {each for each in self._awaiting_replay if not each.check_replay()}

    def watch_replay(self, connection: ClientConnection) -> None:
        self._awaiting_replay.add(connection)

    def _pulse(self) -> None:
        """Check the next few clients, and the memory of all of them."""
        self._pulse_timer = asyncio.get_running_loop().call_later(_PULSE_S, self._pulse)
        now = clock.now()
        self.stats.lag.beat(now, _PULSE_S)
        self._pause.beat(now, clock.cpu())
        self._shed()
        for connection in self._held_back.take(now, self._blocked):
            connection.free()
        self._unchecked = self._unchecked or list(self._connections)
        for connection in self._unchecked[-_PULSES:]:
            connection.check(now)
        del self._unchecked[-_PULSES:]

    def _shed(self) -> None:
        """Keep the backlog of all clients within its limit: abort those with the largest first."""
        self._pulses += 1
        if len(self._blocked) > _MANY_BLOCKED and self._pulses % _SELDOM:
            return
        most, held = self._buffer_bytes, self.hub.log_bytes
        full = self._blocked = {each for each in self._blocked if each.blocked_since is not None}
        held += sum(each.held_bytes for each in full)
        if held <= most:
            return
        for connection in sorted(full, key=ClientConnection.backlog_bytes, reverse=True):
            held -= connection.backlog_bytes()
            connection.abort("shed")
            if held <= most:
                return

    # ---- connections ------------------------------------------------------------------------

    def on_open(self, connection: ClientConnection) -> None:
        self._connections.add(connection)
        self._addresses[connection.address] += 1
        self.counts.count_address(connection.address, 1)

    def on_request(self, connection: ClientConnection) -> None:
        self.admission.mark_requested(connection)

    def on_lost(self, connection: ClientConnection) -> None:
        self._connections.discard(connection)
        self._remove_pending(connection)
        self._addresses[connection.address] -= 1
        self.counts.count_address(connection.address, -1)
        if not self._addresses[connection.address]:
            del self._addresses[connection.address]
        if connection.served:  # plain HTTP requests are not clients, and have no close code
            self.stats.ended(connection.aborted or _code(connection))

    def on_blocked(self, connection: ClientConnection) -> None:
        self._blocked.add(connection)

    def on_authorized(self, connection: ClientConnection) -> None:
        self._remove_pending(connection)

    def _remove_pending(self, connection: ClientConnection) -> None:
        """The connection is not pending any more."""
        self.admission.remove(connection)
        self.publish_count()

    # ---- all gateways together --------------------------------------------------------------

    @property
    def _accepted(self) -> int:
        connecting = 0 if self._acceptor is None else len(self._acceptor)
        return len(self._connections) + connecting

    @property
    def _buffer_bytes(self) -> int:
        return self.limits.gateway_buffer_bytes // self.counts.gateways

    def room(self) -> int:
        return self.most_connections - self._accepted

    def nearly_full(self) -> bool:
        """Whether this gateway has clearly more connections than the mean of all."""
        counts = self.counts
        return counts.gateways > 1 and is_crowded(self._accepted, counts.others())

    def publish_count(self) -> None:
        """Publish the number of connections here to the other gateways."""
        self.counts.write(self._accepted, self._accepted - len(self.admission))

    def beat(self) -> None:
        self.counts.beat(clock.now())

    @property
    def _is_full(self) -> bool:
        """Whether the limit on clients of this gateway or of the run is reached."""
        here, elsewhere = self.hub.clients, self.counts.clients_elsewhere()
        return here >= self.most_clients or here + elsewhere >= self.limits.max_clients

    # ---- for sessions and the page ----------------------------------------------------------

    def cameras(self) -> set[str]:
        """The names of all cameras: those of the state table, once there is one."""
        state = self._intake.state
        if state is None:
            return {camera.name for camera in self.settings.cameras}
        return set(state.cameras)

    def removal(self, camera: str) -> Status | None:
        return self._intake.removal(camera)

    def _facts(self) -> Iterator[ClientFacts]:
        return client_list.facts(tuple(self._connections), clock.now(), self.stats.gateway)

    def spawn(self, closing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(closing)
        self._tasks.add(task)
        task.add_done_callback(self._finish)

    def _finish(self, task: asyncio.Task[Any]) -> None:
        """Log what failed; otherwise asyncio reports it as a failure of the gateway."""
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logs.error("closing a connection failed", error=repr(error))

    def _answer(
        self, connection: ServerConnection, request: Request
    ) -> Response | Awaitable[Response] | None:
        assert isinstance(connection, ClientConnection)
        answer = self._web.answer(request) or self._full_up(connection, request)
        if answer is not None:
            self.admission.mark_answered(connection)
        return answer

    def _full_up(self, connection: ClientConnection, request: Request) -> Response | None:
        """The 503 answer for a client above the limits."""
        if self._is_full:
            return _busy(request, "the limit on clients is reached")
        most, address = self.limits.clients_per_address, connection.address
        if most and self._addresses[address] + self.counts.elsewhere(address) > most:
            return _busy(request, "the limit on connections of this address is reached")
        return None

    async def _serve(self, connection: ServerConnection) -> None:
        assert isinstance(connection, ClientConnection)
        connection.served = True
        self.admission.add_silent(connection, clock.now())  # until it has authenticated
        try:
            await Session(self, connection).run()
        except ConnectionClosed:
            pass
        except Exception as error:  # the border to websockets, which would swallow it silently
            logs.error("serving a client failed", error=repr(error))
            raise
        finally:
            connection.leave()


def _code(connection: ClientConnection) -> str:
    """The close code: the client's, or ours if the client did not answer the close."""
    protocol = connection.protocol
    closed = protocol.close_rcvd or protocol.close_sent
    return "1006" if closed is None else str(int(closed.code))


def _busy(request: Request, message: str) -> Response:
    body = msgspec.json.encode({"error": message})
    return replies.reply(request, 503, body, "application/json", **{"Retry-After": "1"})
