"""The gateway process: from the bus to WebSocket clients.

One asyncio loop reads the bus, the supervisor's link and the pool's link by their descriptors, and
never blocks. The bus is read until it is empty, a limited amount per iteration, so that clients and
links are served in between; then the hub is flushed.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import signal
import socket
import sys
from typing import TYPE_CHECKING, Any

import zmq

from framefan.base import clock, host, logs, output
from framefan.errors import EXIT_FAILED, LinkClosed, LinkError, StartError
from framefan.ipc import bus, links, messages, records
from framefan.ipc.gateway_counts import GatewayCounts
from framefan.ipc.processes import Parent, settle
from framefan_gateway.connection import tls
from framefan_gateway.connection.connection import ClientConnection
from framefan_gateway.delivery.hub import Hub
from framefan_gateway.http.previews import Previews
from framefan_gateway.intake import Intake
from framefan_gateway.server import Server

if TYPE_CHECKING:
    import ssl

    from framefan.settings.run import Settings

_READS_PER_TICK, _PICTURES_PER_TICK = 64, 8
_MOST_WAITING = 1024
"""The most news that is read before it is flushed, while the bus has more."""
_BEAT_S = 1.0
_RETRY_S = 0.2
_LAST_RESULTS_S = 1.0
_SILENCE_S = 0.3
"""Nothing more arrives from a pool that has been gone for this long."""
_POLL_S = 0.01
# Plain ints, because combining enums runs Python code.
_NOBLOCK, _POLLIN = int(zmq.NOBLOCK), int(zmq.POLLIN)
_EVENTS, _RCVMORE = int(zmq.EVENTS), int(zmq.RCVMORE)
_FROM_POOL = messages.ToCapture  # the pool sends a gateway nothing; any union of messages will do


class BusReader:
    """Reads the bus by its descriptors: results, and pictures once a client needs them.

    Pictures are read only while no results wait. While the server may not flush yet, the bus is not
    read again: what arrives meanwhile is read in one go, right before the flush.
    """

    def __init__(self, settings: Settings, intake: Intake, server: Server) -> None:
        self._intake = intake
        self._server = server
        self._loop = asyncio.get_running_loop()
        self._socket = bus.subscriber(settings.limits, bus.RESULT, bus.STATUS, bus.STATE)
        self._socket.connect(settings.results_endpoint)
        self._fd = int(self._socket.getsockopt(zmq.FD))
        self._next_read: asyncio.Handle | None = None
        self._pauses = False
        """Whether `_next_read` is the end of a pause, in which the descriptor is not watched."""
        self._settings = settings
        self._pictures: zmq.Socket[bytes] | None = None
        self._follower = self._loop.create_task(self._follow_previews())
        self._follower.add_done_callback(_raise_error)
        self._loop.add_reader(self._fd, self.read)
        self.read()

    async def _follow_previews(self) -> None:
        """Subscribe to the pictures that are needed and no others."""
        topics: frozenset[str] = frozenset()
        while True:
            before, topics = topics, await self._server.previews.wait_changed(topics)
            if self._pictures is None:
                self._pictures = bus.picture_subscriber(self._settings)
                self._loop.add_reader(int(self._pictures.getsockopt(zmq.FD)), self.read)
            for topic in before - topics:
                self._pictures.unsubscribe(topic)
            for topic in topics - before:
                self._pictures.subscribe(topic)
            self._read_soon()  # subscribing may have consumed the descriptor's readable event

    def read(self) -> None:
        """Read until the sockets are empty: their descriptors signal changes only."""
        self._resume()
        if self._take(self._socket, _READS_PER_TICK):
            self._read_soon()
            if self._server.hub.waiting < _MOST_WAITING:
                return  # newer results are queued; `latest` clients get those instead
        elif self._pictures is not None and self._take(self._pictures, _PICTURES_PER_TICK):
            self._read_soon()
        flush_delay_s = self._server.flush_delay_s
        if flush_delay_s and self._next_read is None:
            self._pauses = True
            self._loop.remove_reader(self._fd)
            self._next_read = self._loop.call_later(flush_delay_s, self.read)
        else:
            self._server.flush_soon()

    def _resume(self) -> None:
        """End the pause, or cancel the call that was scheduled."""
        if self._next_read is not None:
            self._next_read.cancel()
            self._next_read = None
        if self._pauses:
            self._pauses = False
            self._loop.add_reader(self._fd, self.read)

    def _take(self, sock: zmq.Socket[bytes], most: int) -> bool:
        """Take up to `most` messages; return whether there may be more."""
        for _ in range(most):
            if not int(sock.getsockopt(_EVENTS)) & _POLLIN:  # zmq.Again would cost far more
                return False
            parts = [sock.recv(_NOBLOCK)]
            while sock.getsockopt(_RCVMORE):  # ZeroMQ delivers the parts of a message together
                parts.append(sock.recv(_NOBLOCK))
            self._intake.take(parts, clock.now(), clock.wall())
        return True

    def _read_soon(self) -> None:
        if self._next_read is None:
            self._next_read = self._loop.call_soon(self.read)

    def close(self) -> None:
        self._follower.cancel()
        self._loop.remove_reader(self._fd)
        if self._next_read is not None:
            self._next_read.cancel()
        self._socket.close(linger=0)
        if self._pictures is not None:
            self._loop.remove_reader(int(self._pictures.getsockopt(zmq.FD)))
            self._pictures.close(linger=0)


def _raise_error(task: asyncio.Task[None]) -> None:
    """Raise a task's error in the event loop, which handles it like any callback's."""
    if not task.cancelled():
        task.result()


class PoolLink:
    """Sends this gateway's facts to the pool, and reconnects when a new pool has started."""

    def __init__(self, path: str, gateway: int) -> None:
        self._path = path
        self._gateway = gateway
        self._link: links.Link[Any] | None = None
        self._loop = asyncio.get_running_loop()
        self._retry: asyncio.TimerHandle | None = None
        self._reconnects = True
        self.lost_at = clock.now()
        """When the pool was lost, on clock.now; inf while it is connected."""
        self._connect()

    def report(self, facts: records.GatewayFacts) -> None:
        if self._link is None:
            return
        try:
            self._link.offer(messages.GatewayReport(facts))
        except LinkClosed:
            self._lost()

    def _connect(self) -> None:
        try:
            self._link = links.Link(links.connect(self._path), _FROM_POOL)
            self._link.send(messages.HelloGateway(self._gateway))
        except LinkClosed:
            self._lost()
        else:
            self._loop.add_reader(self._link.fileno(), self._read)
            self.lost_at = math.inf

    def _read(self) -> None:
        try:
            if self._link is not None:
                self._link.receive()
        except LinkError:
            self._lost()

    def _lost(self) -> None:
        self._drop()
        if self._reconnects:
            self._retry = self._loop.call_later(_RETRY_S, self._connect)

    def stop_reconnecting(self) -> None:
        """Do not reconnect after this pool. (The socket for the next one still accepts.)"""
        self._reconnects = False
        if self._retry is not None:
            self._retry.cancel()

    def _drop(self) -> None:
        if self._link is not None:
            self._loop.remove_reader(self._link.fileno())
            self._link.close()
            self._link = None
            self.lost_at = min(self.lost_at, clock.now())

    def close(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
        self._drop()


class Gateway:
    """The parts of the process: how they start, run and stop."""

    def __init__(
        self, parent: Parent, descriptors: int, certificate: ssl.SSLContext | None
    ) -> None:
        self._parent = parent
        self._certificate = certificate
        settings = parent.settings
        self._id = int(parent.role or 1)
        limits = settings.limits
        counts = GatewayCounts(parent.counts_fd, self._id)
        names = [camera.name for camera in settings.cameras]
        previews = Previews(names, lambda: counts.gateways)
        self._hub = Hub(
            limits.every_messages,
            limits.every_bytes,
            limits.history_s,
            limits.history_bytes,
            previews,
        )
        self._intake = Intake(self._hub, limits.state_lost_s)
        self._server = Server(settings, self._id, self._hub, self._intake, previews, counts)
        self._server.most_clients = min(limits.max_clients, descriptors - host.SPARE_DESCRIPTORS)
        # Half of the spare descriptors are for answering 503 when all others are in use.
        self._server.most_connections = descriptors - host.SPARE_DESCRIPTORS // 2
        self._stop = asyncio.Event()
        self._drains = False
        """Whether the whole run ends, not only this gateway."""
        self.failed = False
        self._loop = asyncio.get_running_loop()
        self._beats = 0
        self._last_beat_at = clock.now()
        self._beat_timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Serve until a message, a signal or the parent's end stops it."""
        self._loop.set_exception_handler(self._on_exception)
        self._loop.add_signal_handler(signal.SIGTERM, self._on_sigterm)
        self._loop.add_reader(self._parent.link.fileno(), self._on_control)
        self._take(self._parent.early)
        listener = socket.socket(fileno=self._parent.inherited_fd)
        listener.setblocking(False)
        self._server.run_stats.resume()
        await self._server.peers.open()
        await self._server.start(listener, self._certificate)
        self._bus = BusReader(self._parent.settings, self._intake, self._server)
        self._pool = PoolLink(self._parent.settings.path("pool"), self._id)
        self._beat()
        settle()
        if self._parent.stop_asked:
            self._stop.set()
        await self._stop.wait()
        if self._drains:
            await self._drain()
        await self._end()

    async def _drain(self) -> None:
        """The run ends: deliver what the pool still sends, up to its last record.

        The pool may wait for frames in progress for half of the grace period. `every` clients get
        one second more to read what is pending for them.
        """
        self._pool.stop_reconnecting()
        until = clock.now() + self._parent.settings.limits.grace_s / 2 + _LAST_RESULTS_S
        while clock.now() < until and not self._has_received_all:
            self._bus.read()
            await asyncio.sleep(_POLL_S)
        until = clock.now() + _LAST_RESULTS_S
        while clock.now() < until and not self._server.is_settled:
            await asyncio.sleep(_POLL_S)

    @property
    def _has_received_all(self) -> bool:
        state = self._intake.state
        if state is None or state.last:  # None: the pool has not started, or has ended
            return True
        return clock.now() - self._pool.lost_at > _SILENCE_S

    async def _end(self) -> None:
        self._bus.close()
        await self._server.close()
        self._server.peers.close()
        self._server.run_stats.publish()  # includes how its clients' connections ended
        if self._beat_timer is not None:
            self._beat_timer.cancel()
        self._pool.close()
        self._loop.remove_reader(self._parent.link.fileno())

    def _on_exception(self, _: object, context: dict[str, Any]) -> None:
        """Handle an exception that a callback raised: end, so that a new gateway takes over.

        An exception in the protocol of one client ends only that connection. An OSError ends
        nothing.
        """
        error, client = context.get("exception"), context.get("protocol")
        client = getattr(client, "_app_protocol", client)  # under TLS, the connection's own one
        logs.error(f"the gateway's loop: {context['message']}", error=error)
        if isinstance(client, ClientConnection):
            client.abort("error")
        elif not isinstance(error, OSError):
            self.failed = True
            self._stop.set()

    # ---- once a second ----------------------------------------------------------------------

    def _beat(self) -> None:
        self._beats += 1
        last_beat_at, self._last_beat_at = self._last_beat_at, clock.now()
        self._beat_timer = self._loop.call_later(_BEAT_S, self._beat)
        try:
            self._parent.link.offer(messages.Progress(self._beats))
        except LinkClosed:
            self._stop.set()
        if self._stop.is_set():
            return
        self._bus.read()
        # If this process was not scheduled for a while, the newest table may not be read yet.
        if clock.now() - last_beat_at < 2 * _BEAT_S:
            self._intake.tick(clock.now(), clock.wall())
        self._server.previews.on_cameras(self._server.cameras())
        self._pool.report(self._server.run_stats.publish().facts)

    # ---- the supervisor ---------------------------------------------------------------------

    def _on_sigterm(self) -> None:
        self._on_control()  # the supervisor sends Stop before the signal
        self._stop.set()

    def _on_control(self) -> None:
        try:
            self._take(self._parent.link.receive())
        except LinkError:
            self._loop.remove_reader(self._parent.link.fileno())
            self._stop.set()

    def _take(self, received: list[Any]) -> None:
        if any(isinstance(message, messages.Stop) for message in received):
            self._drains = True
            self._stop.set()


def main() -> None:
    parent = Parent("gateway", messages.FromSupervisor)
    descriptors = host.raise_descriptor_limit()
    logs.debug("the gateway starts", descriptors=descriptors)
    try:
        certificate = tls.context(parent.settings)
    except StartError as error:  # a restart would fail as well
        with contextlib.suppress(LinkClosed):
            parent.link.send(messages.Fatal(error.exit_code, error.what, error.why, error.fix))
        sys.exit(error.exit_code)
    if not asyncio.run(_run(parent, descriptors, certificate)):
        sys.exit(EXIT_FAILED)


async def _run(parent: Parent, descriptors: int, certificate: ssl.SSLContext | None) -> bool:
    gateway = Gateway(parent, descriptors, certificate)
    await gateway.run()
    return not gateway.failed


if __name__ == "__main__":
    main()
    output.end_at_once()
