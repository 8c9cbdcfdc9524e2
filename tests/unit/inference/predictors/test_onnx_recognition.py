"""What an output means is told by the file, then by shapes and numbers; what may be two things is
refused. The models answer the same to every picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_bytes
import pytest

from framefan.errors import StartError
from framefan_inference.predictors.onnx_models import detector as detectors
from framefan_inference.predictors.predictor import Frame, Predictor, load

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FRAME = Frame("cam", 0, 0.0, 0)
IMAGE = np.zeros((240, 320, 3), np.uint8)
"""In a canvas of 320x320, it lies 40 below the upper edge."""
CANVAS = (1, 3, 320, 320)
CELLS, GRID = 2100, 3 * 2100
PERSON = "{0: 'person'}"
TWO, EIGHTY = "{0: 'a', 1: 'b'}", str({number: f"n{number}" for number in range(80)})


def dense(channels: int, **columns: float) -> NDArray[np.float32]:
    """`[1, channels, CELLS]`: one sure box, and columns that are the same everywhere."""
    out = np.zeros((1, channels, CELLS), np.float32)
    out[0, :4, 7] = 160, 160, 80, 40
    for name, value in columns.items():
        out[0, int(name[1:]), :] = value
    out[0, 4, 7] = 0.9
    return out


def rows(columns: int, *numbers: float, count: int = 300) -> NDArray[np.float32]:
    out = np.zeros((1, count, columns), np.float32)
    out[0, 0, : len(numbers)] = numbers
    return out


def objectness(channels: int, count: int, decoded: bool = True) -> NDArray[np.float32]:
    out = np.zeros((1, count, channels), np.float32)
    if decoded and count == CELLS:
        out[0, :, :2] = np.concatenate(
            [
                (np.stack(np.mgrid[:n, :n][::-1], -1).reshape(-1, 2) + 0.5) * 320 / n
                for n in (40, 20, 10)
            ]
        )
    out[0, 7, :4] = (160, 160, 80, 40) if decoded else (0.5, 0.25, 2, 1)
    out[0, 7, 4:6] = 0.9, 1
    return out


LONE = {"out": dense(6)}
PROTOTYPES = np.zeros((1, 32, 80, 80), np.float32)
MASKS = {"out": dense(38), "p": PROTOTYPES}
LOGITS = np.full((1, 300, 91), -6, np.float32)
LOGITS[0, 0, 3] = np.log(9)  # 0.9 after the sigmoid
SHARES = rows(4, 0.5, 0.5, 0.25, 0.125)
RFDETR = {"dets": SHARES, "labels": LOGITS}
SIZED = {
    "labels": np.full((1, 300), 3, np.int64),
    "boxes": rows(4, 120, 140, 200, 180),
    "scores": np.concatenate([np.full((1, 1), 0.9), np.zeros((1, 299))], 1).astype(np.float32),
}
YOLO = [120, 100, 200, 140]
"""Where the box lies in the frame: the canvas has 40 lines above it."""
STRETCHED = [120, 105, 200, 135]

KNOWN: dict[str, tuple[dict[str, Any], dict[str, str], str, list[float], int]] = {
    "v8": ({"out": dense(6)}, {"names": TWO}, "", YOLO, 0),
    "v8 without names": ({"out": dense(84)}, {}, "", YOLO, 0),
    "v8 of half precision": ({"out": dense(6).astype(np.float16)}, {"names": TWO}, "", YOLO, 0),
    "one class": ({"out": dense(5)}, {"names": PERSON}, "", YOLO, 0),
    "segment": (
        {"out": dense(38), "p": PROTOTYPES},
        {"names": TWO, "task": "segment"},
        "",
        YOLO,
        0,
    ),
    "masks by their prototypes": ({"out": dense(38), "p": PROTOTYPES}, {}, "", YOLO, 0),
    "pose": ({"out": dense(56, c5=300)}, {"names": PERSON, "task": "pose"}, "", YOLO, 0),
    "pose, said by the user": ({"out": dense(56, c5=300)}, {}, "task=pose", YOLO, 0),
    "obb": ({"out": dense(7)}, {"names": TWO, "task": "obb"}, "", YOLO, 0),
    "v5": ({"out": objectness(7, GRID)}, {"names": TWO, "stride": "32"}, "", YOLO, 0),
    "v5 without names": ({"out": objectness(85, GRID)}, {}, "", YOLO, 0),
    "yolox": ({"out": objectness(85, CELLS, False)}, {}, "", [30.4, 0, 89.6, 12.9], 0),
    "yolox decoded": ({"out": objectness(85, CELLS)}, {}, "task=yolox", [120, 140, 200, 180], 0),
    "v6": ({"out": objectness(85, CELLS)}, {}, "task=yolov5", YOLO, 0),
    "v6 by its input": ({"out": objectness(85, CELLS)}, {}, "input=1", YOLO, 0),
    "v10": ({"out": rows(6, 120, 140, 200, 180, 0.9, 1)}, {"names": TWO}, "", YOLO, 1),
    "v10 that sees nothing": ({"out": rows(6)}, {"names": TWO}, "", [], 0),
    "v26 segment": (
        {"out": rows(38, 120, 140, 200, 180, 0.9, 1, -1.5), "p": PROTOTYPES},
        {"names": TWO, "task": "segment", "end2end": "True"},
        *("", YOLO, 1),
    ),
    "nms in the graph": (
        {"out": rows(57, 120, 140, 200, 180, 0.9, 0, 30)},
        {"names": PERSON, "task": "pose", "args": "{'nms': True}"},
        *("", YOLO, 0),
    ),
    "obb with nms": (
        {"out": rows(7, 160, 160, 80, 40, 0.9, 1, 0.0)},
        {"names": TWO, "task": "obb", "args": "{'nms': True}"},
        *("", YOLO, 1),
    ),
    "rtdetr, 84 columns": (
        {"out": rows(84, 0.5, 0.5, 0.25, 0.125, 0, 0, 0.9)},
        {"names": EIGHTY},
        *("", STRETCHED, 2),
    ),
    "rtdetr, 6 columns": (
        {"out": rows(6, 0.5, 0.5, 0.25, 0.125, 0.9, 3)},
        {"names": EIGHTY},
        *("", STRETCHED, 3),
    ),
    "rtdetr of two classes": (
        {"out": rows(6, 0.5, 0.5, 0.25, 0.125, 0.05, 0.9)},
        {"names": TWO, "head": "RTDETRDecoder"},
        *("", STRETCHED, 1),
    ),
    "rtdetr of two classes, no words": (
        {"out": rows(6, 0.5, 0.5, 0.25, 0.125, 0.05, 0.9)},
        {},
        *("", STRETCHED, 1),
    ),
    "rfdetr": (RFDETR, {}, "", STRETCHED, 3),
    "rtdetr as logits": (
        {"pred_logits": LOGITS, "pred_boxes": SHARES},
        {},
        *("", STRETCHED, 3),
    ),
    "logits, said by the user": ({"a": LOGITS, "b": SHARES}, {}, "task=rtdetr", STRETCHED, 3),
}
"""Outputs, metadata and options; the box in the frame and its class."""


def predictor(
    tmp_path: Path, outputs: Any, said: dict[str, str], options: str = "", **more: Any
) -> Predictor:
    path = tmp_path / "model.onnx"
    path.write_bytes(onnx_bytes.answering(outputs, said, **({"shape": CANVAS} | more)))
    made = load(f"onnx:{path}" + (f"?{options}" if options else ""))
    made.setup("")
    return made


def rows_of(found: Any) -> NDArray[Any]:
    """Box, confidence and class of each, whether it has more fields or not."""
    if isinstance(found, list):
        found = [[*each.box, each.confidence, each.class_id] for each in found]
    return np.asarray(found, np.float32).reshape(-1, 6)


@pytest.mark.parametrize("name", KNOWN)
def test_boxes_lie_where_the_model_saw_them(name: str, tmp_path: Path) -> None:
    outputs, said, options, box, number = KNOWN[name]
    found = rows_of(predictor(tmp_path, outputs, said, options).predict(IMAGE, FRAME))
    if not box:
        assert len(found) == 0
        return
    assert found[:, :4].tolist() == [pytest.approx(box, abs=1.0)]
    assert found[0, 4] == pytest.approx(0.9, abs=0.001)
    assert int(found[0, 5]) == number


SECOND = {"orig_target_sizes": onnx_bytes.INT64}


def test_the_original_rtdetr_is_told_the_size(tmp_path: Path) -> None:
    found = predictor(tmp_path, SIZED, {}, more_inputs=SECOND).predict(IMAGE, FRAME)
    assert found[:, :4].tolist() == [pytest.approx([120, 105, 200, 135], abs=1)]
    assert found[0, 5] == 3


REFUSED: dict[str, tuple[dict[str, Any], dict[str, str], str, str]] = {
    "pose": ({"out": dense(56, c5=300)}, {"names": PERSON}, "", "key points or masks"),
    "pose without names": ({"out": dense(56, c5=300)}, {}, "", "key points or masks"),
    "angles": ({"out": dense(20, c19=1.2)}, {}, "", "key points or masks"),
    "low angles": ({"out": dense(20, c19=0.6)}, {}, "", "fits no layout"),
    "coefficients": ({"out": dense(116, c100=0.8)}, {}, "", "fits no layout"),
    "a task that is not its own": (
        LONE,
        {"names": TWO, "task": "detect"},
        "task=pose",
        "file says",
    ),
    "another task's shape": (LONE, {"names": TWO, "task": "segment"}, "", "task segment with 2"),
    "end to end with more": ({"out": rows(38, 1, 2, 3, 4, 0.9, 3)}, {}, "", "points or masks"),
    "end to end with an angle": (
        {"out": rows(7, 1, 2, 3, 4, 0.9, 3)},
        {"names": EIGHTY},
        *("", "output of shape 1x300x7"),
    ),
    "percent": ({"out": 90 * dense(6)}, {"names": TWO}, "", "are between 0 and 81"),
    "shares for pixels": (
        {"out": dense(6) / [[[400], [400], [400], [400], [1], [1]]]},
        {"names": TWO},
        *("", "fits no layout"),
    ),
    "yolox or v6": ({"out": objectness(85, CELLS)}, {}, "", "fits YOLOX and YOLOv6"),
    "logits of unknown models": (
        {"logits": LOGITS, "pred_boxes": SHARES},
        {},
        "",
        "more than one kind of model",
    ),
    "logits that are scores": (
        {"dets": SHARES, "labels": np.clip(LOGITS, 0, 1)},
        {},
        *("", "scores from 0 to 1"),
    ),
    "a classifier": ({"out": np.full((1, 1000), 1e-3)}, {}, "", "set task="),
    "five outputs": ({f"o{n}": np.zeros((1, 9, 9, 9)) for n in range(5)}, {}, "", "fits no layout"),
    "not the layout asked for": (LONE, {"names": TWO}, "task=rtdetr", "no layout of task=rtdetr"),
}
"""Outputs, metadata, options, and words of the error."""


@pytest.mark.parametrize("name", REFUSED)
def test_what_may_be_something_else_is_refused(name: str, tmp_path: Path) -> None:
    outputs, said, options, words = REFUSED[name]
    outputs = {key: np.asarray(each, np.float32) for key, each in outputs.items()}
    with pytest.raises(StartError) as raised:
        predictor(tmp_path, outputs, said, options)
    assert words in "\n".join(raised.value.lines())
    assert len(raised.value.lines()) == 3


def test_two_meanings_that_both_fit_are_named(tmp_path: Path) -> None:
    outputs = {"out": rows(6, 0.5, 0.5, 0.25, 0.125, 0.9, 1)}
    with pytest.raises(StartError) as raised:
        predictor(tmp_path, outputs, {"names": TWO})
    assert "layout rows in shares of 1" in raised.value.why
    assert "layout end_to_end in shares of 1" in raised.value.why
    found = predictor(tmp_path, outputs, {"names": TWO}, "task=end2end").predict(IMAGE, FRAME)
    assert found[:, :4].tolist() == [pytest.approx(STRETCHED, abs=1)]


# ---- while it runs -------------------------------------------------------------------------------

LATER: dict[str, tuple[NDArray[np.float32], dict[str, str], str]] = {
    "a score of 30": (dense(6, c5=30), {"names": TWO}, "scores are between 0 and 30"),
    "a score below 0": (dense(6, c5=-3), {"names": TWO}, "scores are between -3"),
    "NaN as a score": (dense(6, c5=np.nan), {"names": TWO}, "scores are between nan"),
    "NaN as a place": (dense(6, c0=np.nan), {"names": TWO}, "a box is NaN"),
    "a negative size": (dense(6, c2=-40), {"names": TWO}, "a box has a side of -40"),
    "far away": (dense(6, c0=1e6), {"names": TWO}, "far outside"),
    "shares of 1": (rows(6, 0.1, 0.1, 0.5, 0.6, 0.9, 1), {"names": TWO}, "between 0 and 1"),
    "half a class": (rows(6, 120, 140, 200, 180, 0.9, 0.5), {"names": TWO}, "class numbers"),
    "a class too many": (rows(6, 120, 140, 200, 180, 0.9, 2), {"names": TWO}, "class numbers"),
}
"""What a model answers once it runs, its metadata, and words of the error."""


@pytest.mark.parametrize("name", LATER)
def test_what_cannot_be_is_an_error_of_its_frame(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, said, words = LATER[name]
    usual = dense(6) if output.shape[1] == 6 else rows(6, 120, 140, 200, 180, 0.9, 1)
    made = predictor(tmp_path, {"out": usual}, said)
    assert len(made.predict(IMAGE, FRAME)) == 1
    monkeypatch.setattr(made.target._backend, "run", lambda _: [output])
    with pytest.raises(detectors.BadOutput) as raised:
        made.predict(IMAGE, FRAME)
    assert words in str(raised.value)
    monkeypatch.setattr(made.target._backend, "run", lambda _: [usual])
    assert len(made.predict(IMAGE, FRAME)) == 1


def test_boxes_that_cannot_be_and_that_nobody_is_sure_of_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = rows(6, 120, 140, 200, 180, 0.9, 1)
    made = predictor(tmp_path, {"out": usual}, {"names": TWO}, "conf=0.01")
    usual[0, 1] = 200, 140, 120, 180, 0.1, 1
    usual[0, 2] = 50, 140, 49.5, 180, 0.8, 1
    monkeypatch.setattr(made.target._backend, "run", lambda _: [usual])
    found = made.predict(IMAGE, FRAME)
    assert found[:, 4].tolist() == pytest.approx([0.9, 0.8])
    assert found[1, 0] == found[1, 2] == 50


def test_a_unit_that_the_first_picture_does_not_tell_is_told_by_a_later_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = predictor(tmp_path, {"out": rows(6)}, {"names": TWO})
    shares = rows(6, 0.1, 0.1, 0.5, 0.6, 0.9, 1)
    monkeypatch.setattr(made.target._backend, "run", lambda _: [shares])
    with pytest.raises(detectors.BadOutput, match="between 0 and 1"):
        made.predict(IMAGE, FRAME)
    pixels = rows(6, 120, 140, 200, 180, 0.9, 1)
    monkeypatch.setattr(made.target._backend, "run", lambda _: [pixels])
    assert made.predict(IMAGE, FRAME)[0, :4].tolist() == pytest.approx(YOLO)


# ---- classifiers ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scores", "options", "said"),
    [
        ([0.1, 0.7, 0.2], "", {"task": "classify"}),
        ([0.1, 0.7, 0.2], "task=classify", {}),
        (np.log([0.1, 0.7, 0.2]).tolist(), "task=classify", {}),
    ],
)
def test_a_classifier_tells_its_best_classes(
    scores: list[float], options: str, said: dict[str, str], tmp_path: Path
) -> None:
    outputs = {"out": np.array([scores], np.float32)}
    names = {} if options else {"names": "{0: 'cat', 1: 'dog', 2: 'owl'}"}
    found = predictor(tmp_path, outputs, said | names, options).predict(IMAGE, FRAME)
    assert [each["class_id"] for each in found["classes"]] == [1, 2, 0]
    assert [each["confidence"] for each in found["classes"]] == pytest.approx([0.7, 0.2, 0.1])
    assert found["classes"][0]["label"] == ("1" if options else "dog")


@pytest.mark.parametrize(
    ("task", "outputs", "dropped"),
    [
        ("segment", {"out": dense(37)}, 1),
        ("segment", {"out": dense(37), "p": PROTOTYPES}, 0),
        ("pose", {"out": dense(56)}, 0),
        ("obb", {"out": dense(6)}, 0),
    ],
)
def test_masks_that_cannot_be_made_are_told_once(
    task: str, outputs: Any, dropped: int, tmp_path: Path
) -> None:
    made = predictor(tmp_path, outputs, {"names": PERSON, "task": task})
    assert [kind for kind, _ in made.notices] == ["dropped_output"] * dropped
    assert all("prototypes" in text for _, text in made.notices)
    assert rows_of(made.predict(IMAGE, FRAME))[:, :4].tolist() == [pytest.approx(YOLO, abs=1)]
