"""The demo scene: what it says is what it shows, and machines can read it."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framefan_capture.sources.scene import (
    ARUCO_ID,
    COLOURS,
    QR_TEXT,
    Scene,
    read_number,
)

SIZES = [(160, 120), (641, 479), (720, 1280), (1280, 720), (3840, 2160)]
NUMBERS = [0, 1, 77, 12345, 2**31 + 5, 2**32 - 1]


def drawn(scene: Scene, n: int) -> np.ndarray:
    out = np.empty((scene.height, scene.width, 3), np.uint8)
    scene.draw(n, out)
    return out


def jpeg(image: np.ndarray, quality: int) -> np.ndarray:
    data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def overlap(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def test_a_frame_depends_on_seed_and_number_alone():
    one, other = Scene(640, 360, 5), Scene(640, 360, 5)
    drawn(other, 1000)  # what was drawn before leaves no trace
    assert np.array_equal(drawn(one, 42), drawn(other, 42))
    assert one.truth(42) == other.truth(42)
    assert not np.array_equal(drawn(one, 42), drawn(Scene(640, 360, 6), 42))
    assert not np.array_equal(drawn(one, 42), drawn(one, 43))


@pytest.mark.parametrize("size", SIZES)
def test_the_truth_is_what_is_drawn(size: tuple[int, int]):
    scene = Scene(*size, seed=3)
    for n in (0, 19, 250):
        image = drawn(scene, n)
        moving = [shape for shape in scene.truth(n) if shape.moving]
        assert [shape.kind for shape in moving] == list(COLOURS)
        for shape in moving:
            same = (image == np.array(COLOURS[shape.kind], np.uint8)).all(2)
            ys, xs = np.nonzero(same)
            assert (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1) == shape.box
            x1, y1, x2, y2 = shape.box
            assert same[(y1 + y2) // 2, (x1 + x2) // 2]


@given(
    width=st.integers(160, 1400),
    height=st.integers(120, 1400),
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(0, 10**7),
)
def test_shapes_stay_apart_and_move_on(width: int, height: int, seed: int, n: int):
    scene = Scene(width, height, seed)
    now, then = scene.truth(n), scene.truth(n + 1)
    for index, shape in enumerate(now):
        x1, y1, x2, y2 = shape.box
        assert 0 <= x1 < x2 <= width
        assert 0 <= y1 < y2 <= height
        for other in now[index + 1 :]:
            assert not overlap(shape.box, other.box)
        assert (shape.box != then[index].box) == shape.moving


def iou(a: tuple[int, ...], b: tuple[int, ...]) -> float:
    across = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    down = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return across * down / (areas - across * down)


@pytest.mark.parametrize("seed", [1, 2])
def test_background_subtraction_finds_the_moving_shapes(seed: int):
    scene = Scene(640, 360, seed)
    model = cv2.createBackgroundSubtractorMOG2(detectShadows=False)
    wanted = matched = boxes = true = 0
    for n in range(360):
        mask = model.apply(drawn(scene, n))
        if n < 60:
            continue
        mask = cv2.dilate(cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3))), np.ones((3, 3)))
        contours = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)[0]
        rects = [cv2.boundingRect(contour) for contour in contours]
        found = [(x, y, x + w, y + h) for x, y, w, h in rects if w * h >= 100]
        truth = [shape.box for shape in scene.truth(n) if shape.moving]
        wanted += len(truth)
        boxes += len(found)
        matched += sum(any(iou(box, seen) >= 0.5 for seen in found) for box in truth)
        true += sum(any(iou(box, seen) >= 0.5 for box in truth) for seen in found)
    assert matched >= 0.9 * wanted
    assert true >= 0.8 * boxes


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("number", NUMBERS)
def test_the_number_is_readable(size: tuple[int, int], number: int):
    image = drawn(Scene(*size), number)
    assert read_number(image) == number
    assert read_number(jpeg(image, 50)) == number


def test_a_number_that_cannot_be_read_is_not_guessed():
    image = drawn(Scene(640, 360), 5)
    assert read_number(np.full_like(image, 128)) is None
    half = cv2.addWeighted(image, 0.5, drawn(Scene(640, 360), 10), 0.5, 0)
    assert read_number(half) is None
    assert read_number(np.zeros((40, 60, 3), np.uint8)) is None


def test_one_small_cell_changes_from_frame_to_frame():
    scene = Scene(1280, 720)
    for n in (0, 7, 255, 99_999):
        strip = np.abs(drawn(scene, n)[694:, 640:].astype(int) - drawn(scene, n + 1)[694:, 640:])
        assert np.count_nonzero(strip.any(2)) == 8 * 8


@pytest.mark.parametrize("size", SIZES)
def test_codes_are_readable_where_the_truth_says(size: tuple[int, int]):
    scene = Scene(*size)
    image = jpeg(drawn(scene, 99), 50)
    boxes = {shape.kind: shape.box for shape in scene.truth(99)}
    text, corners, _ = cv2.QRCodeDetectorAruco().detectAndDecode(image)
    assert text == QR_TEXT
    assert inside(corners, boxes["qr"])
    known = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    found, ids, _ = cv2.aruco.ArucoDetector(known).detectMarkers(image)
    assert ids.ravel().tolist() == [ARUCO_ID]
    assert inside(found[0], boxes["aruco"])


def inside(corners: np.ndarray, box: tuple[int, int, int, int]) -> bool:
    xs, ys = corners.reshape(-1, 2).T
    x1, y1, x2, y2 = box
    return bool(x1 <= xs.min() and xs.max() <= x2 and y1 <= ys.min() and ys.max() <= y2)
