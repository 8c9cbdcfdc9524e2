"""Detections of every kind that predictors return, and what is refused."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from look_alikes import ROWS, FakeArray, FakeBoxes, FakeTensor, supervision, ultralytics
from strict_json import BOX, LABELS, refused, seen, sent

from framefan.ipc.records import Detection
from framefan_inference.predictors import results

TWO = [seen("car", 0.5, class_id=1), seen("person", 0.25, class_id=0)]
DETECTIONS: dict[str, tuple[Any, list[dict[str, Any]]]] = {
    "one of ours": (Detection("a", 0.5, BOX), [seen("a", 0.5)]),
    "a list of ours": ([Detection("a", 0.5, BOX, 3, 4)], [seen("a", 0.5, class_id=3, track_id=4)]),
    "a tuple of ours": ((Detection("a", 0.5, BOX),), [seen("a", 0.5)]),
    "an empty list": ([], []),
    "an empty tuple": ((), []),
    "fields of numpy": (
        [Detection("a", np.float32(0.5), np.array(BOX), np.int64(3), np.uint8(4))],  # type: ignore[arg-type]
        [seen("a", 0.5, class_id=3, track_id=4)],
    ),
    "ids of None": ([Detection("a", 0.5, BOX, None, None)], [seen("a", 0.5)]),  # type: ignore[arg-type]
    "rows": (ROWS, TWO),
    "rows of float32": (ROWS.astype(np.float32), TWO),
    "rows of integers": (np.array([[1, 2, 3, 4, 1, 1]]), [seen("car", 1.0, class_id=1)]),
    "no rows": (np.empty((0, 6)), []),
    "a class without a name": (np.array([[*BOX, 0.5, 9]]), [seen("9", 0.5, class_id=9)]),
    "a class of NaN": (np.array([[*BOX, 0.5, math.nan]]), [seen("-1", 0.5, class_id=-1)]),
    "supervision": (supervision(), TWO),
    "supervision, tracked": (
        supervision(tracker_id=np.array([7, 8])),
        [TWO[0] | {"track_id": 7}, TWO[1] | {"track_id": 8}],
    ),
    "supervision, named": (
        supervision(data={"class_name": np.array(["bus", "dog"])}),
        [seen("bus", 0.5, class_id=1), seen("dog", 0.25, class_id=0)],
    ),
    "supervision, boxes only": (
        supervision(confidence=None, class_id=None),
        [seen("object", 1.0)] * 2,
    ),
    "a tensor of rows": (FakeArray(ROWS), TWO),
    "a tensor of rows in half precision": (FakeArray(ROWS.astype(np.float16)), TWO),
    "an array without elements": (np.array([]), []),
    "no boxes of four": (np.empty((0, 4)), []),
    "rows with tracks behind": (
        np.array([[*BOX, 0.5, 1, 7], [*BOX, 0.25, 0, 8]]),
        [TWO[0] | {"track_id": 7}, TWO[1] | {"track_id": 8}],
    ),
    "rows with tracks before, as of Ultralytics": (
        np.array([[*BOX, 7, 0.5, 1], [*BOX, 8, 0.25, 0]]),
        [TWO[0] | {"track_id": 7}, TWO[1] | {"track_id": 8}],
    ),
    "dicts": (
        [
            {"label": "car", "confidence": 0.5, "box": list(BOX), "class_id": 1},
            {"label": "person", "box": BOX},
        ],
        [TWO[0], seen("person", 1.0)],
    ),
    "torchvision": (
        {"boxes": ROWS[:, :4], "scores": ROWS[:, 4], "labels": ROWS[:, 5].astype(int)},
        TWO,
    ),
    "torchvision in its list": (
        [
            {
                "boxes": FakeArray(ROWS[:, :4]),
                "scores": FakeArray(ROWS[:, 4]),
                "labels": FakeArray(ROWS[:, 5].astype(int)),
            }
        ],
        TWO,
    ),
    "ultralytics, the boxes alone": (FakeBoxes(ROWS), TWO),
    "supervision, empty": (
        supervision(xyxy=np.empty((0, 4)), confidence=np.empty(0), class_id=np.empty(0, int)),
        [],
    ),
    "ultralytics": (ultralytics(), TWO),
    "ultralytics in its list": ([ultralytics()], TWO),
    "ultralytics with names": (
        ultralytics(names={0: "dog", 1: "bus"}),
        [seen("bus", 0.5, class_id=1), seen("dog", 0.25, class_id=0)],
    ),
    "ultralytics, tracked": (
        ultralytics(tracks=FakeTensor([5, 6])),
        [TWO[0] | {"track_id": 5}, TWO[1] | {"track_id": 6}],
    ),
    "ultralytics, empty": (ultralytics(rows=np.empty((0, 6))), []),
}


@pytest.mark.parametrize(("returned", "expected"), DETECTIONS.values(), ids=DETECTIONS)
def test_detections_of_every_kind(returned: Any, expected: list[dict[str, Any]]) -> None:
    assert sent(returned) == ("detections", expected)


VALUES: dict[str, tuple[Any, Any]] = {
    "dicts that hold more": (
        [{"label": "car", "confidence": 0.5, "box": [1, 2, 3, 4], "plate": "B-1"}],
        [{"label": "car", "confidence": 0.5, "box": [1, 2, 3, 4], "plate": "B-1"}],
    ),
    "seven columns of something else": (np.array([[*BOX, 3, 4, 5]]), [[*BOX, 3, 4, 5]]),
    "a dict of other boxes": ({"boxes": [1], "scores": [2], "labels": [3]},) * 2,
    "a tensor of another shape": (FakeArray(np.array([[1.5, 2.0]])), [[1.5, 2.0]]),
    "a tensor inside": ({"speed": FakeArray(np.array(3.5))}, {"speed": 3.5}),
    "classes of the picture": (
        [
            SimpleNamespace(
                boxes=None,
                names={0: "cat", 1: "dog", 2: "fox"},
                probs=SimpleNamespace(data=FakeArray(np.array([0.25, 0.7, 0.05]))),
            )
        ],
        {
            "classes": [
                {"label": "dog", "confidence": 0.7, "class_id": 1},
                {"label": "cat", "confidence": 0.25, "class_id": 0},
                {"label": "fox", "confidence": 0.05, "class_id": 2},
            ]
        },
    ),
}


@pytest.mark.parametrize(("returned", "expected"), VALUES.values(), ids=VALUES)
def test_values_that_look_like_detections(returned: Any, expected: Any) -> None:
    assert sent(returned) == ("value", expected)


@given(
    rows=st.lists(
        st.tuples(st.floats(0.001, 0.999), st.integers(0, 80), st.integers(2, 900)), min_size=1
    ),
    before=st.booleans(),
)
def test_seven_columns_are_read_the_right_way_round(rows: Any, before: bool) -> None:
    order = [2, 0, 1] if before else [0, 1, 2]
    array = np.array([[*BOX, *(row[n] for n in order)] for row in rows])
    seen = sent(array)[1]
    assert [(each["class_id"], each["track_id"]) for each in seen] == [row[1:] for row in rows]
    assert [each["confidence"] for each in seen] == [round(row[0], 4) for row in rows]


@pytest.mark.parametrize("labels", [("person", "car"), ["person", "car"], LABELS])
def test_labels_are_a_sequence_or_a_mapping(labels: Any) -> None:
    assert sent(ROWS, labels)[1] == TWO


def test_numbers_are_rounded_to_what_a_client_can_use() -> None:
    detection = Detection("a", 1 / 3, (1 / 3, 2 / 3, 100 / 3, 4.0))
    assert sent(detection)[1] == [
        {"label": "a", "confidence": 0.3333, "box": [0.33, 0.67, 33.33, 4.0]}
    ]


BAD_DETECTIONS: dict[str, tuple[Any, str]] = {
    "NaN in a box": (Detection("a", 0.5, (0, 0, 1, math.nan)), "not_finite"),
    "an infinite confidence": (Detection("a", math.inf, BOX), "not_finite"),
    "NaN in rows": (np.array([[*BOX, math.nan, 0]]), "not_finite"),
    "three corners": (Detection("a", 0.5, (0, 0, 1)), "bad_detection"),  # type: ignore[arg-type]
    "a box of text": (Detection("a", 0.5, "abcd"), "bad_detection"),  # type: ignore[arg-type]
    "no confidence": (Detection("a", None, BOX), "bad_detection"),  # type: ignore[arg-type]
    "a label of None": (Detection(None, 0.5, BOX), "bad_detection"),  # type: ignore[arg-type]
    "a dict without a label": ([{"label": None, "box": BOX}], "bad_detection"),
    "a confidence that is a truth": (Detection("a", True, BOX), "bad_detection"),
    "a truth of NumPy": ([{"label": "a", "confidence": np.True_, "box": BOX}], "bad_detection"),
    "an id that is a truth": (Detection("a", 0.5, BOX, True), "bad_detection"),
    "a number no float holds": (Detection("a", 10**400, BOX), "bad_detection"),
    "an id of text": (Detection("a", 0.5, BOX, "cat"), "bad_detection"),  # type: ignore[arg-type]
    "an id beyond 64 bits": (Detection("a", 0.5, BOX, 2**70), "unsupported"),
    "columns of unlike length": (supervision(confidence=np.ones(1)), "bad_detection"),
    "boxes of three": (supervision(xyxy=np.ones((2, 3))), "bad_detection"),
    "a track of NaN": (supervision(tracker_id=np.array([1, math.nan])), "bad_detection"),
    "seven columns that fit both ways": (np.array([[*BOX, 1, 1, 1]]), "bad_detection"),
    "results of two pictures": ([ultralytics(), ultralytics()], "wrong_count"),
    "a lone surrogate": (Detection("\ud800", 0.5, BOX), "unsupported"),
    "50 MB of rows": (np.zeros((50_000_000 // 48, 6)), "too_large"),
}


@pytest.mark.parametrize(("returned", "kind"), BAD_DETECTIONS.values(), ids=BAD_DETECTIONS)
def test_bad_detections_are_refused(returned: Any, kind: str) -> None:
    assert refused(returned) == kind


NO_DETECTIONS: dict[str, tuple[Any, str]] = {
    "per cent": (Detection("a", 87.0, BOX), "from 0 to 1; this one is 87; a share of 1 is meant"),
    "a bit more than 1": (Detection("a", 1.001, BOX), "this one is 1.001"),
    "a logit": (np.array([[*BOX, 314.5, 0]]), "this one is 314.5"),
    "below 0": (np.array([[*BOX, -0.3, 0]]), "this one is -0.3"),
    "right of its right": (Detection("a", 0.5, (50, 1, 10, 2)), "this one is 50, 1, 10, 2"),
    "below its bottom": (Detection("a", 0.5, (1, 50, 2, 10)), "this one is 1, 50, 2, 10"),
    "of supervision": (supervision(xyxy=ROWS[:, 3::-1]), "this one is 4, 3, 2, 1"),
    "of Ultralytics": (ultralytics(ROWS * 100), "this one is 50; a share"),
    "beyond any picture": (np.array([[0, 0, 1e30, 1e300, 0.5, 1]]), "0, 0, 1e+30, 1e+300"),
    "far left of it": (Detection("a", 0.5, (-1e6, 0, 5, 5)), "outside it: -1000000, 0, 5, 5"),
    "NaN": (Detection("a", math.nan, BOX), "confidence nan, box 1, 2, 3, 4"),
}


@pytest.mark.parametrize(("returned", "says"), NO_DETECTIONS.values(), ids=NO_DETECTIONS)
def test_what_is_no_detection_is_an_error_that_names_the_value(returned: Any, says: str) -> None:
    with pytest.raises(results.ResultError) as caught:
        results.convert(returned, LABELS, 1 << 18, (640, 480))
    assert caught.value.kind == ("not_finite" if "nan" in says else "bad_detection")
    assert says in caught.value.message


@given(
    corners=st.tuples(*[st.floats(-1e5, 1e5, width=32)] * 4),
    confidence=st.floats(-0.5, 1.5, width=32),
    longest=st.sampled_from([0, 64, 1920, 7680]),
)
def test_a_client_gets_only_boxes_and_confidences_that_can_be(
    corners: tuple[float, ...], confidence: float, longest: int
) -> None:
    row = np.array([[*corners, confidence, 0]])
    try:
        _, payload = results.convert(row, LABELS, 1 << 18, (longest, longest // 2))
    except results.ResultError:
        x1, y1, x2, y2 = corners
        near = max(map(abs, corners)) <= 16_000
        assert not (near and 0 <= confidence <= 1 and x1 <= x2 and y1 <= y2)
        return
    ((box, sure),) = [(each["box"], each["confidence"]) for each in msgspec.msgpack.decode(payload)]
    assert 0 <= sure <= 1
    assert box[0] <= box[2]
    assert box[1] <= box[3]
    assert box == pytest.approx(corners, abs=0.01), "what may lie outside is sent as it is"


@pytest.mark.parametrize("labels", [("person", "", "car"), {0: "person", 1: "", 2: "car"}])
def test_a_class_without_a_name_has_its_number(labels: Any) -> None:
    rows = np.array([[*BOX, 0.5, number] for number in (0, 1, 2, 3, math.nan)])
    assert [each["label"] for each in sent(rows, labels)[1]] == ["person", "1", "car", "3", "-1"]


def test_an_error_is_short_whatever_its_text() -> None:
    payload = msgspec.msgpack.decode(results.error("ValueError", "x" * 1_000_000))
    assert payload == {"kind": "ValueError", "message": "x" * 1000}


def test_an_error_whose_text_no_client_could_read_is_mended() -> None:
    payload = msgspec.msgpack.decode(results.error("ValueError", "bad \ud800 name"))
    assert payload == {"kind": "ValueError", "message": "bad ? name"}
