"""Exponential backoff with full jitter: how long to wait before the next try. No I/O.

The ceiling doubles with each failure, from `first_s` to `cap_s`. The wait is random, uniform from
zero to the ceiling, so that the cameras behind one switch, or the clients of one gateway, do not
reconnect all at once. A connection that lasted `healthy_s` resets the ceiling; a shorter one does
not.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_DOUBLINGS = 64
"""Enough to reach any cap, and few enough for a float."""


class Backoff:
    def __init__(
        self,
        first_s: float,
        cap_s: float,
        healthy_s: float,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        """Lasting `healthy_s` seconds clears all earlier failures. `jitter` returns a uniform
        random number from 0 to 1.
        """
        self._healthy_s = healthy_s
        self._first_s = first_s
        self._cap_s = cap_s
        self._jitter = jitter
        self._failures = 0

    @property
    def ceiling_s(self) -> float:
        """The longest possible wait after the next failure."""
        doublings = min(self._failures, _MOST_DOUBLINGS)
        return float(min(self._cap_s, self._first_s * 2.0**doublings))

    def failed(self, lasted_s: float = 0.0) -> float:
        """Seconds to wait after a failure; `lasted_s`: how long it had worked before."""
        if lasted_s >= self._healthy_s:
            self._failures = 0
        wait = self._jitter() * self.ceiling_s
        self._failures += 1
        return wait
