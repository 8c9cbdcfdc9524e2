"""How detectors lay out what they give. N rows are places or queries, C is the number of classes.

    scores      [4 + C + E, N]   YOLOv8 to YOLO26: centre, size, a score for each class
    objectness  [N, 5 + C + E]   YOLOv3, 5 to 7: centre, size, objectness, shares of it
    grid        [N, 5 + C]       YOLOX: the same, as offsets in cells and logarithms of sizes
    rows        [N, 4 + C]       RT-DETR: centre and size in shares of 1; or transposed `scores`
    end_to_end  [N, 6 + E]       YOLOv10, YOLO26, RT-DETR, `nms=True`: box, score, class
    batched     [M, 7]           YOLOv7 with its NMS: picture, x1, y1, x2, y2, class, score
    logits      [N, 4], [N, C]   RF-DETR, original RT-DETR: shares of 1, and logits
    sized       [N], [N, 4], [N] RT-DETR with its post-processor: labels, x1, y1, x2, y2, scores
    yolo3       [N, 4], [C, N], [M, 3]   Keras' YOLOv3: y1, x1, y2, x2; scores; which of them count
    darknet     [N, 1, 4], [N, C]        pytorch-YOLOv4's: x1, y1, x2, y2 in shares of 1, and scores
    classes     [C]              classifiers: a probability or a logit for each class

All but `batched` and the last of `yolo3` have a first side for the pictures of a batch. E numbers
follow the classes where a model gives more than boxes: coefficients of masks, key points, an angle.
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
"""Scores of half precision and of quantised models are off by a little."""
OVERLAPPING = ("scores", "objectness", "grid", "darknet")
"""Layouts that hold several boxes of one thing; so do `rows` in pixels."""
STRETCHED = ("logits", "sized", "darknet")


class Head(Struct, frozen=True):
    """What the outputs of a model mean."""

    layout: Layout
    task: str = "detect"
    classes: int = 0
    """0 where nobody knows: the class is a number among the outputs."""
    unit: Unit = "pixels"
    """Of boxes; empty until a box was seen."""
    corners: bool = False
    """Boxes are x1, y1, x2, y2, and not centre and size."""
    input: tuple[str, ...] = ()
    """Range and order of the input's pixels, where they are not RGB from 0 to 1."""
    place: Place = "middle"
    order: tuple[int, ...] = (0,)
    """Which outputs these are, in the order of the table above."""
    is_softmax_due: bool = False
    """A classifier gives logits."""
    masks: int | None = None
    """Which output holds the masks: prototypes, or with `logits` one for each query."""
    keypoints: tuple[int, int] = (0, 0)
    """How many key points each object has, and the numbers of each: x, y, perhaps confidence."""

    @property
    def overlaps(self) -> bool:
        return self.layout in OVERLAPPING or (self.layout == "rows" and self.unit == "pixels")

    def __str__(self) -> str:
        count = f", {self.classes} classes" if self.classes else ""
        unit = " in shares of 1" if self.unit == "shares" else ""
        points = f", {self.keypoints[0]} key points" if self.keypoints[0] else ""
        return f"{self.task}, layout {self.layout}{unit}{count}{points}"


class Classes(Struct, frozen=True):
    """How many classes a model has, as far as that is known before its output is seen."""

    least: int = 0
    most: int = 0
    """0: nobody knows."""

    def fits(self, count: int) -> bool:
        return count > 0 and (not self.most or self.least <= count <= self.most)


class Seen(Struct, frozen=True):
    """A model, and what it answered to one picture."""

    outputs: Sequence[NDArray[Any]]
    names: tuple[str, ...]
    """Of the outputs."""
    canvas: tuple[int, int]
    """Width and height of the input."""
    inputs: tuple[str, ...] = ()
    """Names of the inputs beside the picture."""
    said: Metadata = Metadata()
    classes: Classes = Classes()
    asked: str = ""
    """A task or a layout that the user named."""
    has_input: bool = False
    """The user said what the input's pixels are."""

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
