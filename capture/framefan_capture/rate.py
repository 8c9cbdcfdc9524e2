"""Frames per second: a measured rate, and a limit. No I/O: times are arguments."""

from __future__ import annotations

from framefan.base.rates import per_second

_SMOOTHING = 1 / 8


class Rate:
    """Frames per second over the last seconds, from totals sampled about once a second.

    Of a source with seconds between its frames, the last two moments at which frames had come.
    """

    WINDOW_S = 4.0

    def __init__(self) -> None:
        self._samples: list[tuple[float, int]] = []

    def per_second(self, now: float, total: int) -> float:
        samples = self._samples
        if not samples or (total > samples[-1][1] and now - samples[-1][0] >= 0.5):
            samples.append((now, total))
        while len(samples) > 2 and samples[1][0] <= now - self.WINDOW_S:
            del samples[0]
        first, before = samples[0]
        last = now if total > samples[-1][1] else samples[-1][0]
        return round(per_second(total - before, first, last, now), 3)


class FpsLimiter:
    """Selects frames so that they are at most `max_fps` per second, evenly and without drift.

    1. Due times lie on a grid with the interval of `max_fps`. They do not depend on how late the
       previous frame was taken, so lateness does not accumulate.
    2. A frame is taken for a due time if no later frame would be nearer to it: from half a source
       interval before. That interval is measured, because headers may be wrong. (30 frames per
       second and max_fps 10: every third one, even if they come slightly unevenly.)
    3. A frame that is late by more than half a grid interval starts a new grid. (A source slower
       than `max_fps` loses no frames, and causes no burst after a silence.)

    So in any T seconds at most `T * max_fps + 2` frames are taken.
    """

    def __init__(self, max_fps: float) -> None:
        """0: no limit."""
        self._interval_s = 1 / max_fps if max_fps > 0 else 0.0
        self._due: float | None = None
        self._came_at: float | None = None
        self._between_s = 0.0
        """The smoothed time between two frames of the source; at most one interval."""

    @property
    def due(self) -> float:
        """The next due time, for a reader that waits for it; 0 before the first frame."""
        return self._due or 0.0

    def wants(self, now: float) -> bool:
        """Whether the frame that came at `now` is due. Call it once for each frame."""
        if not self._interval_s:
            return True
        if self._came_at is not None:
            step = min(now - self._came_at, self._interval_s)
            smoothing = _SMOOTHING if self._between_s else 1.0
            self._between_s += smoothing * (step - self._between_s)
        self._came_at = now
        return self._due is None or now + self._between_s / 2 >= self._due

    def took(self, now: float) -> None:
        """The frame that came at `now` was taken."""
        interval = self._interval_s
        if self._due is None or now - self._due > interval / 2:
            self._due = now
        self._due += interval
