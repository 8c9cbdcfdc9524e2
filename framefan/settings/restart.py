"""When a process that died may start again: a pure policy, used for every child and worker."""

from __future__ import annotations

import random
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from framefan.settings.run import Limits


class RestartPolicy:
    """`died(now)` answers how long to wait, in seconds, before the next start.

    Waits double from `restart_first_s` to `restart_cap_s` with each death inside the window of
    `restarts_within_s`, with up to a quarter of jitter taken off so that children which died
    together do not start together. After `restarts` deaths inside the window it is `failed`: the
    answer then is a whole window, after which one more try is made; also when its last words were
    that it is `hopeless`. A death that is `excused` is not its own fault: it starts at once.
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
        """Forget the deaths so far; how often it was restarted stays known."""
        self._deaths.clear()

    @property
    def failed(self) -> bool:
        """Too many deaths in the window: said to people as the state `failed`."""
        return len(self._deaths) >= self._limits.restarts
