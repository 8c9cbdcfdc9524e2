"""Tiny models as the bytes of ONNX files, written field by field: no package is needed.

`detector`: a convolution of 8x8 cells, a sigmoid, and a reshape to the head `(N, 4 + 2, cells)`.
`answering`: whatever outputs a test wants, always the same, with an input of any kind and shape.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

_FLOAT, UINT8, INT64, HALF, DOUBLE = 1, 2, 7, 10, 11  # TensorProto.DataType
_KINDS = {("f", 4): _FLOAT, ("f", 2): HALF, ("i", 8): INT64}
"""By numpy's kind of number and its bytes."""
_ONE_INT, _INTS = 2, 7  # AttributeProto.AttributeType
CELL = 8


def detector(
    batch: int | None,
    seed: int = 1,
    names: str = "{0: 'one', 1: 'two'}",
    *,
    kind: int = _FLOAT,
    task: str = "",
    raw: bool = False,
    more: bytes = b"",
) -> bytes:
    """For pictures of 64x32. `batch`: how many at once; None leaves it free. `kind`: of the
    input's numbers, as TensorProto.DataType counts them. `raw`: scores are not between 0 and 1.
    `more`: further fields of the graph.
    """
    weights = np.random.default_rng(seed).normal(0, 0.3, (6, 3, CELL, CELL)).astype("<f4")
    cells = (64 // CELL) * (32 // CELL)
    pixels = np.array([64, 32, 20, 20, 1, 1], "<f4").reshape(1, 6, 1, 1)
    graph = [
        _bytes(1, _node("Cast", ["pictures"], "floats", [_to(_FLOAT)])),
        _bytes(1, _node("Mul", ["floats", "scale"], "scaled", [])),
        _bytes(1, _node("Conv", ["scaled", "weights", "bias"], "raw", [_strides()])),
        _bytes(1, _node("Sigmoid", ["raw"], "between", [])),
        _bytes(1, _node("Mul", ["raw" if raw else "between", "pixels"], "boxes", [])),
        _bytes(1, _node("Reshape", ["boxes", "head"], "out", [])),
        _bytes(5, _tensor("pixels", _FLOAT, pixels)),
        _bytes(2, b"tiny"),
        _bytes(5, _tensor("weights", _FLOAT, weights)),
        _bytes(5, _tensor("scale", _FLOAT, np.array([1 / 255 if kind == UINT8 else 1], "<f4"))),
        _bytes(5, _tensor("bias", _FLOAT, np.full(6, 2.5, "<f4") if raw else np.zeros(6, "<f4"))),
        _bytes(5, _tensor("head", INT64, np.array([0, 6, cells], "<i8"))),
        _bytes(11, value("pictures", [batch, 3, 32, 64], kind)),
        _bytes(12, value("out", [batch, 6, cells])),
        more,
    ]
    return _model(graph, {"names": names, "task": task})


def answering(
    outputs: Mapping[str, NDArray[Any]],
    said: Mapping[str, str] | None = None,
    *,
    shape: Sequence[int | None] = (1, 3, 64, 64),
    kind: int = _FLOAT,
    more_inputs: Mapping[str, int] | None = None,
) -> bytes:
    """A model that answers `outputs` to every picture. `said`: its metadata.

    `shape`, `kind`: of the input `images`. `more_inputs`: kinds by name; each is of shape (N, 2).
    """
    graph = [
        _bytes(1, _node("Cast", ["images"], "floats", [_to(_FLOAT)])),
        _bytes(1, _node("ReduceMean", ["floats"], "mean", [_no_sides()])),
        _bytes(1, _node("Mul", ["mean", "zero"], "nothing", [])),
        _bytes(5, _tensor("zero", _FLOAT, np.array(0, "<f4"))),
        _bytes(2, b"answering"),
        _bytes(11, value("images", list(shape), kind)),
    ]
    for name, each in (more_inputs or {}).items():
        graph.append(_bytes(11, value(name, [None, 2], each)))
    for name, array in outputs.items():
        number = _KINDS[array.dtype.kind, array.dtype.itemsize]
        floats = array.astype("<f4")
        graph += [
            _bytes(5, _tensor(f"{name}_", _FLOAT, floats)),
            _bytes(1, _node("Add", ["nothing", f"{name}_"], f"{name}_sum", [])),
            _bytes(1, _node("Cast", [f"{name}_sum"], name, [_to(number)])),
            _bytes(12, value(name, list(array.shape), number)),
        ]
    return _model(graph, said or {})


def _model(graph: list[bytes], said: Mapping[str, str]) -> bytes:
    opset = _bytes(8, _int(2, 13))
    metadata = b"".join(
        _bytes(14, _bytes(1, key.encode()) + _bytes(2, text.encode()))
        for key, text in said.items()
        if text
    )
    return _int(1, 8) + _bytes(7, b"".join(graph)) + opset + metadata


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


def _to(kind: int) -> bytes:
    return _bytes(1, b"to") + _int(3, kind) + _int(20, _ONE_INT)


def _no_sides() -> bytes:
    return _bytes(1, b"keepdims") + _int(3, 0) + _int(20, _ONE_INT)


def _tensor(name: str, kind: int, array: NDArray[Any]) -> bytes:
    sides = b"".join(_int(1, side) for side in array.shape)
    return sides + _int(2, kind) + _bytes(8, name.encode()) + _bytes(9, array.tobytes())


def value(name: str, shape: list[int | None], kind: int = _FLOAT) -> bytes:
    sides = b"".join(
        _bytes(1, _bytes(2, b"batch") if side is None else _int(1, side)) for side in shape
    )
    return _bytes(1, name.encode()) + _bytes(2, _bytes(1, _int(1, kind) + _bytes(2, sides)))


def graph_input(name: str) -> bytes:
    return _bytes(11, value(name, [1, 3]))


def graph_node(operator: str) -> bytes:
    """One that nothing needs."""
    return _bytes(1, _node(operator, ["out"], "unused", []))


def graph_output(name: str) -> bytes:
    """The same numbers once more, under another name."""
    return _bytes(1, _node("Identity", ["out"], name, [])) + _bytes(12, value(name, [1, 6, 32]))
