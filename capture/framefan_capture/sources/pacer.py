"""Due times of a source that plays at its own speed. No I/O."""

from __future__ import annotations

import math

_CATCH_UP_S = 1.0


class Pacer:
    """Due times of a source that plays at its own speed.

    A reader that is slightly late catches up by not waiting. If it is a second late, because no
    frames were taken or the machine slept, the due times restart from now, without a burst.
    """

    def __init__(self, *, fast: bool) -> None:
        self._fast = fast
        self._due = -math.inf

    @property
    def due(self) -> float:
        return self._due

    def passed(self, now: float, interval_s: float) -> None:
        """A frame was taken at `now`; the next one is due `interval_s` later."""
        if self._fast:
            return
        late = now - self._due
        self._due = (now if late > _CATCH_UP_S else self._due) + interval_s
