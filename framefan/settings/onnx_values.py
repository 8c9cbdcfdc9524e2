"""The allowed values of the options of an `onnx:` reference that describe a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

TASKS = ("detect", "segment", "pose", "obb", "classify")
HEADS = ("end2end", "rfdetr", "rtdetr", "yolov5", "yolov8", "yolox")
"""Layouts of a detector's output that `task=` may name."""
RANGES = ("1", "255", "signed", "imagenet")
"""Pixels from 0 to 1, from 0 to 255, from -1 to 1, or scaled by ImageNet's means and deviations."""
ORDERS = ("rgb", "bgr")
_SWITCH = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
_MOST_BOXES, _MOST_THREADS = 10_000, 1024


def _one_of(words: tuple[str, ...]) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text not in words:
            raise ValueError(text)
        return text

    return read


def _count(most: int) -> Callable[[str], int]:
    def read(text: str) -> int:
        number = int(text) if text.isascii() and text.isdecimal() else 0
        if not 1 <= number <= most:
            raise ValueError(text)
        return number

    return read


def _switch(text: str) -> bool:
    if text.lower() not in _SWITCH:
        raise ValueError(text)
    return _SWITCH[text.lower()]


def _classes(text: str) -> tuple[str, ...]:
    words = tuple(word.strip() for word in text.split(","))
    if not all(words):
        raise ValueError(text)
    return words


def _input(text: str) -> tuple[str, ...]:
    words = _classes(text.lower())
    for kind in (RANGES, ORDERS):
        if sum(word in kind for word in words) > 1:
            raise ValueError(text)
    if not all(word in RANGES + ORDERS for word in words):
        raise ValueError(text)
    return words


_SWITCH_FORM = "1 for yes or 0 for no"
READERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "classes": (_classes, "a list of names or numbers of classes, as in person,car or 0,2"),
    "task": (
        _one_of(TASKS + HEADS),
        f"a task ({', '.join(TASKS)}) or the layout of a detector ({', '.join(HEADS)})",
    ),
    "input": (
        _input,
        f"one of {', '.join(RANGES)}, and one of {', '.join(ORDERS)} where that matters, as in "
        "255,bgr",
    ),
    "max_det": (_count(_MOST_BOXES), f"a number from 1 to {_MOST_BOXES:,}"),
    "agnostic": (_switch, _SWITCH_FORM),
    "rect": (_switch, _SWITCH_FORM),
    "threads": (_count(_MOST_THREADS), f"a number from 1 to {_MOST_THREADS:,}"),
    "stretch": (_switch, _SWITCH_FORM),
}
"""By option: its reader, which raises ValueError, and its allowed values as text."""
