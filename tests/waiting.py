"""Waiting in tests: poll for a condition until a deadline, never sleep for a guess."""

from __future__ import annotations

import contextlib
import os
import select
import time
from typing import TYPE_CHECKING, TypeVar

from framefan.base.clock import now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")
_LOOK_S = 0.01
_WORK_S = 0.03
_MOST = 5.0


def crowding() -> float:
    """How many times as long as on an idle machine work takes here now: its share of a processor
    is measured.
    """
    began, worked = now(), time.thread_time() + _WORK_S
    while time.thread_time() < worked:
        pass
    return min(max((now() - began) / _WORK_S, 1.0), _MOST)


SCALE = max(float(os.environ.get("FRAMEFAN_TEST_SCALE", "1")), crowding())
"""Deadlines of all tests, times this: for slow machines, and for busy ones as measured now."""


def wait_until(condition: Callable[[], T], seconds: float = 10.0, what: str = "") -> T:
    """The condition's first true value; fails when there is none within the deadline.

    On a machine that has become busy meanwhile that is later.
    """
    began, scale, measured = now(), SCALE, False
    while True:
        value = condition()
        if value:
            return value
        if now() > began + seconds * scale:
            if measured:
                name = what or getattr(condition, "__name__", "the condition")
                raise AssertionError(f"{name} did not come true within {seconds * scale:.3g} s")
            scale, measured = max(scale, crowding()), True
        pause()


@contextlib.contextmanager
def less_patient(share: float) -> Iterator[None]:
    """For a test without its guard: what would take its whole patience each time is believed after
    this share of it, on a busy machine too.
    """
    global SCALE, crowding
    before = SCALE, crowding
    SCALE, crowding = SCALE * share, lambda: 0.0
    try:
        yield
    finally:
        SCALE, crowding = before


def slack() -> float:
    """By what a bound that depends on speed has to be divided, or multiplied, just now."""
    return max(SCALE, crowding())


def is_within(began: float, seconds: float) -> bool:
    """Whether no more than that has passed since then; on a busy machine it may be more."""
    took = now() - began
    return took < seconds * SCALE or took < seconds * slack()


def pause(seconds: float = _LOOK_S) -> None:
    """Give the others the processor for one look's time."""
    select.select([], [], [], seconds)
