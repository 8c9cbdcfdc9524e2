"""A tiny detector as the bytes of an ONNX file, written field by field: no package is needed.

A convolution of 8x8 cells, a sigmoid, and a reshape to the head `(N, 4 + 2, cells)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_FLOAT, _INT64 = 1, 7  # TensorProto.DataType
_INTS = 7  # AttributeProto.AttributeType
CELL = 8


def detector(batch: int | None, seed: int = 1, names: str = "{0: 'one', 1: 'two'}") -> bytes:
    """For pictures of 64x32. `batch`: how many at once; None leaves it free."""
    weights = np.random.default_rng(seed).normal(0, 0.3, (6, 3, CELL, CELL)).astype("<f4")
    cells = (64 // CELL) * (32 // CELL)
    graph = [
        _bytes(1, _node("Conv", ["pictures", "weights"], "raw", [_strides()])),
        _bytes(1, _node("Sigmoid", ["raw"], "between", [])),
        _bytes(1, _node("Reshape", ["between", "head"], "out", [])),
        _bytes(2, b"tiny"),
        _bytes(5, _tensor("weights", _FLOAT, weights)),
        _bytes(5, _tensor("head", _INT64, np.array([0, 6, cells], "<i8"))),
        _bytes(11, _value("pictures", [batch, 3, 32, 64])),
        _bytes(12, _value("out", [batch, 6, cells])),
    ]
    opset = _bytes(8, _int(2, 13))
    said = _bytes(14, _bytes(1, b"names") + _bytes(2, names.encode()))
    return _int(1, 8) + _bytes(7, b"".join(graph)) + opset + said


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _int(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _bytes(number: int, value: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _node(kind: str, inputs: list[str], output: str, attributes: list[bytes]) -> bytes:
    takes = b"".join(_bytes(1, name.encode()) for name in inputs)
    gives = _bytes(2, output.encode()) + _bytes(3, output.encode())
    return takes + gives + _bytes(4, kind.encode()) + b"".join(_bytes(5, a) for a in attributes)


def _strides() -> bytes:
    return _bytes(1, b"strides") + _int(8, CELL) * 2 + _int(20, _INTS)


def _tensor(name: str, kind: int, array: NDArray[Any]) -> bytes:
    sides = b"".join(_int(1, side) for side in array.shape)
    return sides + _int(2, kind) + _bytes(8, name.encode()) + _bytes(9, array.tobytes())


def _value(name: str, shape: list[int | None]) -> bytes:
    sides = b"".join(
        _bytes(1, _bytes(2, b"batch") if side is None else _int(1, side)) for side in shape
    )
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, _int(1, _FLOAT) + _bytes(2, sides)))
