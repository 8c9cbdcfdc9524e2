"""Why something that a predictor returned cannot be sent."""

from __future__ import annotations

from numbers import Number
from typing import Any

import numpy as np


class ResultError(Exception):
    """What a predictor returned cannot be sent; `kind` says why in one word."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


def counted(number: int, noun: str) -> str:
    """`1 crop`, `2 crops`."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def named(value: Any) -> str:
    """What a value is, for messages: `None`, `a text`, `a list of 2`, `an array of 2 x 512`."""
    if value is None or isinstance(value, bool | np.bool_):
        return str(value)
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"an array of {' x '.join(map(str, shape))}"
    if isinstance(value, list | tuple):
        return f"a {'list' if isinstance(value, list) else 'tuple'} of {len(value)}"
    for kinds, name in _NAMES:
        if isinstance(value, kinds):
            return name
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIO' else 'a'} {name}"


_NAMES: tuple[tuple[Any, str], ...] = (
    (str, "a text"),
    ((bytes, bytearray, memoryview), "bytes"),
    (Number, "a number"),
    (type, "a class"),
)
