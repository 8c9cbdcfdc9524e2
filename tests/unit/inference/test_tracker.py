"""The tracker: ids that stay with their things, are never reused, and change nothing else."""

from __future__ import annotations

import itertools
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framefan.ipc.records import Detection
from framefan_capture.sources.scene import Scene
from framefan_inference.leases.schedule import Frame
from framefan_inference.tracker import FORGET_S, MAX_TRACKS, Tracker, Tracking

FPS = 30.0


def _frame(ts: float, pts: float | None = None, width: int = 1280) -> Frame:
    return Frame(0, 0, 0, ts, ts, width, 720, pts)


def _at(x: float, y: float = 100.0, label: str = "a", side: float = 40.0) -> Detection:
    return Detection(label, 0.5, (x, y, x + side, y + side))


def _ids(tracker: Tracker, found: list[Detection], frame: Frame) -> list[Any]:
    tracker.update(found, frame)
    return [each.track_id for each in found]


_DETECTION = st.builds(
    lambda label, confidence, x, y, w, h: Detection(label, confidence, (x, y, x + w, y + h)),
    st.sampled_from("ab"),
    st.floats(0, 1),
    *[st.integers(0, 600).map(float)] * 2,
    *[st.integers(0, 200).map(float)] * 2,
)
_SCENES = st.lists(st.lists(_DETECTION, max_size=6, unique_by=repr), max_size=6)


@settings(max_examples=60, deadline=None)
@given(_SCENES, st.randoms(use_true_random=False))
def test_ids_are_unique_in_a_frame_and_order_does_not_matter(
    scenes: list[list[Detection]], dice: random.Random
) -> None:
    one, other = Tracker(itertools.count(1)), Tracker(itertools.count(1))
    for number, scene in enumerate(scenes):
        mixed = msgspec.convert(msgspec.to_builtins(scene), list[Detection])
        dice.shuffle(mixed)
        before = [(each.label, each.confidence, each.box) for each in scene]
        ids = _ids(one, scene, _frame(number / FPS))
        assert [(each.label, each.confidence, each.box) for each in scene] == before
        assert len(set(ids)) == len(ids)
        assert all(isinstance(each, int) for each in ids)
        other.update(mixed, _frame(number / FPS))
        assert sorted(map(repr, mixed)) == sorted(map(repr, scene))


def test_two_that_cross_keep_their_ids() -> None:
    tracker = Tracker(itertools.count(1))
    for n in range(60):
        found = [_at(100 + 8 * n, 100), _at(572 - 8 * n, 112)]
        assert _ids(tracker, found, _frame(n / FPS)) == [1, 2]


def test_a_gap_and_a_turn_keep_the_id() -> None:
    tracker = Tracker(itertools.count(1))
    for n in (*range(10), *range(25, 30)):
        assert _ids(tracker, [_at(100 + 6 * n)], _frame(n / FPS)) == [1]
    assert _ids(tracker, [_at(230)], _frame(31 / FPS)) == [1]


def test_a_slow_camera_keeps_ids_and_a_missed_one_loses_it() -> None:
    tracker = Tracker(itertools.count(1))
    assert [_ids(tracker, [_at(100 + n)], _frame(4.0 * n)) for n in range(4)] == [[1]] * 4
    assert _ids(tracker, [], _frame(12.5)) == []
    tracker.update([], _frame(15.0))
    assert _ids(tracker, [_at(103)], _frame(15.1)) == [2]


@pytest.mark.parametrize(
    "later",
    [
        _frame(97.0),
        _frame(100.0 + FORGET_S + 0.1),
        _frame(100.1, pts=1.0),
        _frame(100.1, width=640),
    ],
    ids=["clock back", "long silence", "source anew", "size"],
)
def test_another_scene_has_new_ids(later: Frame) -> None:
    tracker = Tracker(itertools.count(1))
    assert _ids(tracker, [_at(100)], _frame(100.0, pts=5.0)) == [1]
    assert _ids(tracker, [_at(100)], later) == [2]


def test_a_small_step_back_of_the_clock_and_another_label() -> None:
    tracker = Tracker(itertools.count(1))
    assert _ids(tracker, [_at(100)], _frame(100.0)) == [1]
    assert _ids(tracker, [_at(101)], _frame(99.5)) == [1]
    assert _ids(tracker, [_at(101, label="b")], _frame(100.1)) == [2]
    assert _ids(tracker, [_at(900)], _frame(100.2)) == [3], "a jump is another thing"


def test_tracks_are_bounded_and_the_least_sure_have_no_id() -> None:
    tracker = Tracker(itertools.count(1))
    many = [_at(50.0 * n) for n in range(MAX_TRACKS + 5)]
    tracker.update(many, _frame(1.0))
    assert sum(isinstance(each.track_id, int) for each in many) == MAX_TRACKS
    tracker.update([_at(50.0 * n, 600) for n in range(9)], _frame(1.1))
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
        for shape, number in zip(shapes, _ids(tracker, found, _frame(n / FPS)), strict=True):
            switches += known.setdefault(shape.kind, number) != number
            known[shape.kind] = number
    assert switches <= 2, "one per shape-minute"


def test_payloads_get_ids_and_a_camera_that_left_gets_new_ones() -> None:
    tracking = Tracking()

    def sent(payload: Any, camera: str = "cam", model: str = "m") -> Any:
        raw = msgspec.Raw(msgspec.msgpack.encode(payload))
        return msgspec.msgpack.decode(tracking.payload(camera, model, _frame(1.0), raw))

    assert [sent([_at(100)])[0]["track_id"] for _ in range(2)] == [1, 1]
    assert sent([_at(100)], "other")[0]["track_id"] == 2, "one numbering for all cameras"
    tracking.forget("cam")
    assert sent([_at(100)])[0]["track_id"] == 3
    assert sent("no detections") == "no detections"
    own = _at(100)
    own.track_id = 70
    assert sent([own, _at(300)]) == msgspec.json.decode(msgspec.json.encode([own, _at(300)]))
    assert "track_id" not in sent([_at(300)])[0], "it numbers them itself"
    assert sent([_at(300)], model="new")[0]["track_id"] == 4, "a swapped predictor does not"
