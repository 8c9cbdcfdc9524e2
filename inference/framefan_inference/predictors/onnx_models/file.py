"""Reads an ONNX file's inputs, outputs and metadata, without a runtime.

An ONNX file is one Protocol Buffers message (onnx.proto of the ONNX project). This module reads
only the fields below and skips all others, such as the weights.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from framefan.errors import StartError
from framefan_inference.predictors.onnx_models import metadata
from framefan_inference.predictors.onnx_models.metadata import Metadata

if TYPE_CHECKING:
    from collections.abc import Iterator

_GRAPH, _METADATA = 7, 14  # of ModelProto
_NODE, _INITIALIZER, _INPUT, _OUTPUT = 1, 5, 11, 12  # of GraphProto
_OPERATOR = 4  # of NodeProto
_TENSOR_NAME = 8  # of TensorProto
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LARGEST_SIDE = 1 << 16
_VARYING = {"NonMaxSuppression", "NonZero", "Compress", "Unique"}


class Tensor(Struct, frozen=True):
    """An input or output as the file declares it."""

    name: str
    kind: int
    """The element type, a number of TensorProto.DataType."""
    shape: tuple[int | None, ...]
    """None for a dynamic dimension."""


class OnnxFile(Struct, frozen=True):
    inputs: tuple[Tensor, ...]
    outputs: tuple[str, ...]
    said: Metadata
    varying: tuple[str, ...] = ()
    """Operators of the graph whose number of rows differs from picture to picture."""

    @property
    def picture(self) -> Tensor:
        """The image input: the first input with four dimensions, else the first input."""
        return next((each for each in self.inputs if len(each.shape) == 4), self.inputs[0])


def read(path: str) -> OnnxFile:
    """Read the file. Raises StartError if it is not an ONNX file, OSError if it cannot be read."""
    data = memoryview(Path(path).read_bytes())
    try:
        graph = _Graph()
        said: dict[str, str] = {}
        for number, value in _fields(data):
            if number == _METADATA:
                key, text = _strings(value, 1, 2)
                said[key] = text
            elif number == _GRAPH:
                _read_graph(value, graph)
        inputs = tuple(each for each in graph.inputs if each.name not in graph.weights)
        if not inputs:
            raise ValueError("no input")
    except (ValueError, IndexError) as error:
        raise StartError(
            f"{path} is not an ONNX model",
            "the file does not have the structure of one",
            "check the path, or export the model again",
        ) from error
    return OnnxFile(inputs, tuple(graph.outputs), metadata.read(said), tuple(sorted(graph.varying)))


class _Graph:
    def __init__(self) -> None:
        self.inputs: list[Tensor] = []
        self.outputs: list[str] = []
        self.weights: set[str] = set()
        self.varying: set[str] = set()


def _read_graph(data: memoryview, graph: _Graph) -> None:
    for number, value in _fields(data):
        if number == _NODE:
            graph.varying |= _VARYING.intersection(_strings(value, _OPERATOR))
        elif number == _INITIALIZER:  # older files list their weights as inputs as well
            graph.weights.add(_strings(value, _TENSOR_NAME)[0])
        elif number == _INPUT:
            graph.inputs.append(_tensor(value))
        elif number == _OUTPUT:
            graph.outputs += _strings(value, 1)


def _tensor(value_info: memoryview) -> Tensor:
    """Decode a ValueInfoProto: its name, and the elem_type and shape of type.tensor_type."""
    (name,) = _strings(value_info, 1)
    (kind,) = _messages(value_info, 2)
    (tensor,) = _messages(kind, 1)
    numbers = [_varint(value, 0)[0] for value in _messages(tensor, 1)]
    return Tensor(name, (numbers or [0])[0], tuple(_dimensions(tensor)))


def _dimensions(tensor: memoryview) -> Iterator[int | None]:
    """Yield shape.dim[].dim_value; None for a dim_param, which is a dynamic dimension."""
    (shape,) = _messages(tensor, 2)
    for dimension in _messages(shape, 1):
        values = [_varint(value, 0)[0] for value in _messages(dimension, 1)]
        yield values[0] if values and 0 < values[0] < _LARGEST_SIDE else None


def _messages(data: memoryview, wanted: int) -> list[memoryview]:
    return [value for number, value in _fields(data) if number == wanted]


def _strings(data: memoryview, *wanted: int) -> list[str]:
    found = {number: value for number, value in _fields(data) if number in wanted}
    return [bytes(found.get(number, b"")).decode("utf-8") for number in wanted]


def _fields(data: memoryview) -> Iterator[tuple[int, memoryview]]:
    """Yield the number and bytes of each field. Raises ValueError if `data` is not a message."""
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, kind = key >> 3, key & 7
        if kind == _VARINT:
            size = _varint(data, at)[1] - at
        elif kind == _BYTES:
            size, at = _varint(data, at)
        elif kind in (_FIXED32, _FIXED64):
            size = 4 if kind == _FIXED32 else 8
        else:
            raise ValueError(kind)
        if number == 0 or at + size > len(data):
            raise ValueError(number)
        yield number, data[at : at + size]
        at += size


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError(shift)
