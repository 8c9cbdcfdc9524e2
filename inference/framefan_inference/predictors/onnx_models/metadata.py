"""Reads an ONNX file's metadata: Ultralytics' exporters write `names`, `task` and others.

Each value is text with a Python literal. It is parsed and never evaluated. An invalid value counts
as absent.
"""

from __future__ import annotations

import ast
import json
from typing import TYPE_CHECKING, Any

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST = 1 << 20
_LARGEST_SIDE = 1 << 14
_LARGEST_STRIDE = 1 << 10


class Metadata(Struct, frozen=True):
    names: dict[int, str] = {}
    """The class names by number; empty if the file has none."""
    task: str = ""
    """What the model does: detect, segment, pose, obb, classify, ..."""
    size: tuple[int, int] | None = None
    """Width and height of the images that the model was exported for."""
    stride: int = 0
    """The sides of the input must be multiples of this; 0: unknown."""
    sorts_out: bool = False
    """Whether the graph includes NMS, or needs none."""
    is_detr: bool = False
    """Whether the model is an RT-DETR."""
    keypoints: tuple[int, int] = (0, 0)
    """The number of key points per object, and of values per key point; 0: unknown."""

    @property
    def classes(self) -> int:
        return max(self.names, default=-1) + 1


def read(said: Mapping[str, str]) -> Metadata:
    """`said`: the metadata as text, by key."""
    values = {key: literal(text) for key, text in said.items()}
    about = f"{said.get('head', '')} {said.get('description', '')}".lower()
    return Metadata(
        names=names(said.get("names", "")),
        task=said.get("task", "").strip().lower(),
        size=_size(values.get("imgsz")),
        stride=_stride(values.get("stride")),
        sorts_out=_sorts_out(values),
        is_detr="rtdetr" in about,
        keypoints=_keypoints(values.get("kpt_shape")),
    )


def names(text: str) -> dict[int, str]:
    """Parse class names as Ultralytics writes them, `{0: 'person'}`, or a list, or JSON."""
    found = literal(text)
    if isinstance(found, list | tuple):
        found = dict(enumerate(found))
    pairs = found.items() if isinstance(found, dict) else ()
    return {int(number): str(name) for number, name in pairs if str(number).isdecimal()}


def literal(text: str) -> Any:
    """The value of a Python literal or of JSON; None for anything else."""
    if not text or len(text) > _LONGEST:
        return None
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        pass
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _size(value: Any) -> tuple[int, int] | None:
    """Width and height. The file has height and width, or one number for both."""
    sides = [value, value] if isinstance(value, int) else value
    if not isinstance(sides, list | tuple) or len(sides) != 2:
        return None
    if not all(isinstance(side, int) and 0 < side <= _LARGEST_SIDE for side in sides):
        return None
    return sides[1], sides[0]


def _stride(value: Any) -> int:
    """The largest stride. The file has one number, or one per scale."""
    strides = value if isinstance(value, list | tuple) else [value]
    if not all(isinstance(each, int | float) and 0 < each <= _LARGEST_STRIDE for each in strides):
        return 0
    return int(max(strides, default=0))


def _keypoints(value: Any) -> tuple[int, int]:
    if not isinstance(value, list | tuple) or len(value) != 2:
        return 0, 0
    count, numbers = value
    is_so = isinstance(count, int) and count > 0 and numbers in (2, 3)
    return (count, numbers) if is_so else (0, 0)


def _sorts_out(values: Mapping[str, Any]) -> bool:
    arguments = values.get("args")
    nms = arguments.get("nms") if isinstance(arguments, dict) else False
    return values.get("end2end") is True or nms is True
