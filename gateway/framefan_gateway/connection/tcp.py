"""Socket options and kernel counters of one TCP connection."""

from __future__ import annotations

import fcntl
import socket
import struct
import termios
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

_NOTSENT_LOWAT = getattr(socket, "TCP_NOTSENT_LOWAT", None)


def limit_unsent(sock: socket.socket, max_bytes: int) -> None:
    """Limit the unsent bytes that the kernel buffers, where the system supports it."""
    if _NOTSENT_LOWAT is not None:
        sock.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, max_bytes)


def limit_reads(transport: asyncio.Transport, max_bytes: int) -> None:
    """Limit how much asyncio reads at once, where the transport supports it.

    Otherwise asyncio allocates 256 KiB for every pong: a new memory mapping each time, which costs
    more than everything else done for that pong.
    """
    if hasattr(transport, "max_size"):
        transport.max_size = max_bytes


def make_try_write(sock: socket.socket, transport: asyncio.Transport) -> Callable[[bytes], int]:
    """A function that writes to a transport while its buffer is empty, and returns how much.

    Without TLS it writes to the socket directly, which costs a fifth of `transport.write`. With
    TLS it takes all bytes.
    """
    if transport.get_extra_info("ssl_object") is None:
        return sock.send

    def write_all(data: bytes) -> int:
        transport.write(data)
        return len(data)

    return write_all


def unacknowledged_bytes(sock: socket.socket) -> int:
    """How many written bytes the peer has not acknowledged."""
    try:
        answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
    except OSError:  # the socket is closing, or the system does not support this for sockets
        return 0
    count: int = struct.unpack("i", answer)[0]
    return count
