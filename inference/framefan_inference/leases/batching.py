"""Batching: how long an idle worker waits for more frames. Pure: arrivals in, a time out.

A predictor that takes several images per call has more throughput with fuller calls, but a frame
that waits for others gets older. So:

1. A worker waits only for expected frames. A camera's next frame is expected one usual interval
   after its last one; the usual interval is the median of the latest ones. The worker gives it up
   when it is late by more than the largest deviation of these intervals from the median. A camera
   with a deviation of more than half the median has no rhythm, and its frames are never expected.
2. The worker waits until all expected frames have arrived or are given up, or until its call is
   full, but never beyond a limit. The limit is `wait_s` or half a recent call, whichever is less,
   counted from the arrival of the oldest waiting frame. Half a call, for this
   reason: let a call take `P`. A worker that waits `w` for a second frame costs the first one `w`.
   The second one gains `P - w`, since it need not wait for a call that has already begun. While
   `w` is at most `P / 2`, the gain is at least the loss.
3. The time that a frame waits for an idle worker counts too, so under load no wait is added.

Pure: times come in as arguments, in seconds of one monotonic clock.
"""

from __future__ import annotations

from collections import deque
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_LATEST = 8
"""How many intervals a camera's rhythm is computed from."""
_LEAST = 3
"""With fewer intervals no frame is expected."""
_SHARE = 1 / 8
"""The weight of the latest call in the moving average of call lengths."""


class _Rhythm:
    """The arrival times of one camera's frames."""

    __slots__ = ("intervals", "last")

    def __init__(self, now: float) -> None:
        self.last = now
        self.intervals: deque[float] = deque(maxlen=_LATEST)

    def arrived(self, now: float) -> None:
        self.intervals.append(now - self.last)
        self.last = now

    def next(self) -> tuple[float, float] | None:
        """When the next frame is expected and when it is given up; None without a rhythm."""
        if len(self.intervals) < _LEAST:
            return None
        usual = median(self.intervals)
        slack = max(abs(each - usual) for each in self.intervals)
        if slack > usual / 2:
            return None
        return self.last + usual, self.last + usual + slack


class Batching:
    """The rhythms of all cameras and the average length of a call."""

    def __init__(self, wait_s: float) -> None:
        """`wait_s` 0: no worker ever waits."""
        self._wait_s = wait_s
        self._call_s = 0.0
        self._rhythms: dict[str, _Rhythm] = {}

    def arrived(self, camera: str, now: float) -> None:
        rhythm = self._rhythms.get(camera)
        if rhythm is None:
            self._rhythms[camera] = _Rhythm(now)
        else:
            rhythm.arrived(now)

    def forget(self, camera: str) -> None:
        """No more frames of this camera will arrive."""
        self._rhythms.pop(camera, None)

    def took(self, seconds: float) -> None:
        """A call has lasted this long."""
        self._call_s += (seconds - self._call_s) * (_SHARE if self._call_s else 1.0)

    def until(self, since: float, room: int, others: Iterable[str], now: float) -> float:
        """When to start the call, unless more frames arrive first; `now` or earlier: at once.

        `since`: when the oldest waiting frame arrived. `room`: how many more frames the call takes.
        `others`: the cameras without a waiting frame that could add one.
        """
        limit = since + min(self._wait_s, self._call_s / 2)
        if room <= 0 or now >= limit:
            return now
        given_up = sorted(self._given_up(others, now, limit))
        if not given_up:
            return now
        return min(limit, given_up[min(room, len(given_up)) - 1])

    def _given_up(self, others: Iterable[str], now: float, limit: float) -> Iterable[float]:
        """For each frame that is expected within the limit, when it is given up."""
        for camera in others:
            rhythm = self._rhythms.get(camera)
            found = rhythm.next() if rhythm else None
            if found and found[0] <= limit and now < found[1]:
                yield found[1]
