"""Encodes any JSON value as the bytes of a google.protobuf.Value.

The protobuf runtime would create an object for each number, which takes about 1 µs. A result may
contain 30,000 numbers, and the gateway's other clients would wait meanwhile. The field numbers are
those of google/protobuf/struct.proto.
"""

from __future__ import annotations

import math
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_NULL = b"\x08\x00"
_BOOLS = (b"\x20\x00", b"\x20\x01")
_number = struct.Struct("<cd").pack
_item = struct.Struct("<3sd").pack
_NUMBER, _TEXT, _STRUCT, _LIST = b"\x11", b"\x1a", b"\x2a", b"\x32"
_ITEM, _KEY, _VALUE = b"\x0a", b"\x0a", b"\x12"
_NUMBER_ITEM = _ITEM + b"\x09" + _NUMBER


_DEEPEST = 32
"""A runtime accepts 100 nested messages, and each nested object takes three of them."""


class TooDeep(ValueError):
    """Objects and lists are nested too deeply for a runtime to read."""


def of_value(value: Any, depth: int = 0) -> bytes:
    """A `Value`. A number that is not finite is null, as in JSON. Raises TooDeep."""
    if depth > _DEEPEST:
        raise TooDeep(f"the result is over {_DEEPEST} levels deep")
    if isinstance(value, str):
        return _sized(_TEXT, value.encode())
    if isinstance(value, bool):
        return _BOOLS[value]
    if isinstance(value, int | float):
        return _number(_NUMBER, value) if math.isfinite(value) else _NULL
    if isinstance(value, list | tuple):
        return _sized(_LIST, _of_list(value, depth + 1))
    return _NULL if value is None else _sized(_STRUCT, of_object(value, depth + 1))


def of_object(value: Mapping[str, Any], depth: int = 1) -> bytes:
    """A `Struct`. Raises TooDeep."""
    pairs = [
        _sized(_KEY, key.encode()) + _sized(_VALUE, of_value(each, depth))
        for key, each in value.items()
    ]
    return b"".join([_sized(_ITEM, pair) for pair in pairs])


def _of_list(values: list[Any] | tuple[Any, ...], depth: int) -> bytes:
    if set(map(type, values)) == {float} and all(map(math.isfinite, values)):
        return b"".join([_item(_NUMBER_ITEM, each) for each in values])
    return b"".join([_sized(_ITEM, of_value(each, depth)) for each in values])


def _sized(tag: bytes, data: bytes) -> bytes:
    """The tag, the length as a varint, and the bytes."""
    size = len(data)
    if size < 128:
        return tag + size.to_bytes(1, "little") + data
    length = bytearray()
    while size >= 128:
        length.append(size & 127 | 128)
        size >>= 7
    length.append(size)
    return b"".join((tag, length, data))
