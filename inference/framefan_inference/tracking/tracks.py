"""The tracks of one camera, as columns of arrays, and the prediction of their boxes.

A track has a box, the speed of its centre, and the time when it was last seen. The speed is a mean
of the latest movements, weighted by age: a movement that is 0.1 s older counts a third. While a
track is not seen its speed is assumed to fade, because people stop and turn: at 10 pixels per
second the box moves 5 pixels in the long run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

KEEP_S = 2.0
"""How long a track that is not seen is kept."""
KEEP_NEW_S = 0.5
"""How long a track that was seen only once is kept; most of those are false detections."""
_MEMORY_S = 0.1
_FADE_S = 0.5


class Tracks:
    """The tracks; row i of every column is one track."""

    def __init__(self) -> None:
        self.ids: NDArray[np.int64] = np.zeros(0, np.int64)
        self.labels: list[str] = []
        """The label of each track's newest detection."""
        self.boxes: NDArray[np.float64] = np.zeros((0, 4))
        self.speeds: NDArray[np.float64] = np.zeros((0, 2))
        """x and y, in pixels per second."""
        self.seen_at: NDArray[np.float64] = np.zeros(0)
        self.sightings: NDArray[np.int64] = np.zeros(0, np.int64)

    def __len__(self) -> int:
        return len(self.ids)

    def expected(self, now: float) -> NDArray[np.float64]:
        """The predicted boxes, float64[T, 4]."""
        travelled_s = _FADE_S * -np.expm1((self.seen_at - now) / _FADE_S)
        moved = self.speeds * travelled_s[:, None]
        return np.asarray(self.boxes + np.concatenate((moved, moved), axis=1))

    def see(
        self, rows: Sequence[int], boxes: NDArray[np.float64], labels: Sequence[str], now: float
    ) -> None:
        """Update these tracks with the boxes at which they were found."""
        if not rows:
            return
        at = np.array(rows)
        gap_s, seen = now - self.seen_at[at], self.sightings[at]
        moved = (boxes[:, :2] + boxes[:, 2:] - self.boxes[at, :2] - self.boxes[at, 2:]) / 2
        newest = moved / np.maximum(gap_s, 1e-6)[:, None]
        share = np.maximum(-np.expm1(-gap_s / _MEMORY_S), 1 / seen) * (gap_s > 0)
        self.speeds[at] += share[:, None] * (newest - self.speeds[at])
        self.boxes[at] = boxes
        self.seen_at[at] = now
        self.sightings[at] = seen + 1
        for row, label in zip(rows, labels, strict=True):
            self.labels[row] = label

    def begin(
        self, ids: Sequence[int], boxes: NDArray[np.float64], labels: Sequence[str], now: float
    ) -> None:
        count = len(ids)
        if not count:
            return
        self.ids = np.append(self.ids, ids)
        self.labels += labels
        self.boxes = np.concatenate((self.boxes, boxes))
        self.speeds = np.concatenate((self.speeds, np.zeros((count, 2))))
        self.seen_at = np.append(self.seen_at, np.full(count, now))
        self.sightings = np.append(self.sightings, np.ones(count, np.int64))

    def end_lost(self, now: float, last: float) -> None:
        """End tracks that were unseen for too long and not in the last result, at `last`."""
        keep_s = np.where(self.sightings > 1, KEEP_S, KEEP_NEW_S)
        kept = (self.seen_at >= last) | (now - self.seen_at <= keep_s)
        if not kept.all():
            self._keep(np.flatnonzero(kept))

    def end_oldest(self, most: int) -> None:
        """Keep the `most` tracks that were seen last."""
        if len(self) > most:
            newest = np.argsort(-self.seen_at, kind="stable")[:most]
            self._keep(np.sort(newest))

    def _keep(self, rows: NDArray[np.int64]) -> None:
        self.ids = self.ids[rows]
        self.labels = [self.labels[row] for row in rows.tolist()]
        self.boxes, self.speeds = self.boxes[rows], self.speeds[rows]
        self.seen_at, self.sightings = self.seen_at[rows], self.sightings[rows]
