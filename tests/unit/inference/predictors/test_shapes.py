"""Outlines, key points and angles of what predictors return, as clients get them."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from look_alikes import (
    ROWS,
    FakeArray,
    FakeBoxes,
    FakeKeypoints,
    FakeMasks,
    FakeRotated,
    four_corners,
    supervision,
)
from strict_json import BOX, LABELS, LIMIT, sent

from framefan.ipc.records import Detection
from framefan_inference.predictors import results, shapes

SIZE = (64, 48)
TRIANGLE = [[1.0, 2.0], [3.5, 2.0], [2.25, 4.0]]
SQUARE = [[10.0, 20.0], [10.0, 29.0], [19.0, 29.0], [19.0, 20.0]]
"""The pixels 10 to 19 and 20 to 29, as OpenCV goes round them."""
BITMAP = np.zeros((48, 64), bool)
BITMAP[20:30, 10:20] = True
BITMAP[40, 60] = True
"""A square, and a speck."""
EMPTY = np.zeros_like(BITMAP)
POINTS = [[1.5, 2.5, 0.75], [0.0, 0.0, 0.0]]
SHIP = (350.0, 360.0, 100.0, 20.0, math.pi / 6)
CORNERS = [[311.7, 326.34], [398.3, 376.34], [388.3, 393.66], [301.7, 343.66]]
TURNED = {"mask": CORNERS, "angle": 0.5236}


def ours(**more: Any) -> Detection:
    return Detection("a", 0.5, BOX, **more)


def ultralytics(**parts: Any) -> Any:
    return [SimpleNamespace(boxes=FakeBoxes(ROWS), names=LABELS, obb=None, **parts)]


def torchvision(**more: Any) -> dict[str, Any]:
    return {"boxes": ROWS[:, :4], "scores": ROWS[:, 4], "labels": ROWS[:, 5]} | more


RETURNED: dict[str, tuple[Any, list[dict[str, Any]]]] = {
    "a polygon": (ours(mask=TRIANGLE), [{"mask": TRIANGLE}]),
    "a polygon as an array": (ours(mask=np.array(TRIANGLE, np.float32)), [{"mask": TRIANGLE}]),
    "a polygon of integers": (ours(mask=np.array(SQUARE, int)), [{"mask": SQUARE}]),
    "a bitmap": (ours(mask=BITMAP), [{"mask": SQUARE}]),
    "a bitmap of 0 and 255": (ours(mask=255 * BITMAP.astype(np.uint8)), [{"mask": SQUARE}]),
    "a bitmap of shares": (ours(mask=FakeArray(BITMAP * 0.75)), [{"mask": SQUARE}]),
    "a bitmap of low shares": (ours(mask=BITMAP * 0.25), [{}]),
    "an empty bitmap": (ours(mask=EMPTY), [{}]),
    "a speck": (ours(mask=np.pad([[1]], ((9, 38), (9, 54)))), [{}]),
    "no points": (ours(mask=[], keypoints=[]), [{}]),
    "None": (ours(mask=None, keypoints=None, angle=None), [{}]),
    "key points": (ours(keypoints=POINTS), [{"keypoints": POINTS}]),
    "key points without confidence": (
        ours(keypoints=np.array([[7, 8], [0, 0]])),
        [{"keypoints": [[7.0, 8.0, 1.0], [0.0, 0.0, 1.0]]}],
    ),
    "a box and an angle": (
        Detection("a", 0.5, (300, 350, 400, 370), angle=math.pi / 6),
        [TURNED | {"box": [301.7, 326.34, 398.3, 393.66]}],
    ),
    "an outline with a direction": (
        ours(mask=TRIANGLE, angle=np.float32(-1.5)),
        [{"mask": TRIANGLE, "angle": -1.5, "box": list(BOX)}],
    ),
    "dicts": (
        [{"label": "a", "box": BOX, "mask": TRIANGLE, "keypoints": POINTS, "angle": 0}],
        [{"mask": TRIANGLE, "keypoints": POINTS, "angle": 0.0}],
    ),
    "ultralytics, masks": (
        ultralytics(masks=FakeMasks([TRIANGLE, [[1, 1]]])),
        [{"mask": TRIANGLE}, {}],
    ),
    "ultralytics, key points": (
        ultralytics(masks=None, keypoints=FakeKeypoints([POINTS, POINTS])),
        [{"keypoints": POINTS}] * 2,
    ),
    "ultralytics, key points without confidence": (
        ultralytics(keypoints=FakeKeypoints([[[1.5, 2.5], [0, 0]]] * 2)),
        [{"keypoints": [[1.5, 2.5, 1.0], [0.0, 0.0, 0.0]]}] * 2,
    ),
    "ultralytics, rotated boxes": (
        SimpleNamespace(boxes=None, obb=FakeRotated([[*SHIP, 0.5, 1]]), names=LABELS),
        [TURNED | {"box": [301.7, 326.34, 398.3, 393.66], "class_id": 1}],
    ),
    "ultralytics, rotated boxes alone": (FakeRotated([[*SHIP, 0.5, 1]]), [TURNED]),
    "ultralytics, turned round and round": (
        FakeRotated([[*SHIP[:4], SHIP[4] + 6 * math.pi, 0.5, 1]]),
        [TURNED],
    ),
    "supervision, bitmaps": (
        supervision(mask=np.array([BITMAP, EMPTY])),
        [{"mask": SQUARE}, {}],
    ),
    "supervision, rotated boxes": (
        supervision(data={"xyxyxyxy": np.array([four_corners(*SHIP)] * 2)}),
        [TURNED] * 2,
    ),
    "supervision, corners clockwise": (
        supervision(data={"xyxyxyxy": np.array([CORNERS] * 2)}),
        [TURNED] * 2,
    ),
    "torchvision, masks": (
        torchvision(masks=FakeArray(np.array([[BITMAP], [EMPTY]], np.float32))),
        [{"mask": SQUARE}, {}],
    ),
    "torchvision, key points": (
        torchvision(keypoints=FakeArray(np.array([POINTS] * 2)), keypoints_scores=1),
        [{"keypoints": POINTS}] * 2,
    ),
}
MORE = {"mask", "keypoints", "angle"}


@pytest.mark.parametrize("name", RETURNED)
def test_shapes_of_every_kind_become_fields(name: str) -> None:
    returned, expected = RETURNED[name]
    kind, found = sent(returned, size=SIZE)
    assert kind == "detections"
    assert len(found) == len(expected)
    for each, wanted in zip(found, expected, strict=True):
        assert {key: each[key] for key in {*wanted, *MORE} & each.keys()} == wanted


@pytest.mark.parametrize("name", RETURNED)
def test_what_a_client_got_may_be_returned_again(name: str) -> None:
    _, found = sent(RETURNED[name][0], size=SIZE)
    assert sent(msgspec.convert(found, list[Detection]))[1] == found


LEFT_OUT: dict[str, tuple[Any, set[str]]] = {
    "nothing": (ultralytics(masks=None, keypoints=None), set()),
    "nothing seen, with key points as Ultralytics has them then": (
        SimpleNamespace(
            boxes=FakeBoxes(np.empty((0, 6))), keypoints=FakeKeypoints(np.empty((1, 0, 51)))
        ),
        set(),
    ),
    "masks of no known form": (ultralytics(masks=1), {"masks"}),
    "key points of no known form": (
        ultralytics(keypoints=FakeKeypoints([[[1] * 4]])),
        {"key points"},
    ),
    "masks of text": (supervision(mask=np.array(["a", "b"])), {"masks"}),
    "scores without a limit": (torchvision(keypoints_scores=1), {"scores of key points"}),
}


@pytest.mark.parametrize(("returned", "names"), LEFT_OUT.values(), ids=LEFT_OUT)
def test_what_is_in_no_known_form_is_told(returned: Any, names: set[str]) -> None:
    told: set[str] = set()
    kind, _ = results.convert(returned, LABELS, LIMIT, SIZE, told.add)
    assert (kind, told) == ("detections", names)


REFUSED: dict[str, tuple[Any, str]] = {
    "two points": (ours(mask=TRIANGLE[:2]), "an outline has at least 3 points; this one has 2"),
    "lists of unlike length": (ours(mask=[[1, 2], [3]]), "a mask cannot be read as an array"),
    "text": (ours(mask=["a"]), "a mask holds numbers; this one is 1 of <U1"),
    "a flat list": (ours(mask=[1, 2, 3, 4, 5, 6]), "a bitmap of its picture, 48x64; this one is 6"),
    "a bitmap of a model's size": (ours(mask=np.ones((160, 160))), "48x64; this one is 160x160"),
    "two bitmaps": (ours(mask=np.array([BITMAP] * 2)), "this one is 2x48x64 of bool"),
    "a corner far away": (ours(mask=[[1, 2], [3, 4], [5, 1e9]]), "outside it: 5, 1000000000"),
    "a corner of NaN": (ours(mask=[[1, 2], [3, 4], [5, math.nan]]), "an outline has NaN"),
    "masks of another number": (supervision(mask=np.array([BITMAP])), "these are no detections"),
    "flat key points": (ours(keypoints=[1, 2, 0.5]), "these are 3 of float64"),
    "visibility as COCO has it": (ours(keypoints=[[1, 2, 2]]), "lies from 0 to 1; this one is 2"),
    "a key point of NaN": (ours(keypoints=[[1, math.nan]]), "a key point has NaN"),
    "a key point far away": (ours(keypoints=[[1, -1e9]]), "far outside it: 1, -1000000000"),
    "too many key points": (ours(keypoints=np.ones((513, 2))), "at most 512 key points"),
    "degrees": (ours(angle=45), "an angle is in radians, from -6.2832 to 6.2832; this one is 45"),
    "an angle of NaN": (ours(angle=math.nan), "an angle is nan"),
    "an angle of text": (ours(angle="left"), "box, confidence, ids and angle are numbers"),
}


@pytest.mark.parametrize(("returned", "says"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_shape_is_an_error_that_names_it(returned: Any, says: str) -> None:
    with pytest.raises(results.ResultError) as caught:
        results.convert(returned, LABELS, LIMIT, SIZE)
    assert caught.value.kind == ("not_finite" if "nan" in says.lower() else "bad_detection")
    assert says in caught.value.message


# ---- how true an outline is ----------------------------------------------------------------------


def blob(seed: int, size: tuple[int, int] = (640, 360)) -> Any:
    """A bitmap of a few ellipses with a pixel in common: one part without holes."""
    chance = np.random.default_rng(seed)
    bitmap = np.zeros(size[::-1], np.uint8)
    for _ in range(4):
        centre = tuple(map(int, chance.uniform((314, 174), (326, 186))))
        axes = tuple(map(int, chance.uniform(12, 120, 2)))
        cv2.ellipse(bitmap, centre, axes, chance.uniform(0, 180), 0, 360, 1, cv2.FILLED)
    return bitmap


def filled(points: Any, shape: tuple[int, int]) -> Any:
    bitmap = np.zeros(shape, np.uint8)
    cv2.fillPoly(bitmap, [np.round(np.array(points)).astype(np.int32)], 1)
    return bitmap


@settings(max_examples=30)
@given(seed=st.integers(0, 1 << 32))
def test_an_outline_covers_what_the_bitmap_covers(seed: int) -> None:
    bitmap = blob(seed)
    ((found,),) = [sent(ours(mask=bitmap), size=(640, 360))[1]]
    again = filled(found["mask"], bitmap.shape)
    assert 3 <= len(found["mask"]) <= shapes.MASK_POINTS
    assert (again & bitmap).sum() / (again | bitmap).sum() > 0.98


@settings(max_examples=30)
@given(
    seed=st.integers(0, 1 << 32),
    points=st.integers(shapes.MASK_POINTS + 1, 3000),
    roughness=st.sampled_from([0, 0.02, 0.5, 3]),
)
def test_an_outline_of_many_points_has_as_many_as_are_allowed(
    seed: int, points: int, roughness: float
) -> None:
    """Round ones, rough ones, and clouds of points; small and beyond any picture."""
    chance = np.random.default_rng(seed)
    turns = np.sort(chance.uniform(0, math.tau, points))
    radius = 100 * (1 + roughness * chance.standard_normal(points))
    outline = np.stack([300 + radius * np.cos(turns), 200 + radius * np.sin(turns)], axis=1)
    ((found,),) = [sent(ours(mask=outline))[1]]
    assert 3 <= len(found["mask"]) <= shapes.MASK_POINTS
    if roughness <= 0.02:
        area = cv2.contourArea(np.array(found["mask"], np.float32))
        assert area == pytest.approx(cv2.contourArea(outline.astype(np.float32)), rel=0.05)


def test_a_spike_of_many_points_stays_an_outline() -> None:
    there = np.stack([np.linspace(0, 500, 300), np.zeros(300)], axis=1)
    ((found,),) = [sent(ours(mask=np.concatenate([there, there[::-1]])))[1]]
    assert 3 <= len(found["mask"]) <= shapes.MASK_POINTS


def test_an_outline_of_a_hundred_thousand_points_takes_no_longer_than_one_of_ten() -> None:
    saw = np.stack([np.arange(100_000) % 977, np.arange(100_000) // 103], axis=1)
    ((found,),) = [sent(ours(mask=saw))[1]]
    assert len(found["mask"]) <= shapes.MASK_POINTS


def test_a_crowd_with_outlines_fits_into_a_result() -> None:
    many = [ours(mask=blob(seed)) for seed in range(3)] * 100
    found = sent(many)[1]
    assert len(found) == 300
    assert {len(each["mask"]) for each in found} <= set(range(3, 23))
    assert max(len(each["mask"]) for each in sent(many[:3])[1]) > 22


# ---- rotated boxes -------------------------------------------------------------------------------


@given(
    middle=st.tuples(st.floats(-500, 500), st.floats(-500, 500)),
    sides=st.tuples(st.floats(1, 900), st.floats(1, 900)),
    angle=st.floats(-math.pi, math.pi),
)
def test_corners_give_back_the_box_and_its_angle(
    middle: tuple[float, float], sides: tuple[float, float], angle: float
) -> None:
    row = [*middle, *sides, angle]
    ((found,),) = [sent(FakeRotated([[*row, 0.5, 1]]))[1]]
    corners = np.array(found["mask"])
    assert corners.mean(axis=0) == pytest.approx(middle, abs=0.02)
    lengths = np.linalg.norm(np.roll(corners, -1, axis=0) - corners, axis=1)
    assert lengths == pytest.approx([*sides, *sides], abs=0.03)
    across, down = corners[1] - corners[0]
    off = math.remainder(math.atan2(down, across) - found["angle"], math.tau)
    assert abs(off) * sides[0] < 0.2
    assert found["box"][:2] == pytest.approx(corners.min(axis=0), abs=0.02)
    assert found["box"][2:] == pytest.approx(corners.max(axis=0), abs=0.02)
    expected = {tuple(np.round(corner)) for corner in four_corners(*row)}
    assert len(expected) == 4 or min(sides) < 2
    for corner in four_corners(*row):
        assert np.abs(corners - corner).sum(axis=1).min() < 0.05


@given(
    points=st.lists(
        st.tuples(*[st.floats(-20_000, 20_000, width=32)] * 2, st.floats(-0.5, 1.5, width=32)),
        min_size=1,
        max_size=20,
    )
)
def test_a_client_gets_only_key_points_that_can_be(points: list[tuple[float, ...]]) -> None:
    far = max(max(abs(x), abs(y)) for x, y, _ in points)
    try:
        ((found,),) = [sent(ours(keypoints=points))[1]]
    except results.ResultError:
        assert far > 16_000 or any(not 0 <= confidence <= 1 for *_, confidence in points)
        return
    assert np.array(found["keypoints"]) == pytest.approx(np.array(points), abs=0.01)
