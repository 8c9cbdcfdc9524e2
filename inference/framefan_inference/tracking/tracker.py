"""The tracker of one camera: gives each detection of a result the id of its track.

After SORT (Bewley et al., 2016: constant velocity and IoU), with tracks of the last result first as
in the cascade of DeepSORT (Wojke et al., 2017), and without a Kalman filter.

1. The time between two results is the difference of their `pts` if both have one and it changed,
   else that of their `ts`. So a file gives the same ids on a slow machine and on a fast one.
2. `matching` assigns detections to tracks; `tracks` predicts where each track's box should be.
3. A detection without a track begins one and gets its id at once. A result is published without
   delay, so it cannot wait for the next one to confirm a track.
4. A track that is not seen is kept for 2 s, or 0.5 s if it was seen only once. A track that was
   seen in the last result is always tried, so that a slow camera keeps its ids.
5. All tracks end where the picture is not continuous: `pts` goes back (a file loops), `ts` goes
   back by more than 2 s, the picture's size changes, or there is a long gap. A gap is long if it
   takes more than 10 s, or more than 2 s and more than twice the gap before it. Without the
   comparison with the gap before, a camera with one picture every 4 s would never have a track.

A track's label is that of its newest detection. Pure: no clock is read, and nothing is random.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from msgspec import UNSET

from framefan_inference.tracking.matching import match
from framefan_inference.tracking.tracks import KEEP_S, Tracks

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from framefan.ipc.records import Detection

FORGET_S = 10.0
MAX_TRACKS = 512
"""If a result has more detections, only the most confident ones get an id."""
_STALL = 2.0
"""A gap ends all tracks if it is more than this many times the gap before it."""
_LEAST_SIZE = 0.005
"""The least size that distances are divided by, as a share of the picture's diagonal."""


class Picture(Protocol):
    """The picture that a result belongs to."""

    @property
    def ts(self) -> float:
        """When it was taken, in seconds of wall time."""
        ...

    @property
    def pts(self) -> float | None:
        """Seconds on the source's own clock, where it has one."""
        ...

    @property
    def width(self) -> int: ...

    @property
    def height(self) -> int: ...


class Tracker:
    """The tracks of one camera; `ids` yields the ids of new tracks."""

    def __init__(self, ids: Iterator[int]) -> None:
        self.tracks = Tracks()
        self._ids = ids
        self._now = 0.0
        """Seconds on the tracker's own clock, which never goes back."""
        self._ts = -math.inf
        self._pts: float | None = None
        self._gap_s: float | None = None
        self._size = (0, 0)

    def update(self, detections: Sequence[Detection], picture: Picture) -> None:
        """Set `track_id` of each detection; their order does not matter."""
        last = self._now
        self._go_on(picture)
        self.tracks.end_lost(self._now, last)
        found = sorted(detections, key=_rank)[:MAX_TRACKS]
        boxes = np.array([each.box for each in found], np.float64).reshape(-1, 4)
        labels = [each.label for each in found]
        least = _LEAST_SIZE * math.hypot(picture.width, picture.height)
        pairs = match(self.tracks, labels, boxes, self._now, last, least)
        rows, columns = [i for i, _ in pairs], [j for _, j in pairs]
        self.tracks.see(rows, boxes[columns], [labels[j] for j in columns], self._now)
        for row, j in pairs:
            found[j].track_id = int(self.tracks.ids[row])
        self._begin(found, boxes, sorted(set(range(len(found))) - set(columns)))

    def _begin(
        self, found: Sequence[Detection], boxes: NDArray[np.float64], new: Sequence[int]
    ) -> None:
        ids = list(itertools.islice(self._ids, len(new)))
        for j, number in zip(new, ids, strict=True):
            found[j].track_id = number
        self.tracks.begin(ids, boxes[new], [found[j].label for j in new], self._now)
        self.tracks.end_oldest(MAX_TRACKS)

    def _go_on(self, picture: Picture) -> None:
        """Advance the clock; end all tracks where the picture is not continuous."""
        size = picture.width, picture.height
        gap_s = self._gap(picture.ts, picture.pts)
        if gap_s is None or size != self._size or self._is_stall(gap_s):
            self.tracks = Tracks()
        if gap_s is None:
            self._ts = picture.ts
        else:
            self._ts = max(self._ts, picture.ts)
            self._now += gap_s
            self._gap_s = gap_s
        self._pts, self._size = picture.pts, size

    def _gap(self, ts: float, pts: float | None) -> float | None:
        """Seconds since the last result; None if the time went back or this is the first one."""
        if pts is not None and self._pts is not None and pts != self._pts:
            return pts - self._pts if pts > self._pts else None
        gap_s = ts - self._ts
        return max(0.0, gap_s) if -KEEP_S <= gap_s < math.inf else None

    def _is_stall(self, gap_s: float) -> bool:
        usual = FORGET_S if self._gap_s is None else _STALL * self._gap_s
        return gap_s > min(FORGET_S, max(KEEP_S, usual))


def _rank(each: Detection) -> tuple[Any, ...]:
    class_id = -1 if each.class_id is UNSET else each.class_id
    return -each.confidence, each.label, each.box, class_id
