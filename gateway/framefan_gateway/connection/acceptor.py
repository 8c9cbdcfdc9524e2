"""The acceptor: accepts connections from the listening socket that all gateways of a run share.

asyncio's own server does not fit: it calls `listen` again, which sets the backlog of the *shared*
socket, and then accepts as many connections in one iteration as the backlog holds. Here each
iteration of the event loop accepts one, so that existing clients are served in between and another
gateway may take the next. While admission.py forbids it, or the other gateways have clearly fewer
clients, accepting pauses for a few milliseconds, and new connections wait in the kernel's backlog.

`Acceptor` replaces asyncio's Server inside websockets' Server.
"""

from __future__ import annotations

import asyncio
import errno
import inspect
import socket
from typing import TYPE_CHECKING, Any, Protocol

from framefan.base import clock, logs
from framefan.ipc.gateway_counts import BEAT_S

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from websockets.asyncio.server import Server as WebSocketServer

    from framefan_gateway.connection.admission import Admission
    from framefan_gateway.connection.connection import ClientConnection

PAUSE_S = 0.005
RETRY_S = 1.0
"""How long accepting pauses when the system has no descriptor or memory left."""
_NOBODY = (errno.EAGAIN, errno.EINTR, errno.ECONNABORTED, errno.EPROTO)
"""Another gateway accepted the connection, or the client has closed it."""


def get_factory(server: WebSocketServer) -> Callable[[], ClientConnection]:
    """The connection factory of websockets, which passes it to asyncio and does not expose it.

    Raises RuntimeError if this release of websockets keeps it elsewhere.
    """
    found = inspect.getclosurevars(server.create_server).nonlocals.get("protocol_factory")
    if not callable(found):
        raise RuntimeError(
            "websockets.asyncio.server.serve() keeps its protocol_factory elsewhere in this"
            " release: see framefan_gateway/connection/acceptor.py"
        )
    made: Callable[[], ClientConnection] = found
    return made


class AcceptorHost(Protocol):
    """What the acceptor needs of its server."""

    admission: Admission[ClientConnection]

    def room(self) -> int:
        """How many more connections the descriptors allow."""

    def nearly_full(self) -> bool:
        """Whether other gateways should take the next connections."""

    def publish_count(self) -> None:
        """A connection was accepted."""

    def beat(self) -> None:
        """Called a few times a second while connections are accepted."""


class Acceptor:
    """Accepts connections until `close`; then the listening socket is closed here."""

    def __init__(
        self,
        listener: socket.socket,
        factory: Callable[[], ClientConnection],
        host: AcceptorHost,
        tls: ssl.SSLContext | None = None,
        **tls_timeouts: float,
    ) -> None:
        """`listener`: listening and non-blocking; `tls_timeouts`: asyncio's, in seconds."""
        self._listener = listener
        self._factory = factory
        self._host = host
        self._tls: dict[str, Any] = {} if tls is None else {"ssl": tls, **tls_timeouts}
        self._loop = asyncio.get_running_loop()
        self._pause_timer: asyncio.TimerHandle | None = None
        self._beat_timer: asyncio.TimerHandle | None = None
        self._connecting: dict[ClientConnection, asyncio.Task[None]] = {}
        """Accepted connections without a transport yet, with TLS until the TLS handshake ends."""
        self._failing = False
        self._serving = True
        self._beat()
        self._resume()

    def __len__(self) -> int:
        """How many accepted connections have no transport yet."""
        return len(self._connecting)

    # ---- the interface of asyncio's Server --------------------------------------------------

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        return (self._listener,) if self._serving else ()

    def get_loop(self) -> asyncio.AbstractEventLoop:
        return self._loop

    def is_serving(self) -> bool:
        return self._serving

    def close(self) -> None:
        if not self._serving:
            return
        self._serving = False
        for timer in (self._pause_timer, self._beat_timer):
            if timer is not None:
                timer.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()
        for task in tuple(self._connecting.values()):
            self._loop.call_soon(task.cancel)  # after its first step, when it owns the socket

    async def wait_closed(self) -> None:
        """Return at once: websockets waits for the handler of each connection."""

    # ---- accepting --------------------------------------------------------------------------

    def _resume(self) -> None:
        self._pause_timer = None
        self._loop.add_reader(self._listener, self._accept)

    def _beat(self) -> None:
        self._beat_timer = self._loop.call_later(BEAT_S, self._beat)
        self._host.beat()

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener)
        self._pause_timer = self._loop.call_later(seconds, self._resume)

    def _accept(self) -> None:
        now = clock.now()
        self._drop_surplus(now)
        host = self._host
        if host.nearly_full() or not host.admission.accepts(host.room()):
            self._pause(PAUSE_S)
            return
        try:
            sock, _ = self._listener.accept()
        except OSError as error:
            if error.errno not in _NOBODY:
                self._fail(error)
            return
        self._failing = False
        sock.setblocking(False)
        connection = self._factory()
        host.admission.add_silent(connection, now)
        connection.socket = sock
        self._connecting[connection] = self._loop.create_task(self._connect(connection, sock))
        host.publish_count()

    def _fail(self, error: OSError) -> None:
        """Pause when out of descriptors or memory; the readable socket would keep the loop busy."""
        if not self._failing:
            logs.warning(f"cannot accept connections: {error.strerror}; retrying once a second")
        self._failing = True
        self._pause(RETRY_S)

    async def _connect(self, connection: ClientConnection, sock: socket.socket) -> None:
        """Give the connection to asyncio, which closes the socket in any case."""
        made = False
        try:
            await self._loop.connect_accepted_socket(lambda: connection, sock, **self._tls)
            made = True
        except OSError:  # not TLS, or closed during the TLS handshake: not worth a log line
            pass
        finally:
            del self._connecting[connection]
            if not made:
                self._host.admission.remove(connection)

    # ---- dropping silent connections --------------------------------------------------------

    def _drop_surplus(self, now: float) -> None:
        """Drop the oldest silent connection if there are too many."""
        admission = self._host.admission
        oldest = admission.find_surplus(now)
        if oldest is None:
            return
        if _has_unread(oldest.socket):  # it is not silent; this process has been slow to read
            admission.add_silent(oldest, now)
            return
        admission.remove(oldest)
        if oldest in self._connecting:
            self._connecting[oldest].cancel()
        else:
            oldest.abort("handshakes")


def _has_unread(sock: socket.socket) -> bool:
    try:
        return bool(sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except OSError:
        return False
