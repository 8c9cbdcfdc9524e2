"""The output layouts of detectors. N rows are anchors or queries, C is the number of classes.

    scores      [4 + C + E, N]   YOLOv8 to YOLO26: centre, size, a score per class
    objectness  [N, 5 + C + E]   YOLOv3, 5 to 7: centre, size, objectness, a score per class
    grid        [N, 5 + C]       YOLOX: the same, as offsets in cells and logarithms of sizes
    rows        [N, 4 + C]       RT-DETR: normalised centre and size; or transposed `scores`
    end_to_end  [N, 6 + E]       YOLOv10, YOLO26, RT-DETR, `nms=True`: box, score, class
    batched     [M, 7]           YOLOv7 with NMS: image index, x1, y1, x2, y2, class, score
    logits      [N, 4], [N, C]   RF-DETR, original RT-DETR: normalised boxes, and logits
    sized       [N], [N, 4], [N] RT-DETR with its post-processor: labels, x1, y1, x2, y2, scores
    yolo3       [N, 4], [C, N], [M, 3]   YOLOv3 of Keras: y1, x1, y2, x2; scores; selected indices
    darknet     [N, 1, 4], [N, C]        pytorch-YOLOv4: normalised x1, y1, x2, y2, and scores
    classes     [C]              classifiers: a probability or a logit per class

All outputs have a batch dimension first, except `batched` and the last output of `yolo3`. In
`objectness` the scores have to be multiplied by the objectness. E values follow the class scores if
a model gives more than boxes: mask coefficients, key points or an angle. Normalised coordinates are
divided by the input's width or height.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from msgspec import Struct

from framefan.settings.onnx_values import HEADS, TASKS
from framefan_inference.predictors.onnx_models.metadata import Metadata

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from framefan_inference.predictors.onnx_models.letterbox import Place

Layout = Literal[
    "scores",
    "objectness",
    "grid",
    "rows",
    "end_to_end",
    "batched",
    "logits",
    "sized",
    "yolo3",
    "darknet",
    "classes",
]
Unit = Literal["pixels", "shares", ""]
SLACK = 0.01
"""The tolerance for scores outside 0 to 1, which half-precision and quantised models give."""
OVERLAPPING = ("scores", "objectness", "grid", "darknet")
"""Layouts with several boxes per object, which need NMS; so do `rows` in pixels."""
STRETCHED = ("logits", "sized", "darknet")


class Head(Struct, frozen=True):
    """How to interpret a model's outputs."""

    layout: Layout
    task: str = "detect"
    classes: int = 0
    """0: unknown; the outputs contain class numbers instead of one score per class."""
    unit: Unit = "pixels"
    """The unit of boxes; empty until the model has given a box."""
    corners: bool = False
    """Whether boxes are x1, y1, x2, y2 instead of centre and size."""
    input: tuple[str, ...] = ()
    """The range and channel order of the input's pixels, if they are not RGB from 0 to 1."""
    place: Place = "middle"
    order: tuple[int, ...] = (0,)
    """The indices of these outputs, in the order of the table above."""
    is_softmax_due: bool = False
    """Whether a classifier gives logits, so that softmax has to be applied."""
    masks: int | None = None
    """The index of the output with the masks: prototypes, or with `logits` one mask per query."""
    keypoints: tuple[int, int] = (0, 0)
    """The number of key points per object, and of values per key point: x, y, maybe confidence."""

    @property
    def overlaps(self) -> bool:
        return self.layout in OVERLAPPING or (self.layout == "rows" and self.unit == "pixels")

    def __str__(self) -> str:
        count = f", {self.classes} classes" if self.classes else ""
        unit = " in shares of 1" if self.unit == "shares" else ""
        points = f", {self.keypoints[0]} key points" if self.keypoints[0] else ""
        return f"{self.task}, layout {self.layout}{unit}{count}{points}"


class Classes(Struct, frozen=True):
    """The number of classes, as far as it is known before the model has been run."""

    least: int = 0
    most: int = 0
    """0: unknown."""

    def fits(self, count: int) -> bool:
        return count > 0 and (not self.most or self.least <= count <= self.most)


class Seen(Struct, frozen=True):
    """A model, and its outputs for one image."""

    outputs: Sequence[NDArray[Any]]
    names: tuple[str, ...]
    """The names of the outputs."""
    canvas: tuple[int, int]
    """Width and height of the input image."""
    inputs: tuple[str, ...] = ()
    """The names of all inputs."""
    said: Metadata = Metadata()
    classes: Classes = Classes()
    asked: str = ""
    """The task or layout of the option `task=`."""
    has_input: bool = False
    """Whether the option `input=` was given."""

    @property
    def head(self) -> str:
        return self.asked if self.asked in HEADS else ""

    @property
    def task(self) -> str:
        if self.asked in TASKS:
            return self.asked
        return "detect" if self.asked else self.said.task

    @property
    def shapes(self) -> str:
        return ", ".join("x".join(map(str, each.shape)) for each in self.outputs)
