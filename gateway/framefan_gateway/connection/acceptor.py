"""The door: takes connections from the listening socket that all gateways of a run share.

asyncio's own server does not fit: it calls `listen` again, which sets the backlog of the *shared*
socket, and then accepts as many in one turn as that backlog holds. Here each turn of the loop
accepts one connection, so that those who are in are served in between, and another gateway gets
the next. While admission.py says no, or the others have clearly fewer clients, the listening socket
is not looked at for a few milliseconds, and newcomers wait in the kernel's backlog.

`Acceptor` takes the place that asyncio's Server has in websockets' Server.
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

REST_S = 0.005
RETRY_S = 1.0
"""How long accepting rests when the system has no descriptor or memory left."""
_NOBODY = (errno.EAGAIN, errno.EINTR, errno.ECONNABORTED, errno.EPROTO)
"""Another gateway was quicker, or the client went away meanwhile."""


def factory_of(server: WebSocketServer) -> Callable[[], ClientConnection]:
    """What makes websockets' connections: it hands that to asyncio alone, and has no name for it.

    Raises RuntimeError where a release of websockets has it elsewhere.
    """
    found = inspect.getclosurevars(server.create_server).nonlocals.get("protocol_factory")
    if not callable(found):
        raise RuntimeError(
            "websockets.asyncio.server.serve() keeps its protocol_factory elsewhere in this"
            " release: see framefan_gateway/connection/acceptor.py"
        )
    made: Callable[[], ClientConnection] = found
    return made


class Guest(Protocol):
    """What the door sees of the server."""

    admission: Admission[ClientConnection]

    def room(self) -> int:
        """How many more connections there are descriptors for."""

    def nearly_full(self) -> bool:
        """Whether other gateways should take the next connections."""

    def counted(self) -> None:
        """A connection was accepted."""

    def beat(self) -> None:
        """Called a few times a second while connections are accepted."""


class Acceptor:
    """Accepts connections until `close`; then the listening socket is closed here."""

    def __init__(
        self,
        listener: socket.socket,
        factory: Callable[[], ClientConnection],
        owner: Guest,
        tls: ssl.SSLContext | None = None,
        **tls_timeouts: float,
    ) -> None:
        """`listener` listens and does not block; `tls_timeouts` are asyncio's, in seconds."""
        self._listener = listener
        self._factory = factory
        self._owner = owner
        self._tls: dict[str, Any] = {} if tls is None else {"ssl": tls, **tls_timeouts}
        self._loop = asyncio.get_running_loop()
        self._rest: asyncio.TimerHandle | None = None
        self._beat_timer: asyncio.TimerHandle | None = None
        self._coming: dict[ClientConnection, asyncio.Task[None]] = {}
        """Those that asyncio has no transport for yet: TLS has its own handshake before."""
        self._failing = False
        self._serving = True
        self._beat()
        self._look()

    def __len__(self) -> int:
        """How many were accepted that have no transport yet."""
        return len(self._coming)

    # ---- as asyncio's Server ----------------------------------------------------------------

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
        for timer in (self._rest, self._beat_timer):
            if timer is not None:
                timer.cancel()
        self._loop.remove_reader(self._listener)
        self._listener.close()
        for task in tuple(self._coming.values()):
            self._loop.call_soon(task.cancel)  # not before its first step: it owns the socket then

    async def wait_closed(self) -> None:
        """Nothing to wait for: websockets waits for the handler of each connection."""

    # ---- accepting --------------------------------------------------------------------------

    def _look(self) -> None:
        self._rest = None
        self._loop.add_reader(self._listener, self._accept)

    def _beat(self) -> None:
        self._beat_timer = self._loop.call_later(BEAT_S, self._beat)
        self._owner.beat()

    def _pause(self, seconds: float) -> None:
        self._loop.remove_reader(self._listener)
        self._rest = self._loop.call_later(seconds, self._look)

    def _accept(self) -> None:
        now = clock.now()
        self._drop_surplus(now)
        owner = self._owner
        if owner.nearly_full() or not owner.admission.accepts(owner.room()):
            self._pause(REST_S)
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
        owner.admission.came(connection, now)
        connection.socket = sock
        self._coming[connection] = self._loop.create_task(self._connect(connection, sock))
        owner.counted()

    def _fail(self, error: OSError) -> None:
        """Out of descriptors or memory: the socket stays readable, and looking at it would spin."""
        if not self._failing:
            logs.warning(f"no connection can be accepted: {error.strerror}; trying once a second")
        self._failing = True
        self._pause(RETRY_S)

    async def _connect(self, connection: ClientConnection, sock: socket.socket) -> None:
        """Hand it to asyncio, which closes the socket in the end, whatever happens."""
        made = False
        try:
            await self._loop.connect_accepted_socket(lambda: connection, sock, **self._tls)
            made = True
        except OSError:  # no TLS, or gone during its handshake: no client, and no news
            pass
        finally:
            del self._coming[connection]
            if not made:
                self.gone(connection)

    # ---- who goes for a newcomer ------------------------------------------------------------

    def _drop_surplus(self, now: float) -> None:
        """Drop the oldest silent connection, where there are too many."""
        admission = self._owner.admission
        who = admission.surplus(now)
        if who is None:
            return
        if _has_unread(who.socket):  # we have been slow to read, it was not silent
            admission.came(who, now)
            return
        admission.done(who)
        if who in self._coming:
            self._coming[who].cancel()
        else:
            who.abort("handshakes")

    def gone(self, connection: ClientConnection) -> None:
        """It is a client, or has left: not on its way in any more."""
        self._owner.admission.done(connection)


def _has_unread(sock: socket.socket) -> bool:
    try:
        return bool(sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except OSError:
        return False
