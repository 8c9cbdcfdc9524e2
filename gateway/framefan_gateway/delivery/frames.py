"""The WebSocket frames (RFC 6455) that the gateway writes and reads itself: messages, pings, pongs.

Message bodies become frames once for all clients that get the same batch. A ping carries a number,
and its pong returns that number. Handling both here costs far less than a WebSocket library does.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from framefan_gateway.delivery.wire import Body

_TEXT, _BINARY, _PING = 0x81, 0x82, 0x89
"""The first byte of an unfragmented text or binary message, and of a ping."""
_MEDIUM = struct.Struct("!BBH")
_LARGE = struct.Struct("!BBQ")
_PREFIX = b"pace"
_NUMBER = struct.Struct("!Q")
_PONG = bytes((0x8A, 0x80 | (len(_PREFIX) + _NUMBER.size)))
"""The first two bytes of a masked pong with such a payload."""
_PONG_BYTES = 2 + 4 + len(_PREFIX) + _NUMBER.size


def frames(bodies: Iterable[Body]) -> bytes:
    """Encode each body as one unmasked frame, and concatenate the frames."""
    return b"".join(
        [_frame(_BINARY if binary else _TEXT, data) for data, binary in bodies]  # a list is faster
    )


def _frame(head: int, data: bytes) -> bytes:
    """RFC 6455, section 5.2: the length is in one byte, or in the two or eight bytes after it."""
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


def ping_number(payload: bytes) -> int | None:
    """The number in a pong's payload; None if it does not answer one of our pings."""
    if len(payload) != len(_PREFIX) + _NUMBER.size or not payload.startswith(_PREFIX):
        return None
    return int(_NUMBER.unpack_from(payload, len(_PREFIX))[0])


def pong_number(data: bytes) -> int | None:
    """The number in a pong, if `data` is exactly one pong that answers our ping; else None."""
    if len(data) != _PONG_BYTES or data[:2] != _PONG:
        return None
    mask = int.from_bytes(data[2:6] * 3, "big")
    return ping_number((int.from_bytes(data[6:], "big") ^ mask).to_bytes(12, "big"))


def ends_with_frame(data: bytes) -> bool:
    """Whether `data`, which begins with a client's frame, ends at the end of a frame."""
    at, end = 0, len(data)
    while at + 1 < end:
        short = data[at + 1] & 0x7F
        wide = {126: 2, 127: 8}.get(short, 0)
        size = int.from_bytes(data[at + 2 : at + 2 + wide], "big") if wide else short
        at += 2 + wide + 4 + size
    return at == end
