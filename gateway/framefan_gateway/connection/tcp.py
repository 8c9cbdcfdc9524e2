"""What the kernel knows and bounds of one TCP connection."""

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


def bound_unsent(sock: socket.socket, max_bytes: int) -> None:
    """Have the kernel hold no more than so much unsent, where it can be told."""
    if _NOTSENT_LOWAT is not None:
        sock.setsockopt(socket.IPPROTO_TCP, _NOTSENT_LOWAT, max_bytes)


def bound_reads(transport: asyncio.Transport, max_bytes: int) -> None:
    """Have asyncio read no more than so much at once, where it can be told.

    Else it asks for a buffer of 256 KiB for every pong: a new mapping each time, which costs more
    than all else that is done for that pong.
    """
    if hasattr(transport, "max_size"):
        transport.max_size = max_bytes


def writer(sock: socket.socket, transport: asyncio.Transport) -> Callable[[bytes], int]:
    """What writes to a transport while its buffer is empty, and says how much that was.

    Past the transport, to its socket, that costs a fifth; TLS takes all it is given.
    """
    if transport.get_extra_info("ssl_object") is None:
        return sock.send

    def write_all(data: bytes) -> int:
        transport.write(data)
        return len(data)

    return write_all


def unacknowledged_bytes(sock: socket.socket) -> int:
    """What was written and is not known to have arrived."""
    try:
        answer = fcntl.ioctl(sock.fileno(), termios.TIOCOUTQ, struct.pack("i", 0))
    except OSError:  # closing, or a system that does not answer this for sockets
        return 0
    count: int = struct.unpack("i", answer)[0]
    return count
