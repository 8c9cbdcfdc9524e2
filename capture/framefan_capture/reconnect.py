"""When a lost camera is tried again: a pure policy, exponential with full jitter.

The ceiling doubles with each failure from `first_s` to `cap_s`; the wait is drawn evenly from
nothing to the ceiling, so that cameras which went down with one switch do not come back as one
burst. A camera that was live for a minute has earned a fresh start; one that dies right after each
connection has not.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

HEALTHY_S = 60.0


class Reconnect:
    def __init__(
        self, first_s: float, cap_s: float, jitter: Callable[[], float] = random.random
    ) -> None:
        """`jitter` answers evenly from 0 to 1."""
        self._first_s = first_s
        self._cap_s = cap_s
        self._jitter = jitter
        self._failures = 0

    @property
    def ceiling_s(self) -> float:
        """The longest wait that the next failure can bring."""
        doublings = min(self._failures, 64)  # beyond any cap, and still a float
        return float(min(self._cap_s, self._first_s * 2.0**doublings))

    def failed(self, live_s: float = 0.0) -> float:
        """Seconds to wait after a failure that followed `live_s` seconds of live pictures."""
        if live_s >= HEALTHY_S:
            self._failures = 0
        wait = self._jitter() * self.ceiling_s
        self._failures += 1
        return wait
