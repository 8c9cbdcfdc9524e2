"""Masks, key points and angles of models, compared with loops that do as their authors do."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import onnx_bytes
import onnx_reference as reference
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from strict_json import sent

from framefan_inference.predictors.onnx_models import instances, metadata
from framefan_inference.predictors.onnx_models.decode import Found
from framefan_inference.predictors.onnx_models.detector import BadOutput
from framefan_inference.predictors.onnx_models.layouts import Head
from framefan_inference.predictors.onnx_models.letterbox import Fit, fit
from framefan_inference.predictors.predictor import Frame, load

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

FRAME = Frame("cam", 0, 0.0, 0)
WIDTH, HEIGHT = 64, 48
SAME = Fit(1, 1, 0, 0)
PERSON = "{0: 'person'}"
CELLS = 2100
"""Of an input of 320x320."""
IMAGE = np.zeros((240, 320, 3), np.uint8)
"""It lies 40 below the upper edge of the input."""


def smooth(rng: np.random.Generator, count: int, rows: int, columns: int) -> NDArray[np.float32]:
    noise = rng.normal(0, 1, (count, 4, 4))
    large = [cv2.resize(each, (columns, rows), interpolation=cv2.INTER_CUBIC) for each in noise]
    return np.asarray(large, np.float32)


def filled(points: NDArray[Any], parts: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """What the outline covers, and the largest part of what it should."""
    drawn = np.zeros(parts.shape, np.uint8)
    if len(points):
        cv2.fillPoly(drawn, [np.round(points).astype(np.int32)], 1)
    _, numbers, stats, _ = cv2.connectedComponentsWithStats(parts.astype(np.uint8))
    if len(stats) < 2:
        return drawn, parts * 0
    largest = (numbers == 1 + stats[1:, cv2.CC_STAT_AREA].argmax()).astype(np.uint8)
    holes = np.zeros_like(largest)
    outer, _ = cv2.findContours(largest, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.fillPoly(holes, outer, 1)
    return drawn, holes


def found_at(box: Any, more: Any) -> Found:
    boxes, ones = np.array([box], np.float32), np.ones(1, np.float32)
    places = np.zeros(1, np.int64)
    return Found(boxes, ones, ones * 0, more=np.array([more], np.float32), places=places)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1 << 32))
def test_a_mask_covers_what_its_authors_decode(seed: int) -> None:
    """Boxes reach over the edge of the input, too."""
    rng = np.random.default_rng(seed)
    x, y = np.sort(rng.uniform(-8, WIDTH + 8, 2)), np.sort(rng.uniform(-8, HEIGHT + 8, 2))
    box = (x[0], y[0], x[1], y[1], 0.9, 0)
    prototypes = smooth(rng, 3, HEIGHT // 4, WIDTH // 4)
    numbers = rng.normal(0, 1, 3).astype(np.float32)
    bitmap = reference.mask(box, numbers.tolist(), prototypes, WIDTH, HEIGHT)
    head = Head("scores", "segment", 1, masks=1)
    (points,) = instances.outlines(found_at(box[:4], numbers), prototypes, head, (WIDTH, HEIGHT))
    drawn, expected = filled(points, bitmap)
    sizes = sorted(cv2.connectedComponentsWithStats(bitmap.astype(np.uint8))[2][1:, 4])
    assume(not sizes or sizes[-1] > 60)
    assume(len(sizes) < 2 or sizes[-2] < 0.8 * sizes[-1])
    assert (drawn & expected).sum() >= 0.99 * (drawn | expected).sum()


def test_a_mask_of_a_query_is_a_map_of_the_whole_input() -> None:
    maps = smooth(np.random.default_rng(3), 5, 12, 16)
    head = Head("logits", "segment", 1, order=(0, 1), masks=2)
    found = found_at((0, 0, 1, 1), [0.0])
    found.places = np.array([4])
    (points,) = instances.outlines(found, maps, head, (WIDTH, HEIGHT))
    drawn, expected = filled(points, reference.bilinear(maps[4].tolist(), WIDTH, HEIGHT) > 0)
    assert (drawn & expected).sum() >= 0.99 * (drawn | expected).sum() > 0


# ---- whole models --------------------------------------------------------------------------------


def made(tmp_path: Path, outputs: Any, said: dict[str, str], options: str = "") -> Any:
    path = tmp_path / "model.onnx"
    path.write_bytes(onnx_bytes.answering(outputs, said, shape=(1, 3, 320, 320)))
    predictor = load(f"onnx:{path}{options}")
    predictor.setup("")
    return predictor


def dense(*more: float) -> NDArray[np.float32]:
    """One class, one sure box in the middle of the input, of 80x40; and what follows."""
    out = np.zeros((1, 5 + len(more), CELLS), np.float32)
    out[0, :, 7] = 160, 160, 80, 40, 0.9, *more
    return out


def test_a_model_of_masks_gives_outlines_in_the_frame(tmp_path: Path) -> None:
    prototypes = np.full((1, 32, 80, 80), -1, np.float32)
    prototypes[0, 0, 20:60, 20:40] = 1  # the left half of the box, and more above and below
    outputs = {"out": dense(1, *[0] * 31), "p": prototypes}
    predictor = made(tmp_path, outputs, {"names": PERSON, "task": "segment"})
    ((found,),) = [sent(predictor.predict(IMAGE, FRAME), size=(320, 240))[1]]
    assert found["box"] == [120, 100, 200, 140]
    xs, ys = np.array(found["mask"]).T
    assert (xs.min(), xs.max()) == pytest.approx((120, 160), abs=2)
    assert (ys.min(), ys.max()) == pytest.approx((100, 140), abs=2)
    assert predictor.notices == []


SURE = [130, 150, 0.9, 180, 170, 0.25]
PLAIN = [130, 150, 0.9, 180, 170, 165]
FAR = [130, 150, 100, 180, 170, 165]
POSES: dict[str, tuple[list[float], str, list[list[float]]]] = {
    "with confidence": (SURE, "[2, 3]", [[130, 110, 0.9], [180, 130, 0.25]]),
    "with, as the numbers say": (SURE, "", [[130, 110, 0.9], [180, 130, 0.25]]),
    "without": (PLAIN, "[3, 2]", [[130, 110, 1], [0.9, 140, 1], [170, 125, 1]]),
    "without, as the numbers say": (FAR, "", [[130, 110, 1], [100, 140, 1], [170, 125, 1]]),
    "beyond the frame": ([-50, 20, 0.9], "[1, 3]", [[0, 0, 0.9]]),
}
"""What follows the class, the file's `kpt_shape`, and the key points in the frame."""


