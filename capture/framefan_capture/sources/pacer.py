"""When the next picture of a source that plays at its own speed is due: a pure core."""

from __future__ import annotations

import math

_CATCH_UP_S = 1.0


class Pacer:
    """Due times of a source that plays at its own speed; a pure function of the times it is told.

    A reader that is a little late catches up by not waiting. One that is a second late, because
    nobody wanted frames or the machine slept, goes on from now: no burst of stale pictures.
    """

    def __init__(self, *, fast: bool) -> None:
        self._fast = fast
        self._due = -math.inf

    @property
    def due(self) -> float:
        return self._due

    def passed(self, now: float, interval_s: float) -> None:
        """A frame was taken at `now`; the next one follows it by `interval_s`."""
        if self._fast:
            return
        late = now - self._due
        self._due = (now if late > _CATCH_UP_S else self._due) + interval_s
