"""The bytes of RFC 6455 that this gateway writes and reads by itself: messages, pings and pongs.

A message body becomes a frame only where it is written, once for all clients that are due the same
batch. A ping carries a number, and its pong brings that number back; both are recognised without
the rest of a WebSocket library, which would cost far more.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from framefan_gateway.delivery.wire import Body

_TEXT, _BINARY, _PING = 0x81, 0x82, 0x89
"""The first byte of a whole message's only frame, and of a ping."""
_MEDIUM = struct.Struct("!BBH")
_LARGE = struct.Struct("!BBQ")
_PREFIX = b"pace"
_NUMBER = struct.Struct("!Q")
_PONG = bytes((0x8A, 0x80 | (len(_PREFIX) + _NUMBER.size)))
"""How a masked pong of this size begins."""
_PONG_BYTES = 2 + 4 + len(_PREFIX) + _NUMBER.size


def frames(bodies: Iterable[Body]) -> bytes:
    """Each body as one whole unmasked frame, one after the other."""
    return b"".join(
        [_frame(_BINARY if binary else _TEXT, data) for data, binary in bodies]  # a list is faster
    )


def _frame(head: int, data: bytes) -> bytes:
    """Section 5.2: the length in one byte, or in the two or eight after it."""
    size = len(data)
    if size < 126:
        return bytes((head, size)) + data
    if size < 1 << 16:
        return _MEDIUM.pack(head, 126, size) + data
    return _LARGE.pack(head, 127, size) + data


def ping(number: int) -> bytes:
    """The bytes of a ping that carries this number."""
    payload = _PREFIX + _NUMBER.pack(number)
    return bytes((_PING, len(payload))) + payload


def number_of(payload: bytes) -> int | None:
    """The number a pong brings back; None when the ping was not one of these."""
    if len(payload) != len(_PREFIX) + _NUMBER.size or not payload.startswith(_PREFIX):
        return None
    return int(_NUMBER.unpack_from(payload, len(_PREFIX))[0])


def pong_in(data: bytes) -> int | None:
    """The number that comes back, when `data` is one whole pong of ours and nothing else."""
    if len(data) != _PONG_BYTES or data[:2] != _PONG:
        return None
    mask = int.from_bytes(data[2:6] * 3, "big")
    return number_of((int.from_bytes(data[6:], "big") ^ mask).to_bytes(12, "big"))


def whole(data: bytes) -> bool:
    """Whether what begins with a frame from a client ends with one (section 5.2)."""
    at, end = 0, len(data)
    while at + 1 < end:
        short = data[at + 1] & 0x7F
        wide = {126: 2, 127: 8}.get(short, 0)
        size = int.from_bytes(data[at + 2 : at + 2 + wide], "big") if wide else short
        at += 2 + wide + 4 + size
    return at == end
