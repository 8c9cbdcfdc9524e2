"""Latency histograms: each stage of a result, and the lateness of the event loop.

Plain integers, counted once per result; metrics.py exports them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from itertools import accumulate
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from framefan.ipc.records import OutcomeRecord

STAGES = ("wait", "predict", "deliver", "total")
"""Capture to predict, predict, end of predict to the flush here, and capture to that flush."""
STAGE_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
LAG_BOUNDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)
_LATELY = 10
_SMOOTH = 5
"""`Busy.share` averages over about this many beats."""
WORST_S = 15.0
"""`worst_s` covers the last one to two of these intervals."""


Counted = tuple[list[int], float]
"""The count per bound, and the sum of the seconds."""


class Histogram:
    """Counts durations by the smallest bound that is not below them."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, seconds: float) -> None:
        """Count a duration; a negative one (forged timestamps) counts as 0: the sum only grows."""
        if seconds > 0:
            self.counts[bisect_left(self.bounds, seconds)] += 1
            self.sum += seconds
        else:
            self.counts[0] += 1

    @classmethod
    def of(cls, bounds: tuple[float, ...], counted: Counted) -> Histogram:
        made = cls(bounds)
        made.resume_from(counted)
        return made

    def state(self) -> Counted:
        return self.counts[:], self.sum

    def resume_from(self, counted: Counted) -> None:
        """Add earlier counts with the same bounds."""
        counts, seconds = counted
        if len(counts) == len(self.counts):
            self.counts = [a + b for a, b in zip(self.counts, counts, strict=True)]
            self.sum += seconds

    def cumulative(self) -> list[tuple[float, int]]:
        """Per upper bound, how many were not above it; the last bound is infinite."""
        return list(zip((*self.bounds, float("inf")), accumulate(self.counts), strict=True))


class StageLatencies:
    """One histogram per camera and stage."""

    def __init__(self) -> None:
        self._cameras: dict[str, tuple[Histogram, ...]] = {}

    def observe(self, record: OutcomeRecord, now: float) -> None:
        """Count one result or error when it is delivered; `now` is of the record's clock."""
        wait, predict, deliver, total = self._of(record.camera)
        captured, started, finished = record.captured_at, record.started_at, record.finished_at
        wait.observe(started - captured)
        predict.observe(finished - started)
        deliver.observe(now - finished)
        total.observe(now - captured)

    def _of(self, camera: str) -> tuple[Histogram, ...]:
        of = self._cameras.get(camera)
        if of is None:
            of = self._cameras[camera] = tuple(Histogram(STAGE_BOUNDS) for _ in STAGES)
        return of

    def state(self) -> dict[str, list[Counted]]:
        """Each camera's stages, in the order of STAGES."""
        return {camera: [each.state() for _, each in of] for camera, of in self}

    def resume_from(self, counted: dict[str, list[Counted]]) -> None:
        for camera, stages in counted.items():
            for histogram, each in zip(self._of(camera), stages, strict=True):
                histogram.resume_from(each)

    def forget(self, camera: str) -> None:
        """Drop the histograms of a removed camera."""
        self._cameras.pop(camera, None)

    def __iter__(self) -> Iterator[tuple[str, list[tuple[str, Histogram]]]]:
        """Each camera with its stages; cameras may join meanwhile."""
        for camera, of in tuple(self._cameras.items()):
            yield camera, list(zip(STAGES, of, strict=True))


class Lag:
    """How late the event loop runs, measured by a repeating timer."""

    def __init__(self) -> None:
        self.histogram = Histogram(LAG_BOUNDS)
        self._due: float | None = None
        self._lately: deque[float] = deque([0.0], maxlen=_LATELY)
        self.recent_s = 0.0
        """The greatest lateness of the last beats; events in that time were seen that much late."""
        self._window = 0.0
        self._worst = self._worst_before = 0.0

    def beat(self, now: float, next_s: float) -> None:
        """The timer runs at `now` and is due again in `next_s`."""
        due, self._due = self._due, now + next_s
        if now - self._window >= WORST_S:
            self._window, self._worst_before, self._worst = now, self._worst, 0.0
        if due is not None:
            late = max(now - due, 0.0)
            self.histogram.observe(late)
            self._lately.append(late)
            self.recent_s = max(self._lately)
            self._worst = max(self._worst, late)

    @property
    def worst_s(self) -> float:
        return max(self._worst, self._worst_before)


class Busy:
    """The share of recent time for which this process used the CPU."""

    def __init__(self) -> None:
        self._at = self._cpu_s = 0.0
        self.share = 0.0

    def beat(self, now: float, cpu_s: float) -> None:
        """`cpu_s`: the CPU time of this process so far, in seconds."""
        passed, used = now - self._at, cpu_s - self._cpu_s
        if self._at and passed > 0:
            self.share += (min(used / passed, 1.0) - self.share) / _SMOOTH
        self._at, self._cpu_s = now, cpu_s
