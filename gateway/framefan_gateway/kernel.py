"""What the kernel knows and bounds of one TCP connection."""

from __future__ import annotations

import fcntl
import socket
import struct
import termios

from framefan import host

_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", None)
_TCPI_RTT = struct.Struct("68xI")
"""The smoothed round trip time in Linux's struct tcp_info, in microseconds."""
_ROUND_TRIP_GUESS_S = 0.1


def bound_unsent(sock: socket.socket, most_bytes: int) -> None:
    """Have the kernel hold no more than so much unsent, where it can be told."""
    if _NOTSENT_LOWAT is not None:
        sock.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, most_bytes)


def round_trip_s(sock: socket.socket) -> float:
    """What the kernel measured for this connection, or a guess where it does not say."""
    if not hasattr(socket, "TCP_INFO") or not host.LINUX:
        return _ROUND_TRIP_GUESS_S
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCPI_RTT.size)
    return float(_TCPI_RTT.unpack(info)[0]) / 1e6


def unacknowledged_bytes(sock: socket.socket) -> int:
    """What was written and is not known to have arrived."""
    try:
        answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
    except OSError:  # closing, or a system that does not answer this for sockets
        return 0
    count: int = struct.unpack("i", answer)[0]
    return count
