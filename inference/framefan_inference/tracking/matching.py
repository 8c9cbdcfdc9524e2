"""Assigns detections to tracks.

Every pair of a track and a detection that may be the same object has a cost. Pairs are taken in the
order of their costs; each track and each detection is used once. A pair is possible

- by overlap: the track's expected box and the detection have an intersection over union (IoU) of
  at least 0.2. Its cost is 1 - IoU;
- or by distance, since small fast objects do not overlap: the two are similar in size, and the
  detection's centre is near the expected one, or near the last one, as the object may have turned.
  Its cost is 1 + the distance in sizes, so every overlap goes first.

The distance from the last place is limited. It may be half a size, plus one size for each second
that passed, up to two sizes; to that is added three quarters of the way that the track's speed
covers in that time. A size is the mean of the larger box's sides.

Costs are raised in steps of 10, so that

1. tracks seen in the last result are matched first, so a lost track cannot take the box of a track
   that is still visible;
2. then lost tracks, with an IoU of at least 0.5;
3. then tracks seen in the last result, with an IoU of at least 0.5 and another label, because a
   detector may call the same object a car in one picture and a truck in the next;
4. then all other pairs of lost tracks. In 1, 2 and 4 the labels must be equal.

Taking the cheapest pair first is simpler than the assignment of least total cost, and better here:
that assignment joins wrong pairs to save others (docs/benchmarks.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from framefan_inference.tracking.tracks import Tracks

    Boxes = NDArray[np.float64]
    """N rows of x1, y1, x2, y2 in pixels."""
    Column = NDArray[np.float64]
    Index = NDArray[np.int64]
    Mask = NDArray[np.bool_]

_LEAST_IOU = 0.2
_SAME_IOU = 0.5
_ALIKE = 2.0
"""The largest ratio of the two sizes of a pair by distance."""
_NEAR, _NEAR_PER_S = 0.5, 0.75
"""The largest distance from the expected place in sizes: at once, and more per second."""
_REACH_PER_S, _MOST_REACH = 1.0, 2.0
"""The largest distance from the last place in sizes: more per second, and at most."""
_NEAR_SPEED, _NEAR_SPEED_S, _REACH_SPEED = 0.5, 0.5, 0.75
"""The share of the way covered at the track's speed that is added to both distances.

For the expected place that way counts for `_NEAR_SPEED_S` at most.
"""
_SURE_AFTER = 3
"""The least number of sightings for a usable speed: two imprecise boxes give any speed."""
_STEP = 10.0


def match(
    tracks: Tracks,
    labels: Sequence[str],
    boxes: Boxes,
    now: float,
    last: float,
    least_size: float,
) -> list[tuple[int, int]]:
    """Returns pairs of a row of `tracks` and a row of `boxes`; each row is in at most one pair.

    `last`: the time of the last result. `least_size`: the smallest size, in pixels, that distances
    are divided by.
    """
    sizes = _size(tracks.boxes, least_size), _size(boxes, least_size)
    gap_s = now - tracks.seen_at
    speed = np.hypot(tracks.speeds[:, 0], tracks.speeds[:, 1])
    speed[tracks.sightings < _SURE_AFTER] = 0
    rows, columns, size, from_last = _reached(tracks, boxes, sizes, gap_s, speed)
    if not len(rows):
        return []

    found, expected = boxes[columns], tracks.expected(now)[rows]
    overlap = iou(expected, found)
    over, same = overlap >= _LEAST_IOU, overlap >= _SAME_IOU
    apart = np.minimum(_apart(expected, found), from_last)
    per_s = np.where(tracks.sightings > 1, _NEAR_PER_S, _REACH_PER_S)
    near = np.minimum(_NEAR + per_s * gap_s, _MOST_REACH)[rows] * size
    near += (_NEAR_SPEED * speed * np.minimum(gap_s, _NEAR_SPEED_S))[rows]
    alike = size <= _ALIKE * np.minimum(sizes[0][rows], sizes[1][columns])
    is_lost = (tracks.seen_at < last)[rows]
    agree = _agree(tracks.labels, labels, rows, columns)

    cost = np.where(over, 1 - overlap, 1 + apart / size)
    cost += np.where(agree, is_lost * np.where(same, _STEP, 3 * _STEP), 2 * _STEP)
    possible = (over | (alike & (apart <= near))) & (agree | (same & ~is_lost))
    return best_first(cost[possible], rows[possible], columns[possible])


def best_first(cost: Column, rows: Index, columns: Index) -> list[tuple[int, int]]:
    """Take the cheapest pair whose row and column are both free, until there is none.

    Pair k is `rows[k]` and `columns[k]` and costs `cost[k]`. Of equal costs the first one wins.
    """
    order = np.argsort(cost, kind="stable")
    pairs: list[tuple[int, int]] = []
    used, taken = set[int](), set[int]()
    for i, j in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
        if i not in used and j not in taken:
            used.add(i)
            taken.add(j)
            pairs.append((i, j))
    return pairs


def iou(one: Boxes, other: Boxes) -> Column:
    """Intersection over union of the boxes in the same row; 0 where none has an area."""
    both = np.minimum(one[:, 2:], other[:, 2:]) - np.maximum(one[:, :2], other[:, :2])
    common = np.maximum(both[:, 0], 0) * np.maximum(both[:, 1], 0)
    return np.asarray(common / np.maximum(_area(one) + _area(other) - common, 1e-9))


def _reached(
    tracks: Tracks, boxes: Boxes, sizes: tuple[Column, Column], gap_s: Column, speed: Column
) -> tuple[Index, Index, Column, Column]:
    """Pairs within reach: their rows, columns, sizes, and distances from the last place.

    Only this is computed for every pair; few pairs remain.
    """
    last, found = tracks.boxes[:, :2] + tracks.boxes[:, 2:], boxes[:, :2] + boxes[:, 2:]
    x, y = (last[:, None, axis] - found[:, axis] for axis in (0, 1))
    apart, size = np.sqrt(x * x + y * y) / 2, np.maximum(sizes[0][:, None], sizes[1])
    reach = np.minimum(_NEAR + _REACH_PER_S * gap_s, _MOST_REACH)[:, None] * size
    reached = apart <= reach + (_REACH_SPEED * speed * gap_s)[:, None]
    rows, columns = np.nonzero(reached)
    return rows, columns, size[reached], apart[reached]


def _agree(known: Sequence[str], found: Sequence[str], rows: Index, columns: Index) -> Mask:
    numbers: dict[str, int] = {}
    left = [numbers.setdefault(each, len(numbers)) for each in known]
    right = [numbers.setdefault(each, len(numbers)) for each in found]
    return np.asarray(np.array(left)[rows] == np.array(right)[columns])


def _area(boxes: Boxes) -> Column:
    return np.asarray((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]))


def _size(boxes: Boxes, least: float) -> Column:
    """The mean of each box's sides, at least `least`."""
    sides = boxes[:, 2:] - boxes[:, :2]
    return np.asarray(np.maximum(sides.sum(axis=1) / 2, least))


def _apart(one: Boxes, other: Boxes) -> Column:
    """The distance between the centres in the same row, in pixels."""
    moved = (one[:, :2] + one[:, 2:] - other[:, :2] - other[:, 2:]) / 2
    return np.asarray(np.hypot(moved[:, 0], moved[:, 1]))
