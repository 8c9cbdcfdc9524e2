"""Detects stale pictures of a live stream: pictures that were buffered. No I/O.

If the process or the network did not run for a while, the buffers of both machines hold seconds of
pictures. They arrive faster than the camera makes them, oldest first:

1. The usual interval between pictures is the median of the last `STEPS` steps.
2. A step longer than `GAP_S` and three intervals is a gap. The first picture after a gap may be as
   old as the gap is long. It counts as stale if the interval is below `GAP_S`, unless the previous
   picture came after a gap, too: then the camera has become slow.
3. The pictures after it are stale until the reader had to wait for one: half an interval, without
   the CPU time of decoding. The camera has just sent that one.
4. This lasts for at most twice the gap; a reader 1.5 times as fast as its camera has caught up by
   then. (A reader slower than its camera never waits.)
"""

from __future__ import annotations

import math
from collections import deque
from statistics import median

GAP_S = 0.5
STEPS = 9
_KNOWN = 5
"""The least number of steps for a median."""
_GAP_STEPS = 3.0


class StaleDetector:
    def __init__(self) -> None:
        self.is_gap = False
        """Whether the last picture came after a gap."""
        self.is_stale = False
        """Whether the last picture is stale."""
        self._steps: deque[float] = deque(maxlen=STEPS)
        self._came_at = math.nan
        self._until = -math.inf
        """Until when pictures may be stale."""

    def came(self, now: float, waited_s: float) -> None:
        """Record a picture at `now`, for which the reader waited `waited_s`."""
        step, self._came_at = now - self._came_at, now
        if math.isnan(step):
            return
        interval = median(self._steps) if len(self._steps) >= _KNOWN else math.inf
        was_gap, self.is_gap = self.is_gap, step > max(GAP_S, _GAP_STEPS * interval)
        if self.is_gap:
            self._until = now + 2 * step
            self.is_stale = interval < GAP_S and not was_gap
        else:
            self.is_stale = now <= self._until and waited_s < interval / 2
            self._until = self._until if self.is_stale else -math.inf
        if self.is_gap or not self.is_stale:
            self._steps.append(step)
