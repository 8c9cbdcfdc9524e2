"""yolov3-tiny from Darknet's own files to ONNX, in the layout `[N, 5 + classes]` of YOLOv3 and 5.

The weights are read in the order in which Darknet writes them: of each convolution its biases, or
biases, scales, means and variances of its normalisation, then its kernel. Normalisations are folded
into their convolutions.

The cfg of this network names the anchors 0, 1, 2 for the second head. It was trained with 1, 2, 3,
as its authors wrote afterwards; with the others small things come out at half their size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

_HEADER_BYTES = 20
_EPSILON = 1e-5
Section = tuple[str, dict[str, str]]
Shape = tuple[int, int, int]


def convert(cfg: Path, weights: Path, names: list[str], target: Path) -> None:
    (_, network), *layers = _sections(cfg)
    graph = _Graph(np.fromfile(weights, np.float32, offset=_HEADER_BYTES))
    width, height = int(network["width"]), int(network["height"])
    rows = _build(graph, layers, width, height)
    if graph.left:
        raise SystemExit(f"{weights} has {graph.left} numbers more than {cfg} has weights")
    shape, classes = [1, 3, height, width], len(names)
    made = helper.make_graph(
        graph.nodes,
        "yolov3-tiny",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, rows, 5 + classes])],
        graph.weights,
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, {"names": str(dict(enumerate(names)))})
    onnx.checker.check_model(model)
    onnx.save(model, target)


def _sections(cfg: Path) -> list[Section]:
    found: list[Section] = []
    for line in cfg.read_text().splitlines():
        text = line.partition("#")[0].strip()
        if text.startswith("["):
            found.append((text.strip("[]"), {}))
        elif text:
            key, _, value = text.partition("=")
            found[-1][1][key.strip()] = value.strip()
    return found


class _Graph:
    def __init__(self, numbers: NDArray[np.float32]) -> None:
        self._numbers, self._at = numbers, 0
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    @property
    def left(self) -> int:
        return len(self._numbers) - self._at

    def take(self, *shape: int) -> NDArray[np.float32]:
        """The next numbers of the file."""
        count = int(np.prod(shape))
        part = self._numbers[self._at : self._at + count]
        self._at += count
        return part.reshape(shape)

    def constant(self, value: Any, kind: type = np.float32) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(value, kind), name))
        return name

    def node(self, operator: str, *inputs: str, to: str = "", **attributes: Any) -> str:
        name = to or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name


def _build(graph: _Graph, layers: list[Section], width: int, height: int) -> int:
    """Add all layers; how many rows the output has."""
    names: list[str] = []
    shapes: list[Shape] = []
    last, shape, heads, rows = "images", (3, height, width), [], 0
    for number, (kind, said) in enumerate(layers):
        match kind:
            case "convolutional":
                last, shape = _convolution(graph, said, last, shape)
            case "maxpool":
                last, shape = _pool(graph, said, last, shape)
            case "upsample":
                scales = graph.constant([1, 1, 2, 2])
                words = {"mode": "nearest", "nearest_mode": "floor"}
                words["coordinate_transformation_mode"] = "asymmetric"
                last = graph.node("Resize", last, "", scales, **words)
                shape = shape[0], 2 * shape[1], 2 * shape[2]
            case "route":
                chosen = [int(each) % number for each in said["layers"].split(",")]
                parts = [names[each] for each in chosen]
                last = parts[0] if len(parts) == 1 else graph.node("Concat", *parts, axis=1)
                shape = (sum(shapes[each][0] for each in chosen), *shapes[chosen[0]][1:])
            case "yolo":
                heads.append(_head(graph, said, last, shape, width))
                rows += 3 * shape[1] * shape[2]
        names.append(last)
        shapes.append(shape)
    graph.node("Concat", *heads, to="out", axis=1)
    return rows


def _convolution(graph: _Graph, said: dict[str, str], last: str, shape: Shape) -> tuple[str, Shape]:
    count, side, stride = (int(said[key]) for key in ("filters", "size", "stride"))
    bias = graph.take(count)
    normalised = said.get("batch_normalize") == "1"
    if normalised:
        scale, mean, variance = (graph.take(count) for _ in range(3))
    kernel = graph.take(count, shape[0], side, side)
    if normalised:
        gain = scale / np.sqrt(variance + _EPSILON)
        kernel, bias = kernel * gain[:, None, None, None], bias - mean * gain
    weights = graph.constant(kernel), graph.constant(bias)
    pads = [side // 2] * 4
    last = graph.node("Conv", last, *weights, strides=[stride, stride], pads=pads)
    if said["activation"] == "leaky":
        last = graph.node("LeakyRelu", last, alpha=0.1)
    return last, (count, shape[1] // stride, shape[2] // stride)


def _pool(graph: _Graph, said: dict[str, str], last: str, shape: Shape) -> tuple[str, Shape]:
    side, stride = int(said["size"]), int(said["stride"])
    pads = [0, 0, side - 1, side - 1] if stride == 1 else [0] * 4
    sides = {"kernel_shape": [side, side], "strides": [stride, stride], "pads": pads}
    last = graph.node("MaxPool", last, **sides)
    return last, (shape[0], shape[1] // stride, shape[2] // stride)


def _head(graph: _Graph, said: dict[str, str], last: str, shape: Shape, width: int) -> str:
    """Rows of centre and size in pixels of the input, objectness and shares of it."""
    _, down, across = shape
    pairs = np.array(said["anchors"].split(","), float).reshape(-1, 2)
    chosen = [int(each) for each in said["mask"].split(",")]
    if chosen == [0, 1, 2] and len(pairs) == 6:
        chosen = [1, 2, 3]
    cells, columns = 3 * down * across, 5 + int(said["classes"])
    folded = graph.constant([1, 3, columns, down, across], np.int64)
    last = graph.node("Reshape", last, folded)
    last = graph.node("Transpose", last, perm=[0, 1, 3, 4, 2])
    last = graph.node("Reshape", last, graph.constant([1, cells, columns], np.int64))
    sizes = graph.constant([2, 2, columns - 4], np.int64)
    parts = [f"{last}_{part}" for part in ("centre", "size", "scores")]
    graph.nodes.append(helper.make_node("Split", [last, sizes], parts, axis=2))
    rows, places = np.mgrid[:down, :across]
    grid = np.tile(np.stack([places, rows], -1).reshape(-1, 2), (3, 1))[None]
    centre = graph.node("Add", graph.node("Sigmoid", parts[0]), graph.constant(grid))
    centre = graph.node("Mul", centre, graph.constant(width / across))
    anchors = np.repeat(pairs[chosen], down * across, 0)[None]
    size = graph.node("Mul", graph.node("Exp", parts[1]), graph.constant(anchors))
    return graph.node("Concat", centre, size, graph.node("Sigmoid", parts[2]), axis=2)
