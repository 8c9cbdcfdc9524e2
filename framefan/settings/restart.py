"""The restart policy of every child and worker: when a dead process may start again. No I/O."""

from __future__ import annotations

import random
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from framefan.settings.run import Limits


class RestartPolicy:
    """`died(now)` returns how many seconds to wait before the next start.

    The wait doubles from `restart_first_s` to `restart_cap_s` with each death inside the window of
    `restarts_within_s`. Jitter shortens it by up to a quarter, so that children that died together
    do not start together. After `restarts` deaths inside the window the process is `failed`, and
    the wait is a whole window. The wait is also a whole window when the process reported that it is
    `hopeless`. An `excused` death is not the process's own fault, and the next start is at once.
    """

    def __init__(self, limits: Limits, jitter: Callable[[], float] = random.random) -> None:
        self._limits = limits
        self._jitter = jitter
        self._deaths: deque[float] = deque()
        self.restarts = 0

    def died(self, now: float, hopeless: bool = False, excused: bool = False) -> float:
        limits = self._limits
        while self._deaths and now - self._deaths[0] > limits.restarts_within_s:
            self._deaths.popleft()
        self.restarts += 1
        if excused:
            return 0.0
        self._deaths.append(now)
        if hopeless or self.failed:
            return limits.restarts_within_s
        wait: float = min(
            limits.restart_first_s * 2 ** (len(self._deaths) - 1), limits.restart_cap_s
        )
        return wait * (1 - self._jitter() / 4)

    def pardon(self) -> None:
        """Forget the deaths so far, but keep the number of restarts."""
        self._deaths.clear()

    @property
    def failed(self) -> bool:
        """Whether there were too many deaths in the window; users see the state `failed`."""
        return len(self._deaths) >= self._limits.restarts
