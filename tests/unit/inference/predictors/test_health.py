"""The built-in `health`: each problem is told, after a few frames, and no problem that is none."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest

from framefan_capture.sources.scene import Scene
from framefan_inference.predictors.builtin import health
from framefan_inference.predictors.predictor import Frame, load

if TYPE_CHECKING:
    from collections.abc import Callable

    from framefan_inference.predictors.predictor import Predictor

USUAL = 40
CHANGES: dict[str, Callable[[Any], Any]] = {
    "blurred": lambda image: cv2.GaussianBlur(image, (0, 0), 12),
    "dark": lambda image: (image * 0.1).astype(np.uint8),
    "bright": lambda image: np.clip(image * 3.0, 0, 255).astype(np.uint8),
    "shifted": lambda image: np.roll(image, (20, 60), (0, 1)),
}


def picture(number: int, seed: int = 1, size: tuple[int, int] = (640, 360)) -> Any:
    image = np.empty((size[1], size[0], 3), np.uint8)
    Scene(*size, seed=seed).draw(number, image)
    return image


def look(predictor: Predictor, image: Any, camera: str = "cam") -> dict[str, Any]:
    said = predictor.predict(image, Frame(camera, 0, 0.0, 0))
    assert isinstance(said, dict)
    return said


@pytest.fixture
def used() -> Predictor:
    """It knows the camera."""
    predictor = load("health")
    for number in range(USUAL):
        assert look(predictor, picture(number))["problems"] == []
    return predictor


def test_a_steady_camera_has_no_problems_though_things_move(used: Predictor) -> None:
    for number in range(USUAL, 2 * USUAL):
        said = look(used, picture(number))
        assert said["problems"] == []
        assert said["sharpness"] > 0
        assert health.DARK < said["brightness"] < health.BRIGHT


@pytest.mark.parametrize("problem", CHANGES)
def test_each_problem_is_told_while_it_lasts(used: Predictor, problem: str) -> None:
    change = CHANGES[problem]
    told = [look(used, change(picture(USUAL + n)))["problems"] for n in range(3 * health.LOOKS)]
    assert all(each == [] for each in told[: health.LOOKS - 1])
    assert all(problem in each for each in told[health.LOOKS :])
    back = [look(used, picture(USUAL + n))["problems"] for n in range(2)]
    assert back[-1] == []


@pytest.mark.parametrize(
    ("problem", "threshold", "value"),
    [
        ("blurred", "BLURRED", 0.0),
        ("dark", "DARK", -1.0),
        ("bright", "BRIGHT", 256.0),
        ("shifted", "SHIFTED", 1.0),
    ],
)
def test_without_its_threshold_it_is_not(
    used: Predictor, problem: str, threshold: str, value: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health, threshold, value)
    with pytest.raises(AssertionError):
        test_each_problem_is_told_while_it_lasts(used, problem)


def test_the_shift_is_told_in_pixels_of_the_frame(used: Predictor) -> None:
    across, down = look(used, CHANGES["shifted"](picture(USUAL)))["shift"]
    assert across == pytest.approx(60, abs=6)
    assert down == pytest.approx(20, abs=4)


def test_cameras_and_sizes_have_memories_of_their_own(used: Predictor) -> None:
    for number in range(2 * health.LOOKS):
        assert look(used, picture(number, seed=9), "other")["problems"] == []
        assert look(used, picture(number, seed=5, size=(320, 240)))["problems"] == []


def test_a_picture_without_anything_in_it_is_no_problem() -> None:
    predictor = load("health")
    for _ in range(2 * health.LOOKS):
        assert look(predictor, np.full((2, 2, 3), 128, np.uint8))["problems"] == []
