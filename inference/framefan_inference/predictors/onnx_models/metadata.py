"""What an exporter writes beside a model: Ultralytics' exporters write `names`, `task` and others.

Each value is a text that looks like Python. It is read as a literal and never run. What does not
have its form counts as not there.
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
    """Of classes, by number; empty where the file has none."""
    task: str = ""
    """What the model does: detect, segment, pose, obb, classify, ..."""
    size: tuple[int, int] | None = None
    """Width and height of the pictures that it was exported for."""
    stride: int = 0
    """The sides of the input are multiples of it; 0 where nobody says."""
    sorts_out: bool = False
    """Overlapping boxes are sorted out in the graph."""
    is_detr: bool = False
    """It is an RT-DETR."""
    keypoints: tuple[int, int] = (0, 0)
    """How many key points each object has, and the numbers of each; 0 where the file has none."""

    @property
    def classes(self) -> int:
        return max(self.names, default=-1) + 1


def read(said: Mapping[str, str]) -> Metadata:
    """`said`: the texts by key."""
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
    """As Ultralytics writes them: `{0: 'person', 1: 'car'}`; a list or JSON does as well."""
    found = literal(text)
    if isinstance(found, list | tuple):
        found = dict(enumerate(found))
    pairs = found.items() if isinstance(found, dict) else ()
    return {int(number): str(name) for number, name in pairs if str(number).isdecimal()}


def literal(text: str) -> Any:
    """The value that a text of Python or JSON stands for; None for all else."""
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
    """It stands in the file as height and width, or as one number for both."""
    sides = [value, value] if isinstance(value, int) else value
    if not isinstance(sides, list | tuple) or len(sides) != 2:
        return None
    if not all(isinstance(side, int) and 0 < side <= _LARGEST_SIDE for side in sides):
        return None
    return sides[1], sides[0]


def _stride(value: Any) -> int:
    """A number, or one for each scale."""
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
