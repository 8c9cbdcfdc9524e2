"""The tracker: ids that stay with their things, are never used again, and change nothing else."""

from __future__ import annotations

import itertools
import random
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pictures import Stamps, at, ids_of, new_tracker, play

from benchmarks.tracker_films import demo, people
from benchmarks.tracker_rivals import Framefan
from benchmarks.tracker_scores import Score, judge
from framefan.ipc.records import Detection
from framefan_capture.sources.scene import Scene
from framefan_inference.tracking.tracker import FORGET_S, MAX_TRACKS, Tracker

FPS = 30.0

# ---- whatever comes ------------------------------------------------------------------------------

_DETECTION = st.builds(
    lambda label, confidence, x, y, w, h: Detection(label, confidence, (x, y, x + w, y + h)),
    st.sampled_from("ab"),
    st.floats(0, 1),
    *[st.integers(-3000, 4000).map(float)] * 2,
    *[st.integers(0, 600).map(float)] * 2,
)
_GAPS = st.sampled_from((0.0, 0.03, 0.1, 0.4, 1.9, 2.1, 9.9, 11.0, -0.5, -3.0))
_RESULTS = st.lists(
    st.tuples(
        st.lists(_DETECTION, max_size=6, unique_by=repr),
        _GAPS,
        st.one_of(st.none(), st.floats(0, 20)),
        st.sampled_from((640, 640, 640, 1280)),
    ),
    max_size=8,
)


@settings(max_examples=150, deadline=None)
@given(_RESULTS, st.randoms(use_true_random=False))
def test_whatever_comes_ids_are_unique_and_the_order_of_detections_does_not_matter(
    results: list[Any], dice: random.Random
) -> None:
    one, other, ts, known = new_tracker(), new_tracker(), 100.0, set[int]()
    for found, gap_s, pts, width in results:
        ts += gap_s
        picture = Stamps(ts, pts, width)
        mixed = msgspec.convert(msgspec.to_builtins(found), list[Detection])
        dice.shuffle(mixed)
        before = [(each.label, each.confidence, each.box) for each in found]
        alive = set(one.tracks.ids.tolist())
        ids = ids_of(one, found, picture)
        assert [(each.label, each.confidence, each.box) for each in found] == before
        assert len(set(ids)) == len(ids)
        assert all(isinstance(each, int) for each in ids)
        assert not set(ids) & (known - alive), "the id of a track that has ended"
        known |= set(ids)
        other.update(mixed, picture)
        assert sorted(map(repr, mixed)) == sorted(map(repr, found))
        for column in (one.tracks.boxes, one.tracks.speeds, one.tracks.seen_at):
            assert np.isfinite(column).all()


@settings(max_examples=100, deadline=None)
@given(st.floats(8, 300), st.floats(8, 300), st.sampled_from((1, 3, 10, 30)), st.integers(0, 2**32))
def test_what_does_not_move_keeps_its_id_through_jitter_and_misses(
    width: float, height: float, rate: int, seed: int
) -> None:
    """Each side is wrong by 5 % of the box; one sighting in five is missed."""
    dice, ids = random.Random(seed), set[Any]()
    tracker, missed = new_tracker(), 0
    for n in range(60):
        box = [200.0, 200.0, 200 + width, 200 + height]
        sides = (width, height) * 2
        box = [value + dice.gauss(0, 0.05) * side for value, side in zip(box, sides, strict=True)]
        is_missed = n > 2 and missed < rate and dice.random() < 0.2
        missed = missed + 1 if is_missed else 0
        found = [] if is_missed else [Detection("a", 0.5, tuple(box))]  # type: ignore[arg-type]
        ids |= set(ids_of(tracker, found, Stamps(n / rate, n / rate)))
    assert ids == {1}


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from((0.001, 0.1, 3.0)))
def test_the_same_file_gives_the_same_ids_however_long_each_picture_takes(
    seed: int, slow_s: float
) -> None:
    film, dice, ts = demo("any", 10, 1, count=8, seconds=4, seed=1), random.Random(seed), 0.0
    fast, slow = [], []
    for result in film.results:
        ts += dice.uniform(0, slow_s)
        boxes = [tuple(box) for box in result.boxes.tolist()]
        for results, now in ((fast, result.time_s), (slow, ts)):
            found = [Detection("a", 0.5, box) for box in boxes]  # type: ignore[arg-type]
            results.append((Stamps(now, result.time_s), found))
    assert play(fast) == play(slow)


# ---- which thing is which ------------------------------------------------------------------------


def test_two_that_cross_keep_their_ids() -> None:
    tracker = new_tracker()
    for n in range(60):
        found = [at(100 + 8 * n, 100), at(572 - 8 * n, 112)]
        assert ids_of(tracker, found, Stamps(n / FPS)) == [1, 2]


def test_a_gap_and_a_turn_keep_the_id() -> None:
    tracker = new_tracker()
    for n in (*range(10), *range(25, 30)):
        assert ids_of(tracker, [at(100 + 6 * n)], Stamps(n / FPS)) == [1]
    assert ids_of(tracker, [at(260)], Stamps(31 / FPS)) == [1], "14 px back, not 12 on"


def test_a_jump_is_another_thing() -> None:
    assert play((Stamps(n / 10), [at(x)]) for n, x in enumerate((100, 101, 900))) == [[1], [1], [2]]


