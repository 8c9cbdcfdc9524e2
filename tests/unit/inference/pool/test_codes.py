"""The built-ins `qr` and `aruco` on codes drawn at known places."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from framefan_capture.sources.scene import ARUCO_ID, QR_TEXT, Scene
from framefan_inference.predictors.builtin.qr import LONGEST, UNREAD
from framefan_inference.predictors.predictor import Frame, load

if TYPE_CHECKING:
    from framefan.ipc.records import Detection

FRAME = Frame("cam", 0, 0.0, 0)


def scene(width: int = 1280, height: int = 720) -> tuple[Any, dict[str, tuple[int, int, int, int]]]:
    drawn = Scene(width, height, seed=4)
    image = np.empty((height, width, 3), np.uint8)
    drawn.draw(7, image)
    image.flags.writeable = False
    return image, {shape.kind: shape.box for shape in drawn.truth(7)}


def code(text: str, module: int = 8) -> Any:
    small = np.asarray(cv2.QRCodeEncoder.create().encode(text), np.uint8)
    return np.pad(small.repeat(module, 0).repeat(module, 1), 40, constant_values=255)


def see(name: str, image: Any) -> list[Detection]:
    found = load(name).predict(image, FRAME)
    assert isinstance(found, list)
    return found


def off(found: Detection, true: tuple[int, int, int, int]) -> float:
    """By how many pixels the farthest side of the box is off; the truth holds the quiet zone."""
    return max(abs(a - b) for a, b in zip(found.box, true, strict=True))


def test_the_demo_scenes_code_is_read_where_it_stands() -> None:
    image, truth = scene()
    (found,) = see("qr", image)
    assert (found.label, found.confidence) == (QR_TEXT, 1.0)
    assert off(found, truth["qr"]) <= 30


def test_the_demo_scenes_marker_is_read_where_it_stands() -> None:
    image, truth = scene()
    (found,) = see("aruco", image)
    assert (found.label, found.class_id) == (f"aruco {ARUCO_ID}", ARUCO_ID)
    assert off(found, truth["aruco"]) <= 18


@pytest.mark.parametrize("name", ["qr", "aruco"])
@pytest.mark.parametrize("shape", [(1, 1, 3), (720, 1280, 3), (5, 900, 3)])
def test_nothing_is_seen_where_nothing_is(name: str, shape: tuple[int, ...]) -> None:
    noise = np.random.default_rng(1).integers(0, 255, shape, np.uint8)
    assert see(name, noise) == []
    assert see(name, np.full(shape, 128, np.uint8)) == []


def test_several_codes_leaning_and_noisy() -> None:
    image = np.full((720, 1280, 3), 200, np.uint8)
    for place, text in ((60, "door 1"), (700, "https://example.org/door/2")):
        one = code(text)
        image[100 : 100 + len(one), place : place + len(one)] = one[:, :, None]
    turn = cv2.getRotationMatrix2D((640, 360), 12, 0.9)
    image = cv2.warpAffine(image, turn, (1280, 720), borderValue=(200, 200, 200))
    noise = np.random.default_rng(2).normal(0, 12, image.shape)
    image = np.clip(image + noise, 0, 255).astype(np.uint8)
    assert {found.label for found in see("qr", image)} == {"door 1", "https://example.org/door/2"}


def test_a_long_text_is_cut() -> None:
    one = code("x" * 1000, module=4)
    image = np.full((1000, 1000, 3), 255, np.uint8)
    image[50 : 50 + len(one), 50 : 50 + len(one)] = one[:, :, None]
    (found,) = see("qr", image)
    assert found.label in ("x" * LONGEST, UNREAD)


def test_markers_by_their_numbers() -> None:
    known = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    image = np.full((400, 900, 3), 220, np.uint8)
    for place, number in ((50, 3), (350, 21), (650, 49)):
        image[100:300, place : place + 200] = cv2.aruco.generateImageMarker(known, number, 200)[
            :, :, None
        ]
    found = {each.class_id: each.box for each in see("aruco", image)}
    assert sorted(found) == [3, 21, 49]
    assert found[21] == pytest.approx((350, 100, 550, 300), abs=3)
