"""Frames per second: how many come, and how many are wanted. Pure: times are passed in."""

from __future__ import annotations

_SMOOTHING = 1 / 8


class Rate:
    """Frames per second over the last seconds, from totals sampled about once a second."""

    WINDOW = 4

    def __init__(self) -> None:
        self._samples: list[tuple[float, int]] = []

    def per_second(self, now: float, total: int) -> float:
        if not self._samples or now - self._samples[-1][0] >= 0.5:
            self._samples = [*self._samples[-self.WINDOW :], (now, total)]
        then, before = self._samples[0]
        return round((total - before) / (now - then), 2) if now > then else 0.0


class FpsLimiter:
    """Which frames to take so that they are at most `max_fps` a second, evenly, without drift.

    1. Turns lie on a grid of one interval, that of `max_fps`. A turn is due at its place on the
       grid, however late the frame before it was taken: so lateness does not add up.
    2. A frame takes the turn that is due when no later frame would be nearer to it: from half a
       frame's interval before. That interval is measured, since what a header says of it may lie.
       (30 frames a second and max_fps 10: each third one, also when they come a little unevenly.)
    3. A frame that comes later than half a grid interval starts a new grid. (A source slower than
       `max_fps` loses none of its frames, and earns no burst by its silence.)

    So in any T seconds at most `T * max_fps + 2` frames are taken.
    """

    def __init__(self, max_fps: float) -> None:
        """0: every frame is wanted."""
        self._interval_s = 1 / max_fps if max_fps > 0 else 0.0
        self._due: float | None = None
        self._came_at: float | None = None
        self._between_s = 0.0
        """From one frame of the source to the next, smoothed; as much as an interval at most."""

    @property
    def due(self) -> float:
        """When the next turn is, for a reader who waits for it; 0 before the first."""
        return self._due or 0.0

    def wants(self, now: float) -> bool:
        """Whether the frame that came at `now` is due. To be asked once for each frame."""
        if not self._interval_s:
            return True
        if self._came_at is not None:
            step = min(now - self._came_at, self._interval_s)
            smoothing = _SMOOTHING if self._between_s else 1.0
            self._between_s += smoothing * (step - self._between_s)
        self._came_at = now
        return self._due is None or now + self._between_s / 2 >= self._due

    def took(self, now: float) -> None:
        """The frame that came at `now` has taken its turn."""
        interval = self._interval_s
        if self._due is None or now - self._due > interval / 2:
            self._due = now
        self._due += interval
