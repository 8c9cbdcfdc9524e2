"""The bus's second endpoint (`--publish`), and which readers it admits.

libzmq copies a socket's options when it binds. The run's own endpoint was bound earlier, so it has
no keys, and the options set here apply to the second endpoint only. The supervisor has bound the
listening socket (framefan/config/publish.py); this module takes it over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import zmq
from zmq.utils import z85

from framefan.ipc import bus

if TYPE_CHECKING:
    from collections.abc import Iterable

    from framefan.settings.run import Settings

_NOBLOCK = int(zmq.NOBLOCK)
_ZAP = "inproc://zeromq.zap.01"
_DOMAIN = b"framefan"
_ENFORCED = 1
"""Without it libzmq admits every reader when no ZAP handler answers."""
_IDLE_S = 10
_UNANSWERED_MS = 30_000
"""After this long without an acknowledgement, the connection of a vanished reader is closed."""


def open_outlet(sock: zmq.Socket[bytes], settings: Settings, fd: int) -> CurveAuth | None:
    """Make the bound `sock` publish at the listening socket `fd` too; returns the ZAP handler.

    The handler is None without `publish_keys`. Raises zmq.ZMQError when it cannot bind.
    """
    keys, doorman = settings.publish_keys, None
    if keys:
        doorman = CurveAuth(keys.readers)  # before any reader can connect
        sock.setsockopt(zmq.CURVE_SERVER, 1)
        sock.setsockopt(zmq.CURVE_SECRETKEY, keys.secret.reveal().encode())
        sock.setsockopt(zmq.ZAP_DOMAIN, _DOMAIN)
        sock.setsockopt(zmq.ZAP_ENFORCE_DOMAIN, _ENFORCED)
    sock.setsockopt(zmq.HANDSHAKE_IVL, max(1, int(settings.limits.handshake_s * 1000)))
    if settings.publish.startswith("tcp:"):
        sock.setsockopt(zmq.TCP_KEEPALIVE, 1)
        sock.setsockopt(zmq.TCP_KEEPALIVE_IDLE, _IDLE_S)
        sock.setsockopt(zmq.TCP_KEEPALIVE_INTVL, _IDLE_S)
        sock.setsockopt(zmq.TCP_KEEPALIVE_CNT, 2)
        sock.setsockopt(zmq.TCP_MAXRT, _UNANSWERED_MS)
    sock.setsockopt(zmq.USE_FD, fd)
    sock.bind(settings.publish)
    return doorman


class CurveAuth:
    """The ZAP handler: tells libzmq whether to admit a reader (rfc.zeromq.org/spec/27)."""

    def __init__(self, readers: Iterable[str]) -> None:
        self._readers = {z85.decode(key) for key in readers}
        self._socket = bus.context().socket(zmq.REP)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.bind(_ZAP)

    def fileno(self) -> int:
        """Readable when a request may have arrived."""
        return int(self._socket.getsockopt(zmq.FD))

    def answer(self) -> None:
        """Answer all requests that have arrived."""
        while True:
            try:
                asked = self._socket.recv_multipart(_NOBLOCK)
            except zmq.Again:
                return
            version, request, _, _, _, mechanism, *credentials = asked
            code, text = (b"200", b"OK") if self._may(mechanism, credentials) else (b"400", b"No")
            self._socket.send_multipart([version, request, code, text, b"", b""])

    def _may(self, mechanism: bytes, credentials: list[bytes]) -> bool:
        """NULL is admitted: only the run's own endpoint, which has no keys, offers it."""
        if mechanism == b"CURVE":
            return len(credentials) == 1 and credentials[0] in self._readers
        return mechanism == b"NULL"

    def close(self) -> None:
        self._socket.unbind(_ZAP)  # without it the name stays taken for a while after closing
        self._socket.close(linger=0)
