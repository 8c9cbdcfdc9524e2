"""The clients of the gateway's benchmarks, over raw sockets, and the groups that they belong to.

A client finds the frames in what it reads, answers pings, and hands messages to its group, which
counts or times them.
"""

from __future__ import annotations

import contextlib
import fcntl
import socket
import sys
import termios
from array import array
from collections import Counter
from typing import TYPE_CHECKING, Any

from framefan.base import clock

if TYPE_CHECKING:
    from collections.abc import Callable

READ_BYTES, _READ_SOME = 1 << 16, 1 << 12
_AT_ONCE = 24
"""Handshakes begun before the first of them is finished: below what a gateway allows."""
_PER_ADDRESS = 4000
"""Clients from one loopback address: each address has its own ports."""
_PATIENCE_S = 20.0
_LOOK_S = 0.05
_REQUEST = (
    "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    "Sec-WebSocket-Version: 13\r\n\r\n"
)
_TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x81, 0x82, 0x88, 0x89, 0x8A
_MASKED = 0x80
_TEXT_126 = bytes((_TEXT, 126))
_NO_MASK = b"\0\0\0\0"
"""XOR with zeros is the identity: a pong is masked at no cost."""


class Client:
    """One connection: its socket, the half frame it has read, and what its group knows of it."""

    __slots__ = (
        "closed",
        "count_one",
        "ended_at",
        "fd",
        "group",
        "knows",
        "last",
        "rest",
        "sock",
    )

    def __init__(self, sock: socket.socket, group: Group) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.group = group
        counts_only = type(group).message is Group.message
        self.count_one = make_count_one(self) if counts_only else _no
        self.rest = b""
        self.last = -1
        """The number of the last result, where the group looks at it."""
        self.closed = ""
        self.ended_at = 0.0
        self.knows: Any = None

    def take(self, data: bytes, now: float) -> None:
        """Find the whole frames in what has been read so far."""
        if self.rest:
            data = self.rest + data
        at, end = 0, len(data)
        while end - at >= 2:
            size, start = data[at + 1], at + 2
            if size == 126:
                size, start = int.from_bytes(data[at + 2 : at + 4], "big"), at + 4
            elif size == 127:
                size, start = int.from_bytes(data[at + 2 : at + 10], "big"), at + 10
            stop = start + size
            if stop > end:
                break
            kind = data[at]
            if kind in (_TEXT, _BINARY):
                self.group.message(self, data, start, stop, now)
            elif kind == _PING:
                self._pong(data[start:stop])
            elif kind == _CLOSE:
                self.closed = str(int.from_bytes(data[start : start + 2], "big"))
            at = stop
        self.rest = data[at:] if at < end else b""

    def _pong(self, payload: bytes) -> None:
        with contextlib.suppress(OSError):
            head = bytes((_PONG, _MASKED | len(payload)))
            self.sock.send(head + _NO_MASK + payload)


def _no() -> bool:
    return False


def make_count_one(client: Client) -> Callable[[], bool]:
    """A function that reads one whole text message of 126 to 65,535 bytes and counts it. Anything
    else that it reads, it hands to the client, and it returns False where there is nothing to read.
    """
    receive, group = client.sock.recv, client.group

    def count_one() -> bool:
        try:
            data = receive(_READ_SOME)
        except OSError:
            return False
        if data[:2] == _TEXT_126 and not client.rest and data[2] << 8 | data[3] == len(data) - 4:
            group.messages += 1
            group.bytes += len(data) - 4
            return True
        if data:
            client.take(data, clock.now())
        return bool(data)

    return count_one


class Group:
    """Clients of one server and one purpose. This one counts."""

    def __init__(self) -> None:
        self.clients: list[Client] = []
        self.messages = 0
        self.bytes = 0

    def message(self, client: Client, data: bytes, start: int, stop: int, now: float) -> None:
        self.messages += 1
        self.bytes += stop - start

    def ended(self, client: Client) -> None:
        """Its connection is gone."""

    def report(self) -> dict[str, Any]:
        return {
            "messages": self.messages,
            "bytes": self.bytes,
            "open": sum(not client.closed for client in self.clients),
            "ended": sorted(client.ended_at for client in self.clients if client.closed),
        }


