"""Links: Unix sockets between framefan's processes, which also pass file descriptors.

A message is a length of four little-endian bytes, then one MessagePack record of messages.py.
A descriptor travels with the first byte of the message it belongs to. The kernel never merges
bytes across a descriptor, so descriptors arrive in the order of the messages that carry them.

Sending does not wait for buffer space. Our protocols keep a bounded amount in flight on a link,
far below the size of the socket's buffer. So a full buffer means that the peer has stopped
reading: the link counts as closed, and the owner of the peer decides what to do with the peer.
"""

from __future__ import annotations

import array
import contextlib
import os
import select
import socket
import struct
from collections import deque
from typing import Any, Generic, TypeVar

import msgspec

from framefan.errors import LinkClosed, LinkGarbled

LENGTH = struct.Struct("<I")
MESSAGE_BYTES = 1 << 20
_READ_BYTES = 1 << 13
"""Our messages are small, and each read allocates a buffer of this size."""
_FDS_PER_READ = 16
_FINISH_S = 1.0
"""How long sending the remainder of a partly sent message may take."""
_MOST_READS = 64
"""The most reads in one `drain`, so that a peer that sends without pause cannot block us."""
_ANCILLARY = socket.CMSG_SPACE(_FDS_PER_READ * array.array("i").itemsize)
# Plain ints: combining IntFlags runs Python code and costs several microseconds a message.
_DONTWAIT = int(socket.MSG_DONTWAIT)
_BLOCK = int(getattr(socket, "MSG_CMSG_CLOEXEC", 0))
_NO_BLOCK = _BLOCK | _DONTWAIT
_encoder = msgspec.msgpack.Encoder()

M = TypeVar("M")


class Link(Generic[M]):
    """One end of a link that receives messages of the union `receives`."""

    def __init__(self, sock: socket.socket, receives: Any) -> None:
        self._sock = sock
        self._decoder: msgspec.msgpack.Decoder[M] = msgspec.msgpack.Decoder(receives)
        self._bytes = bytearray()
        self._fds: deque[int] = deque()
        self._ended: LinkClosed | None = None
        """Why the link ended, when `drain` saw the end after it had read messages."""

    def fileno(self) -> int:
        return self._sock.fileno()

    def send(self, message: msgspec.Struct, fd: int | None = None) -> None:
        """Send one message, with a descriptor if given; the caller must close the descriptor.

        Raises LinkClosed when the peer is gone or has stopped reading.
        """
        if not self._write(message, fd):
            raise LinkClosed("a peer stopped reading its link")

    def offer(self, message: msgspec.Struct) -> bool:
        """Like `send`, for messages that a later one replaces. False when the buffer is full."""
        return self._write(message, None)

    def _write(self, message: msgspec.Struct, fd: int | None) -> bool:
        body = _encoder.encode(message)
        data = LENGTH.pack(len(body)) + body
        try:
            if fd is None:
                sent = self._sock.send(data, _DONTWAIT)
            else:
                sent = socket.send_fds(self._sock, [data], [fd], _DONTWAIT)
        except BlockingIOError:
            return False
        except OSError as error:
            raise LinkClosed("a peer closed its link", str(error)) from error
        if sent < len(data):
            # Part of the message is sent; only sending the remainder keeps the stream valid.
            self._finish(data[sent:])
        return True

    def _finish(self, rest: bytes) -> None:
        self._sock.settimeout(_FINISH_S)
        try:
            self._sock.sendall(rest)
        except OSError as error:
            with contextlib.suppress(OSError):  # nothing may follow a partial message
                self._sock.shutdown(socket.SHUT_WR)
            raise LinkClosed("a peer stopped reading in the middle of a message") from error
        finally:
            self._sock.settimeout(None)

    def drain(self) -> list[M]:
        """Every complete message that has arrived, also from a peer that has died.

        Raises LinkClosed once all of them have been returned, and LinkGarbled as `receive` does.
        """
        if self._ended is not None:
            raise self._ended
        messages: list[M] = []
        for _ in range(_MOST_READS):
            if not select.select([self._sock], [], [], 0)[0]:
                break
            try:
                messages += self.receive()
            except LinkClosed as end:
                if not messages:
                    raise
                self._ended = end
                break
        return messages

    def receive(self, block: bool = False) -> list[M]:
        """Every complete message of one read; with `block`, waits for at least some bytes.

        Raises LinkClosed at the end of the stream, and LinkGarbled on invalid data.
        """
        try:
            data, ancillary, _, _ = self._sock.recvmsg(
                _READ_BYTES, _ANCILLARY, _BLOCK if block else _NO_BLOCK
            )
        except (BlockingIOError, InterruptedError):
            return []
        except OSError as error:
            raise LinkClosed("a peer closed its link", str(error)) from error
        for level, kind, payload in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds = array.array("i")
                fds.frombytes(payload[: len(payload) - len(payload) % fds.itemsize])
                self._fds.extend(fds)
        if not data:
            raise LinkClosed("a peer closed its link")
        if not self._bytes and len(data) >= LENGTH.size:
            (size,) = LENGTH.unpack_from(data)
            if len(data) == LENGTH.size + size:  # nearly always: exactly one complete message
                return [self._decode(memoryview(data)[LENGTH.size :])]
        self._bytes += data
        return self._split()

    def _decode(self, body: memoryview | bytearray) -> M:
        try:
            return self._decoder.decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:  # msgspec raises both
            raise LinkGarbled("a link carried a message nobody sends", str(error)) from error

    def _split(self) -> list[M]:
        messages: list[M] = []
        start = 0
        while len(self._bytes) - start >= LENGTH.size:
            (size,) = LENGTH.unpack_from(self._bytes, start)
            if size > MESSAGE_BYTES:
                raise LinkGarbled(f"a link announced a message of {size} bytes")
            end = start + LENGTH.size + size
            if end > len(self._bytes):
                break
            messages.append(self._decode(self._bytes[start + LENGTH.size : end]))
            start = end
        del self._bytes[:start]
        return messages

    def take_fd(self) -> int:
        """The descriptor of the current message; call it once per message that carries one."""
        if not self._fds:
            raise LinkGarbled("a message came without its descriptor")
        return self._fds.popleft()

    def close(self) -> None:
        while self._fds:
            os.close(self._fds.popleft())
        self._sock.close()


def pair() -> tuple[socket.socket, socket.socket]:
    """A connected pair: we keep one end, a child inherits the other."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)


def connect(path: str) -> socket.socket:
    """Raises LinkClosed when nobody listens at `path`."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.connect(path)
    except OSError as error:
        sock.close()
        raise LinkClosed(f"nobody listens at {path}", str(error)) from error
    return sock
