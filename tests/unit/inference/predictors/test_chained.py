"""A chain of a detector and `on_crops`: what is cropped, what is merged, what is whose error."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from framefan.errors import StartError
from framefan.predictors import DROP, _Drop, chain
from framefan.records import Detection
from framefan_inference.predictors import results
from framefan_inference.predictors.frame import Frame
from framefan_inference.predictors.result_error import ResultError

if TYPE_CHECKING:
    from pathlib import Path

FRAME = Frame("front", 12, 1.5, 3)
WIDTH, HEIGHT = 64, 48
IMAGE = np.arange(WIDTH * HEIGHT * 3, dtype=np.uint32).astype(np.uint8).reshape(HEIGHT, WIDTH, 3)
IMAGE.flags.writeable = False
CAR, PLATE = Detection("car", 0.9, (10, 8, 30, 28), 2), Detection("plate", 0.6, (40, 20, 60, 30), 7)


def both(image: Any) -> list[Detection]:
    return [msgspec.structs.replace(each) for each in (CAR, PLATE)]


def told(predictor: Any, image: Any = IMAGE) -> list[tuple[Any, ...]]:
    """What a client gets: label, confidence, box, class."""
    returned = predictor.predict(image, FRAME)
    kind, payload = results.convert(returned, predictor.labels, 1 << 18, image.shape[1::-1])
    assert kind == "detections"
    rows = msgspec.msgpack.decode(payload, type=list[Detection])
    return [(each.label, each.confidence, each.box, each.class_id) for each in rows]


def error(predictor: Any, image: Any = IMAGE) -> ResultError:
    with pytest.raises(ResultError) as caught:
        told(predictor, image)
    return caught.value


# ---- crops ---------------------------------------------------------------------------------------


def crops_of(made: Any, boxes: list[Any], **options: Any) -> list[tuple[Any, Any]]:
    seen: list[tuple[Any, Any]] = []

    def on_crops(crops: list[Any], detections: list[Detection]) -> list[None]:
        seen.extend(zip(crops, detections, strict=True))
        return [None] * len(crops)

    def detect(image: Any) -> list[Detection]:
        return [Detection(*each) for each in boxes]

    assert len(told(made(detect, on_crops, **options))) == len(boxes)
    return seen


@pytest.mark.parametrize(
    ("box", "margin", "place"),
    [
        ((10, 8, 30, 28), 0.0, (10, 8, 30, 28)),
        ((10.2, 8.9, 29.1, 27.5), 0.0, (10, 8, 30, 28)),
        ((10, 8, 30, 28), 0.1, (8, 6, 32, 30)),
        ((-5, -5, 10, 10), 0.0, (0, 0, 10, 10)),
        ((60, 40, 90, 90), 0.0, (60, 40, 64, 48)),
        ((-100, -100, 200, 200), 0.5, (0, 0, 64, 48)),
        ((20.4, 20.4, 20.6, 20.6), 0.0, (20, 20, 21, 21)),
    ],
)
def test_a_crop_is_the_box_in_the_picture(
    made: Any, box: tuple[float, ...], margin: float, place: tuple[int, ...]
) -> None:
    ((crop, detection),) = crops_of(made, [("car", 0.9, box)], margin=margin)
    left, top, right, bottom = place
    assert np.array_equal(crop, IMAGE[top:bottom, left:right])
    assert detection.label == "car"
    crop[:] = 0  # a copy of its own
    assert crop.flags.c_contiguous
    assert IMAGE[top:bottom, left:right].any()


BOXES = [(label, n / 10, (n, n, n + 10 + n, n + 5)) for n, label in enumerate("abcabc", 1)]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [0, 1, 2, 3, 4, 5]),
        ({"labels": ["a", "c"]}, [0, 2, 3, 5]),
        ({"labels": ["z"]}, []),
        ({"max_crops": 2}, [4, 5]),
        ({"max_crops": 1, "labels": {"a"}}, [3]),
        ({"min_size": 5}, [0, 1, 2, 3, 4, 5]),
        ({"min_size": 6}, []),
    ],
)
def test_which_boxes_are_cropped(made: Any, options: Any, expected: list[int]) -> None:
    seen = crops_of(made, BOXES, **options)
    assert [each.confidence for _, each in seen] == [round((n + 1) / 10, 1) for n in expected]


OUTSIDE = [(70, 10, 80, 20), (10, -20, 20, 0), (10, 10, 10, 20), (-3, 5, 0, 9)]


@pytest.mark.parametrize("box", OUTSIDE)
def test_a_box_without_a_pixel_is_an_error_that_says_what_to_do(made: Any, box: Any) -> None:
    predictor = made(lambda image: [Detection("car", 0.9, box)], lambda crops, _: [None])
    why = error(predictor)
    assert why.kind == "bad_detection"
    assert 'the box of the detection "car" has no pixel inside the picture of 64x48' in why.message
    assert "min_size=1" in why.message
    assert "test_chained.py" in why.message
    assert crops_of(made, [("car", 0.9, box)], min_size=1) == []


def test_on_crops_is_not_called_without_crops(made: Any) -> None:
    def never(crops: Any, detections: Any) -> Any:
        raise AssertionError

    assert told(made(lambda image: [], never)) == []
    assert len(told(made(both, never, labels=["bus"]))) == 2


# ---- answers -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (None, ("plate", 0.6, (40, 20, 60, 30), 7)),
        ("HH AB 123", ("HH AB 123", 0.6, (40, 20, 60, 30), 7)),
        (np.str_("HH"), ("HH", 0.6, (40, 20, 60, 30), 7)),
        (("HH", np.float32(0.5)), ("HH", 0.5, (40, 20, 60, 30), 7)),
        ({"label": "HH", "confidence": 0.25}, ("HH", 0.25, (40, 20, 60, 30), 7)),
        ({"class_id": np.int64(3)}, ("plate", 0.6, (40, 20, 60, 30), 3)),
        ({"box": [1, 2, 5, 6]}, ("plate", 0.6, (40, 21, 44, 25), 7)),
        (DROP, None),
    ],
)
def test_an_answer_becomes_part_of_its_detection(made: Any, answer: Any, expected: Any) -> None:
    """The crop begins at 39, 19: the margin is a pixel at each side, and half of one above."""
    predictor = made(both, lambda crops, _: [answer], labels=["plate"], margin=0.05)
    found = told(predictor)
    assert found[0] == ("car", 0.9, (10, 8, 30, 28), 2)
    assert found[1:] == ([expected] if expected else [])


def test_points_of_a_crop_are_told_in_the_picture(made: Any) -> None:
    answer = {"keypoints": [[1, 2], [3, 4]], "mask": np.array([[0, 0], [4, 0], [4, 3]])}
    predictor = made(both, lambda crops, _: [answer], labels=["plate"])
    found = predictor.predict(IMAGE, FRAME)
    _, payload = results.convert(found, (), 1 << 18, (WIDTH, HEIGHT))
    plate = msgspec.msgpack.decode(payload)[1]
    assert [each[:2] for each in plate["keypoints"]] == [[41, 22], [43, 24]]
    assert sorted(map(tuple, plate["mask"])) == [(40, 20), (44, 20), (44, 23)]


@pytest.mark.parametrize(
    ("answers", "kind", "words"),
    [
        ([None], "wrong_count", "on_crops returned 1 result for 2 crops"),
        ([None] * 3, "wrong_count", "on_crops returned 3 results for 2 crops"),
        (None, "wrong_count", "on_crops returned None for 2 crops"),
        ("ab", "wrong_count", "on_crops returned a text for 2 crops"),
        (b"ab", "wrong_count", "on_crops returned bytes for 2 crops"),
        (np.zeros((2, 9)), "wrong_count", "on_crops returned an array of 2 x 9 for 2 crops"),
        (np.float32(1), "wrong_count", "on_crops returned a number for 2 crops"),
        ({"label": "x"}, "wrong_count", "on_crops returned a dict for 2 crops"),
        (iter([None, None]), "wrong_count", "on_crops returned a list_iterator for 2 crops"),
        ([None, np.zeros(512)], "bad_detection", "returned an array of 512 for a crop; it may"),
        ([None, [0.1] * 512], "bad_detection", "returned a list of 512 for a crop; it may"),
        ([None, ("x", 1, 2)], "bad_detection", "returned a tuple of 3 for a crop; it may"),
        ([None, (0.3, "x")], "bad_detection", "returned a tuple of 2 for a crop; it may"),
        ([None, b"x"], "bad_detection", "on_crops returned bytes for a crop; it may"),
        ([None, True], "bad_detection", "on_crops returned True for a crop; it may"),
        ([None, _Drop], "bad_detection", "on_crops returned a class for a crop; it may"),
        ([None, OSError()], "bad_detection", "on_crops returned an OSError for a crop; it may"),
        ([None, ""], "bad_detection", "a label that is an empty text; None leaves"),
        ([None, ("", 0.5)], "bad_detection", "a label that is an empty text; None leaves"),
        ([None, {"label": ""}], "bad_detection", "a label that is an empty text; leave out"),
        ([None, {"label": None}], "bad_detection", "a label that is None; leave out"),
        ([None, {"label": 5}], "bad_detection", "a label that is a number; leave out"),
        ([None, ("x", True)], "bad_detection", "a confidence that is True; a confidence is"),
        ([None, ("x", np.True_)], "bad_detection", "a confidence that is True; a confidence is"),
        ([None, ("x", None)], "bad_detection", "a confidence that is None; a confidence is"),
        ([None, {"confidence": "1"}], "bad_detection", "a confidence that is a text; a conf"),
        ([None, {"confidence": None}], "bad_detection", "a confidence that is None; a conf"),
        ([{"text": "HH"}, None], "bad_detection", 'a dict with "text"; a detection has label'),
        ([None, 5], "bad_detection", "on_crops returned a number for a crop; it may return None"),
        ([None, ("HH", 45)], "bad_detection", "a confidence lies from 0 to 1; this one is 45"),
        ([{"box": [1, 2]}, None], "bad_detection", "a box that is not x1, y1, x2, y2"),
        ([{"mask": "x"}, None], "bad_detection", "a mask that is not a list of x, y"),
        ([{"keypoints": [1]}, None], "bad_detection", "not a list of x, y, share"),
    ],
)
def test_what_cannot_be_merged_is_an_error_that_says_why(
    made: Any, answers: Any, kind: str, words: str
) -> None:
    def on_crops(crops: Any, detections: Any) -> Any:
        return answers

    why = error(made(both, on_crops))
    assert (why.kind, words in why.message) == (kind, True), why.message
    if "a confidence lies" not in words:
        assert "(test_chained.py, line" in why.message
        assert "in on_crops)" in why.message


@pytest.mark.parametrize(
    ("returned", "kind"),
    [
        (None, "returned_none"),
        ({"a": 1}, "unsupported"),
        ("x", "unsupported"),
        ([Detection("x", 7, (1, 2, 3, 4))], "bad_detection"),
    ],
)
def test_a_detector_without_valid_detections_is_an_error(
    made: Any, returned: Any, kind: str
) -> None:
    def detect(image: Any) -> Any:
        return returned

    why = error(made(detect, lambda crops, _: [None] * len(crops)))
    assert why.kind == kind
    assert "in detect)" in why.message


def test_what_on_crops_raises_is_raised(made: Any) -> None:
    def on_crops(crops: Any, detections: Any) -> Any:
        raise KeyError("no such plate")

    with pytest.raises(KeyError, match="no such plate"):
        made(both, on_crops).predict(IMAGE, FRAME)


# ---- the two stages ------------------------------------------------------------------------------


class Several:
    max_batch = 4
    stateful = True

    def predict_batch(self, images: list[Any]) -> list[Any]:
        return [
            [] if image.max() == 0 else {"no": "detections"} if image.max() == 1 else both(image)
            for image in images
        ]


def test_a_batch_is_one_call_and_each_picture_has_its_own_error(made: Any) -> None:
    calls: list[int] = []

    def on_crops(crops: list[Any], detections: list[Detection]) -> list[Any]:
        calls.append(len(crops))
        return [5 if crop.max() == 9 else f"{each.label}!" for crop, each in zip(crops, detections)]  # noqa: B905

    predictor = made(Several, on_crops)
    assert (predictor.max_batch, predictor.stateful) == (4, True)
    images = [np.full((HEIGHT, WIDTH, 3), value, np.uint8) for value in (7, 0, 1, 9, 8)]
    found = predictor.predict_batch(images, [FRAME] * 5)
    assert calls == [6]
    seen = [
        each.kind if isinstance(each, ResultError) else [one.label for one in each]
        for each in found
    ]
    assert seen == [["car!", "plate!"], [], "unsupported", "bad_detection", ["car!", "plate!"]]
    with pytest.raises(ResultError, match="on_crops returned a number"):
        results.convert(found[3], (), 1 << 18)


def test_a_wrong_count_in_a_batch_is_the_error_of_the_pictures_with_crops(made: Any) -> None:
    images = [np.full((HEIGHT, WIDTH, 3), value, np.uint8) for value in (7, 0, 8)]
    found = made(Several, lambda crops, _: []).predict_batch(images, [FRAME] * 3)
    assert [getattr(each, "kind", each) for each in found] == ["wrong_count", [], "wrong_count"]
    assert "0 results for 4 crops" in found[0].message


class Reads:
    made = 0

    def __init__(self) -> None:
        self.life: list[str] = []

    def setup(self, device: str) -> None:
        self.life.append(f"setup {device}")

    def __call__(self, crops: list[Any], detections: list[Detection]) -> list[str]:
        return [" ".join(self.life)] * len(crops)

    def close(self) -> None:
        self.life.append("closed")


def test_a_class_is_set_up_and_closed_with_the_worker(made: Any) -> None:
    predictor = made(both, Reads, "cuda")
    assert predictor.uses_device
    assert told(predictor)[0][0] == "setup cuda"
    predictor.close()
    assert told(predictor)[0][0] == "setup cuda closed"
    assert not made(both, lambda crops, _: [None, None], "cuda").uses_device


def test_a_detector_may_be_a_reference_a_class_or_a_chain(made: Any, tmp_path: Path) -> None:
    (tmp_path / "finds.py").write_text(
        textwrap.dedent("""
        class Finds:
            labels = ["car"]
            def predict(self, image, frame):
                assert frame.camera == "front"
                import numpy as np
                return np.array([[10, 8, 30, 28, 0.5, 0]])
        """)
    )
    reference = f"{tmp_path}/finds.py:Finds"

    def longer(crops: Any, detections: list[Detection]) -> list[str]:
        return [f"{each.label}+" for each in detections]

    for detector in (reference, chain(reference, longer)):
        (found,) = told(made(detector, longer))
        assert found[0].rstrip("+") == "car"
        assert found[0].count("+") == (1 if detector == reference else 2)
    with pytest.raises(StartError, match=r"no_such\.py does not exist"):
        made(f"{tmp_path}/no_such.py:predict", longer)


# ---- for doctor ----------------------------------------------------------------------------------


def test_it_tells_what_on_crops_makes_of_a_picture(made: Any) -> None:
    import cv2

    jpeg = cv2.imencode(".jpg", IMAGE)[1].tobytes()
    predictor = made(both, lambda crops, _: ["HH", None])
    assert predictor.about(jpeg)["on_crops"].startswith("2 crops of a picture of the first camera")
    assert predictor.about(jpeg)["on_crops"].endswith("'HH', None")
    alone = made(lambda image: [], lambda crops, _: [crops[0].shape[0] and None])
    for given in (jpeg, b""):
        assert "1 crop of a grey picture of 64x64" in alone.about(given)["on_crops"]

    def fails(crops: Any, detections: Any) -> Any:
        raise KeyError("no such plate")

    for on_crops, words in ((fails, "KeyError"), (lambda crops, _: [], "0 results for 1 crop:")):
        with pytest.raises(StartError, match="on_crops of the chain fails") as caught:
            made(lambda image: [], on_crops).about(jpeg)
        assert words in caught.value.why