@pytest.mark.parametrize(
    ("results", "ids"),
    [
        ([("car",), ("truck",), ("car",)], [[1], [1], [1]]),
        ([("car", "truck"), ("truck",), ("car",)], [[1, 2], [2], [1]]),
        ([("car",), (), ("truck",)], [[1], [], [2]]),
    ],
    ids=["one that the detector is unsure of", "two boxes of one thing", "of a lost one"],
)
def test_labels(results: list[tuple[str, ...]], ids: list[list[int]]) -> None:
    films = ([at(100 + n, label=each) for each in labels] for n, labels in enumerate(results))
    assert play((Stamps(n / 10), found) for n, found in enumerate(films)) == ids


def test_another_label_elsewhere_is_another_thing() -> None:
    films = [[at(100)], [at(125, label="b")]]
    assert play((Stamps(n / 10), found) for n, found in enumerate(films)) == [[1], [2]]


# ---- time ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "later",
    [
        Stamps(97.0),
        Stamps(100.0 + FORGET_S + 0.1),
        Stamps(102.2),
        Stamps(100.1, 1.0),
        Stamps(100.1, 7.2),
        Stamps(100.1, width=640),
    ],
    ids=["clock back", "long silence", "stall", "file anew", "stall of a file", "size"],
)
def test_what_ends_all_tracks(later: Stamps) -> None:
    pictures = [Stamps(99.9, 4.9), Stamps(100.0, 5.0), later]
    assert play((picture, [at(100)]) for picture in pictures) == [[1], [1], [2]]


@pytest.mark.parametrize(
    "pictures",
    [
        [Stamps(4.0 * n) for n in range(4)],
        [Stamps(0.5 * n, 4.0 * n) for n in range(4)],
        [Stamps(100.0), Stamps(99.5), Stamps(100.1)],
        [Stamps(0.1, None), Stamps(0.2, 7.0), Stamps(0.3, 7.1), Stamps(0.4, None)],
        [Stamps(50.0 * n, 0.1 * n) for n in range(4)],
    ],
    ids=["slow camera", "slow file", "small step back of the clock", "pts now and then", "slow us"],
)
def test_what_ends_no_track(pictures: list[Stamps]) -> None:
    assert play((picture, [at(100)]) for picture in pictures) == [[1]] * len(pictures)


def test_a_thing_that_is_missed_loses_its_id_by_the_clock_of_its_source() -> None:
    for kept_s, last in ((1.9, 1), (2.1, 2)):
        steps = [0.0, 0.1, *[0.1 + kept_s * n / 10 for n in range(1, 11)]]
        found = [[at(100)], [at(100)], *[[]] * 9, [at(100)]]
        results = ((Stamps(9 * s, s), each) for s, each in zip(steps, found, strict=True))
        assert play(results)[-1] == [last]
    gone = [(Stamps(0.2 * n), [at(100)] if n in (0, 3) else []) for n in range(4)]
    assert play(gone)[-1] == [2], "seen once: more likely a mistake"


def test_a_clock_that_stands_still_is_none() -> None:
    pictures = [Stamps(n / 10, 0.0) for n in range(40)]
    results = [(each, [at(100)] if n in (0, 1, 39) else []) for n, each in enumerate(pictures)]
    assert play(results)[-1] == [2]


# ---- bounds and quality --------------------------------------------------------------------------


def test_tracks_are_bounded_and_the_least_sure_have_no_id() -> None:
    tracker = new_tracker()
    many = [at(50.0 * n) for n in range(MAX_TRACKS + 5)]
    tracker.update(many, Stamps(1.0))
    assert sum(isinstance(each.track_id, int) for each in many) == MAX_TRACKS
    tracker.update([at(50.0 * n, 600) for n in range(9)], Stamps(1.1))
    assert len(tracker.tracks) == MAX_TRACKS


@pytest.mark.parametrize("seed", range(5))
def test_the_demo_scene_with_noise_and_misses_has_hardly_a_switch(seed: int) -> None:
    """Truth, one pixel of noise, 5 % misses, one label for all: 30 s of four shapes."""
    scene, dice = Scene(1280, 720, seed), random.Random(seed)
    tracker, known, switches = Tracker(itertools.count(1)), dict[str, Any](), 0
    for n in range(900):
        shapes = [each for each in scene.truth(n) if each.moving and dice.random() > 0.05]
        boxes = [tuple(side + dice.gauss(0, 1) for side in each.box) for each in shapes]
        found = [Detection("moving", 0.9, box) for box in boxes]  # type: ignore[arg-type]
        for shape, number in zip(shapes, ids_of(tracker, found, Stamps(n / FPS)), strict=True):
            switches += known.setdefault(shape.kind, number) != number
            known[shape.kind] = number
    assert switches <= 2, "one per shape-minute"


@pytest.mark.parametrize(
    ("step", "switches"), [(1, 0), (3, 2)], ids=["10 a second", "3.3 a second"]
)
def test_people_in_a_street_keep_their_ids(step: int, switches: int) -> None:
    film = people(step)
    tracker = Framefan(film)
    score: Score = judge(film, [tracker.update(result) for result in film.results])
    assert score.switches <= switches
    assert score.leaps == 0
    assert score.fragments <= 1
    assert score.ids <= 50