@pytest.mark.parametrize("name", POSES)
def test_a_model_of_key_points_gives_them_in_the_frame(name: str, tmp_path: Path) -> None:
    more, shape, expected = POSES[name]
    said = {"names": PERSON, "task": "pose"} | ({"kpt_shape": shape} if shape else {})
    predictor = made(tmp_path, {"out": dense(*more)}, said)
    ((found,),) = [sent(predictor.predict(IMAGE, FRAME), size=(320, 240))[1]]
    assert np.array(found["keypoints"]) == pytest.approx(np.array(expected), abs=0.01)
    assert f"{len(expected)} key points" in predictor.about(b"")["model head"]


def test_a_confidence_of_a_key_point_that_cannot_be_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, wrong = dense(130, 150, 0.9), dense(130, 150, 30)
    predictor = made(tmp_path, {"out": usual}, {"names": PERSON, "task": "pose"})
    monkeypatch.setattr(predictor.target._backend, "run", lambda _: [wrong])
    with pytest.raises(BadOutput, match="confidences of key points are between 30 and 30"):
        predictor.predict(IMAGE, FRAME)


@pytest.mark.parametrize("angle", [0.0, 0.3, -0.7, math.pi / 2, 2.2])
@pytest.mark.parametrize("options", ["", "?stretch=1"])
def test_a_rotated_box_has_the_corners_that_its_authors_compute(
    angle: float, options: str, tmp_path: Path
) -> None:
    predictor = made(tmp_path, {"out": dense(angle)}, {"names": PERSON, "task": "obb"}, options)
    ((found,),) = [sent(predictor.predict(IMAGE, FRAME), size=(320, 240))[1]]
    along = 40 * math.cos(angle), 40 * math.sin(angle)
    over = -20 * math.sin(angle), 20 * math.cos(angle)
    corners = np.array(
        [
            (160 + a * along[0] + b * over[0], 160 + a * along[1] + b * over[1])
            for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1))
        ]
    )
    corners = corners * (1, 0.75) if options else corners - (0, 40)
    assert np.array(found["mask"]) == pytest.approx(corners, abs=0.02)
    across, down = corners[1] - corners[0]
    assert found["angle"] == pytest.approx(math.atan2(down, across), abs=0.001)
    upright = [*corners.min(axis=0), *corners.max(axis=0)]
    assert found["box"] == pytest.approx(upright, abs=0.02)


