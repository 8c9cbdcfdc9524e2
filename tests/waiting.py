"""Waiting in tests: poll for a condition until a deadline, never sleep for a guess."""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING, TypeVar

from framefan.clock import now

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
SCALE = float(os.environ.get("FRAMEFAN_TEST_SCALE", "1"))
"""Deadlines of all tests, times this: for slow or busy machines."""
_LOOK_S = 0.01


def wait_until(condition: Callable[[], T], seconds: float = 10.0, what: str = "") -> T:
    """The condition's first true value; fails when there is none within the deadline."""
    deadline = now() + seconds * SCALE
    while True:
        value = condition()
        if value:
            return value
        if now() > deadline:
            name = what or getattr(condition, "__name__", "the condition")
            raise AssertionError(f"{name} did not come true within {seconds * SCALE:g} s")
        pause()


def pause(seconds: float = _LOOK_S) -> None:
    """Give the others the processor for one look's time."""
    select.select([], [], [], seconds)
