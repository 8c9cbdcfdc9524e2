"""Whether a picture of a live stream is of now, or was kept for us: a pure core.

A process that was stopped, or a network that stood still, leaves seconds of pictures in the
buffers of both machines. They come faster than the camera makes them, oldest first:

1. The usual interval between pictures is the median of the last `STEPS` steps.
2. A step longer than `GAP_S` and three intervals is a gap. The first picture after it may be as old
   as the gap is long. It is taken for stale where the next is close (an interval below `GAP_S`),
   unless the one before it came after a gap too: that is a camera which became slow.
3. All after it are stale until one had to be waited for: half an interval, CPU of decoding not
   counted. That one the camera has sent just now.
4. That lasts for twice the gap at most, in which a reader half as fast again as its camera has
   caught up. (One that is slower than its camera waits for none, ever.)
"""

from __future__ import annotations

import math
from collections import deque
from statistics import median

GAP_S = 0.5
STEPS = 9
_KNOWN = 5
"""Steps that an interval is the median of, at least."""
_GAP_STEPS = 3.0


class StaleDetector:
    def __init__(self) -> None:
        self.is_gap = False
        """The last picture came after a gap."""
        self.is_stale = False
        """The last picture is an old one."""
        self._steps: deque[float] = deque(maxlen=STEPS)
        self._came_at = math.nan
        self._until = -math.inf
        """When the last stale one can come."""

    def came(self, now: float, waited_s: float) -> None:
        """A picture came at `now`, after the reader had stood waiting for it for so long."""
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