class StuckGroup(Group):
    """Clients that never read. It notes when the kernel last took a byte for any of them."""

    def __init__(self) -> None:
        super().__init__()
        self._taken = array("i")
        self._look_at = 0.0
        self.took_at = 0.0

    def look(self, now: float) -> None:
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_S
        taken = array("i", [_unread(each.sock) for each in self.clients if not each.closed])
        if taken != self._taken:
            self._taken, self.took_at = taken, now

    def report(self) -> dict[str, Any]:
        return super().report() | {"took_at": self.took_at}


def _unread(sock: socket.socket) -> int:
    """Bytes that the kernel holds for this client."""
    return int.from_bytes(fcntl.ioctl(sock.fileno(), termios.FIONREAD, bytes(4)), sys.byteorder)


class TimedGroup(Group):
    """Also notes when each result came, by its frame number, and whether one was left out."""

    def __init__(self) -> None:
        super().__init__()
        self.clear()

    def clear(self) -> None:
        self.at = array("d")
        self.frame = array("q")
        self.deliver = array("d")
        """What the message itself says that it waited for in the gateway, in milliseconds."""
        self.holes = 0
        self.causes: Counter[str] = Counter()
        """Which holes there were, and why, as the messages after them say."""

    def message(self, client: Client, data: bytes, start: int, stop: int, now: float) -> None:
        self.messages += 1
        self.bytes += stop - start
        found = data.find(b'"frame":', start, stop)
        if found < 0:
            return
        frame = int(data[found + 8 : data.find(b",", found, stop)])
        self.at.append(now)
        self.frame.append(frame)
        said = data.find(b'"deliver":', found, stop)
        self.deliver.append(float(data[said + 10 : data.find(b",", said, stop)]))
        if frame != client.last + 1 and client.last >= 0:
            self.holes += 1
            causes = data.find(b'"missed_by":', start, stop)
            told = data[causes + 12 : data.find(b"}", causes, stop) + 1] if causes > 0 else b"{}"
            self.causes[f"frame {frame}: {told.decode()}"] += 1
        client.last = frame

    def report(self) -> dict[str, Any]:
        told = super().report() | {
            "at": self.at.tobytes(),
            "frame": self.frame.tobytes(),
            "deliver": self.deliver.tobytes(),
            "holes": self.holes,
            "causes": dict(self.causes),
        }
        self.clear()
        return told


def connect(
    group: Group,
    port: int,
    path: str,
    count: int,
    rcvbuf: int = 0,
    knows: Any = None,
    at_once: int = _AT_ONCE,
    answers: bool = True,
) -> list[Client]:
    """`count` new clients of a group, after their handshakes; their sockets do not block.

    `answers`: they take what comes right behind the handshake, and answer a ping in it.
    """
    made: list[Client] = []
    while len(made) < count:
        turn = range(len(made), min(count, len(made) + at_once))
        begun = [_begin(port, path, number, rcvbuf) for number in turn]
        for sock in begun:
            early = _finish(sock)
            client = Client(sock, group)
            client.knows = knows
            group.clients.append(client)
            made.append(client)
            if early and answers:
                client.take(early, clock.now())
    return made


def _begin(port: int, path: str, number: int, rcvbuf: int) -> socket.socket:
    sock = socket.socket()
    if rcvbuf:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.settimeout(_PATIENCE_S)
    sock.bind((f"127.0.0.{2 + number // _PER_ADDRESS}", 0))
    sock.connect(("127.0.0.1", port))
    sock.sendall(_REQUEST.format(path=path, port=port).encode())
    return sock


def _finish(sock: socket.socket) -> bytes:
    """Read the answer; what follows it belongs to the WebSocket."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = sock.recv(4096)
        if not more:
            raise OSError(f"no WebSocket here: {data!r}")
        data += more
    if not data.startswith(b"HTTP/1.1 101"):
        raise OSError(f"no WebSocket here: {data!r}")
    sock.setblocking(False)
    return data.partition(b"\r\n\r\n")[2]