def test_rfdetr_gives_a_mask_for_each_query(tmp_path: Path) -> None:
    boxes, logits = np.zeros((1, 300, 4), np.float32), np.full((1, 300, 3), -6, np.float32)
    boxes[0, 5], logits[0, 5, 1] = (0.5, 0.5, 0.25, 0.25), 6
    maps = np.full((1, 300, 80, 80), -1, np.float32)
    maps[0, 5, 30:50, 20:60] = 1
    predictor = made(tmp_path, {"dets": boxes, "labels": logits, "masks": maps}, {})
    ((found,),) = [sent(predictor.predict(IMAGE, FRAME), size=(320, 240))[1]]
    assert (found["box"], found["class_id"]) == ([120, 90, 200, 150], 1)
    xs, ys = np.array(found["mask"]).T  # the input is a stretched frame
    assert (xs.min(), xs.max()) == pytest.approx((80, 240), abs=2)
    assert (ys.min(), ys.max()) == pytest.approx((90, 150), abs=2)
    assert predictor.notices == []


def test_end_to_end_models_have_them_too(tmp_path: Path) -> None:
    rows = np.zeros((1, 300, 9), np.float32)
    rows[0, 0] = 120, 140, 200, 180, 0.9, 0, 130, 150, 0.5
    said = {"names": PERSON, "task": "pose", "args": "{'nms': True}", "kpt_shape": "[1, 3]"}
    ((found,),) = [sent(made(tmp_path, {"out": rows}, said).predict(IMAGE, FRAME))[1]]
    assert found["keypoints"] == [[130, 110, 0.5]]


@pytest.mark.parametrize(
    ("text", "shape"),
    [("[17, 3]", (17, 3)), ("(5, 2)", (5, 2)), ("[17, 4]", (0, 0)), ("17", (0, 0)), ("", (0, 0))],
)
def test_the_file_says_how_many_key_points_there_are(text: str, shape: tuple[int, int]) -> None:
    assert metadata.read({"kpt_shape": text}).keypoints == shape


def test_points_of_the_input_come_back_to_their_place_in_the_frame() -> None:
    image = np.zeros((240, 500, 3), np.uint8)
    for place in ("middle", "corner", "stretched"):
        _, where = fit(image, (320, 320), place)  # type: ignore[arg-type]
        box = np.array([[30, 100, 170, 140]], np.float32)
        points = where.points(box.reshape(2, 2))
        assert points.ravel() == pytest.approx(where.back(box, 500, 240).ravel(), abs=0.001)
    assert SAME.points(np.array([[1, -2]])).tolist() == [[1, -2]]
