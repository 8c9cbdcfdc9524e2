"""Matching: the best pairs first, and no leap."""

from __future__ import annotations

import itertools
import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from framefan_inference.tracking.matching import best_first, iou, match
from framefan_inference.tracking.tracks import Tracks

_COSTS = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(0, 9)),
    unique_by=lambda pair: pair[:2],
)


@given(_COSTS)
def test_the_best_pair_that_is_free_is_taken_until_there_is_none(
    pairs: list[tuple[int, int, int]],
) -> None:
    left, expected = list(pairs), []
    while left:
        i, j, _ = min(left, key=lambda pair: (pair[2], pairs.index(pair)))
        expected.append((i, j))
        left = [pair for pair in left if pair[0] != i and pair[1] != j]
    rows, columns, cost = (np.array([pair[n] for pair in pairs], int) for n in range(3))
    assert best_first(cost.astype(float), rows, columns) == expected


_BOX = st.builds(
    lambda x, y, w, h: (x, y, x + w, y + h),
    *[st.integers(-300, 900)] * 2,
    *[st.integers(0, 300)] * 2,
)


@given(_BOX, _BOX)
def test_iou_is_that_of_pixels_counted(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    grid = np.zeros((2, 1500, 1500), bool)
    for n, (x1, y1, x2, y2) in enumerate((one, other)):
        grid[n, y1 + 300 : y2 + 300, x1 + 300 : x2 + 300] = True
    union = (grid[0] | grid[1]).sum()
    counted = (grid[0] & grid[1]).sum() / union if union else 0.0
    boxes = (np.array([each], float) for each in (one, other))
    assert math.isclose(iou(*boxes)[0], counted, abs_tol=1e-12)


@settings(max_examples=200)
@given(
    st.lists(_BOX, min_size=1, max_size=6),
    st.lists(_BOX, min_size=1, max_size=6),
    st.floats(0.01, 2.0),
    st.floats(0, 400),
)
def test_no_pair_leaps(
    known: list[tuple[int, ...]], found: list[tuple[int, ...]], gap_s: float, speed: float
) -> None:
    """However fast it was: two sizes, and three quarters of the way that its speed makes."""
    tracks, boxes = Tracks(), np.array(found, float)
    tracks.begin(range(len(known)), np.array(known, float), ["a"] * len(known), 0.0)
    tracks.speeds += speed
    tracks.sightings += 5
    for i, j in match(tracks, ["a"] * len(found), boxes, gap_s, 0.0, 7.0):
        (ax, ay, bx, by), (cx, cy, dx, dy) = known[i], found[j]
        sizes = [(b[2] - b[0] + b[3] - b[1]) / 2 for b in (known[i], found[j])]
        apart = math.hypot(ax + bx - cx - dx, ay + by - cy - dy) / 2
        way = math.hypot(speed, speed) * gap_s
        assert apart <= min(2, 0.5 + gap_s) * max(7.0, *sizes) + 0.75 * way + 1e-6


def test_a_lost_track_takes_no_box_from_one_that_is_there() -> None:
    """The lost one's box fits exactly, that of the last result is half a box away."""
    for order in itertools.permutations(range(2)):
        tracks = Tracks()
        places = {0: (100.0, 100.0, 140.0, 140.0), 1: (115.0, 100.0, 155.0, 140.0)}
        seen_at = {0: 0.0, 1: 1.0}
        for number in order:
            tracks.begin([number], np.array([places[number]]), ["a"], seen_at[number])
        tracks.sightings += 5
        boxes = np.array([places[0]])
        [(row, _)] = match(tracks, ["a"], boxes, 1.1, 1.0, 7.0)
        assert tracks.ids[row] == 1
