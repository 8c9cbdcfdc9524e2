"""When something that was lost is tried again: exponential with full jitter. Pure.

The ceiling doubles with each failure from `first_s` to `cap_s`; the wait is drawn evenly from
nothing to the ceiling, so that cameras behind one switch, or the clients of one gateway, do not
come back as one burst. What lasted has earned a fresh start; what ends right after each beginning
has not.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_DOUBLINGS = 64
"""Beyond any cap, and still a float."""


class Backoff:
    def __init__(
        self,
        first_s: float,
        cap_s: float,
        healthy_s: float,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """What lasted `healthy_s` seconds makes up for all failures before it; `jitter` answers
        evenly from 0 to 1.
        """
        self._healthy_s = healthy_s
        self._first_s = first_s
        self._cap_s = cap_s
        self._jitter = jitter
        self._failures = 0

    @property
    def ceiling_s(self) -> float:
        """The longest wait that the next failure can bring."""
        doublings = min(self._failures, _MOST_DOUBLINGS)
        return float(min(self._cap_s, self._first_s * 2.0**doublings))

    def failed(self, lasted_s: float = 0.0) -> float:
        """Seconds to wait after a failure of something that had lasted `lasted_s` seconds."""
        if lasted_s >= self._healthy_s:
            self._failures = 0
        wait = self._jitter() * self.ceiling_s
        self._failures += 1
        return wait
