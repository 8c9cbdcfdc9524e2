"""Detections of every kind that predictors return, and what is refused."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from strict_json import BOX, LABELS, refused, seen, sent

from framefan.records import Detection
from framefan_inference import results

ROWS = np.array([[*BOX, 0.5, 1], [*BOX, 0.25, 0]])


class FakeTensor:
    """What torch returns: on a device, with a gradient, and no array until asked three times."""

    def __init__(self, values: Any) -> None:
        self._values = values
        self.steps: list[str] = []

    def detach(self) -> FakeTensor:
        self.steps.append("detach")
        return self

    def cpu(self) -> FakeTensor:
        self.steps.append("cpu")
        return self

    def numpy(self) -> Any:
        assert self.steps == ["detach", "cpu"], "torch raises here"
        return np.asarray(self._values, np.float32)


class FakeBoxes:
    def __init__(self, rows: Any, tracks: Any = None) -> None:
        self.xyxy = FakeTensor([row[:4] for row in rows])
        self.conf = FakeTensor([row[4] for row in rows])
        self.cls = FakeTensor([row[5] for row in rows])
        self.id = tracks


def ultralytics(rows: Any = ROWS, names: Any = None, tracks: Any = None) -> Any:
    return SimpleNamespace(boxes=FakeBoxes(rows, tracks), names=names)


def supervision(**fields: Any) -> Any:
    plain = {
        "xyxy": ROWS[:, :4],
        "confidence": ROWS[:, 4],
        "class_id": ROWS[:, 5].astype(int),
        "tracker_id": None,
        "data": {},
    }
    return SimpleNamespace(**(plain | fields))


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
        [seen("person", 1.0, class_id=0)] * 2,
    ),
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
    "a number no float holds": (Detection("a", 10**400, BOX), "bad_detection"),
    "an id of text": (Detection("a", 0.5, BOX, "cat"), "bad_detection"),  # type: ignore[arg-type]
    "an id beyond 64 bits": (Detection("a", 0.5, BOX, 2**70), "unsupported"),
    "columns of unlike length": (supervision(confidence=np.ones(1)), "bad_detection"),
    "boxes of three": (supervision(xyxy=np.ones((2, 3))), "bad_detection"),
    "a track of NaN": (supervision(tracker_id=np.array([1, math.nan])), "bad_detection"),
    "a lone surrogate": (Detection("\ud800", 0.5, BOX), "unsupported"),
    "50 MB of rows": (np.zeros((50_000_000 // 48, 6)), "too_large"),
}


@pytest.mark.parametrize(("returned", "kind"), BAD_DETECTIONS.values(), ids=BAD_DETECTIONS)
def test_bad_detections_are_refused(returned: Any, kind: str) -> None:
    assert refused(returned) == kind


def test_an_error_is_short_whatever_its_text() -> None:
    payload = msgspec.msgpack.decode(results.error("ValueError", "x" * 1_000_000))
    assert payload == {"kind": "ValueError", "message": "x" * 1000}


def test_an_error_whose_text_no_client_could_read_is_mended() -> None:
    payload = msgspec.msgpack.decode(results.error("ValueError", "bad \ud800 name"))
    assert payload == {"kind": "ValueError", "message": "bad ? name"}
