"""The built-in `motion` against a square of known place that moves over a still texture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from framefan_inference.predictors.predictor import Frame, load

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from framefan.ipc.records import Detection
    from framefan_inference.predictors.predictor import Predictor

WARM_UP = 30
Box = tuple[float, float, float, float]


class Scene:
    """A bright square that goes to and fro over noise that stays as it is."""

    def __init__(self, width: int, height: int, side: int, seed: int = 1) -> None:
        self.width, self.height, self.side = width, height, side
        texture = np.random.default_rng(seed).integers(60, 120, (height, width, 3))
        self.still = texture.astype(np.uint8)

    def box(self, number: int) -> Box:
        room = self.width - self.side
        x = (number * max(1, self.side // 8)) % (2 * room)
        x = min(x, 2 * room - x)
        y = (self.height - self.side) // 2
        return x, y, x + self.side, y + self.side

    def image(self, number: int | None) -> NDArray[np.uint8]:
        image = self.still.copy()
        if number is not None:
            x1, y1, x2, y2 = (int(value) for value in self.box(number))
            image[y1:y2, x1:x2] = (40, 220, 250)
        image.flags.writeable = False
        return image


def iou(a: Box, b: Box) -> float:
    across = min(a[2], b[2]) - max(a[0], b[0])
    down = min(a[3], b[3]) - max(a[1], b[1])
    if across <= 0 or down <= 0:
        return 0.0
    area = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return across * down / (area - across * down)


def see(motion: Predictor, image: Any, number: int, camera: str = "cam") -> list[Detection]:
    found = motion.predict(image, Frame(camera, number, 0.0, number))
    assert isinstance(found, list)
    return found


@pytest.fixture
def motion() -> Predictor:
    return load("motion")


@pytest.mark.parametrize(
    ("width", "height", "side"),
    [(320, 240, 40), (640, 480, 60), (1280, 720, 100)],
    ids=["smaller than it looks at", "VGA", "720p"],
)
def test_the_box_is_where_the_square_is(
    motion: Predictor, width: int, height: int, side: int
) -> None:
    scene = Scene(width, height, side)
    for number in range(56):  # one way across: where it turns it has just been seen
        found = see(motion, scene.image(number), number)
        if number >= WARM_UP:
            assert len(found) == 1, (number, found)
            assert iou(found[0].box, scene.box(number)) >= 0.5, (number, found)
            assert found[0].label == "motion"
            assert 0.5 < found[0].confidence <= 1


def test_nothing_moves_and_nothing_is_found(motion: Predictor) -> None:
    scene = Scene(640, 480, 60)
    for number in range(60):
        found = see(motion, scene.image(None), number)
        assert found == [] or number < 5


def test_boxes_lie_within_the_picture(motion: Predictor) -> None:
    scene = Scene(641, 359, 80)
    for number in range(80):
        for each in see(motion, scene.image(number), number):
            x1, y1, x2, y2 = each.box
            assert 0 <= x1 < x2 <= 641 + 1e-6
            assert 0 <= y1 < y2 <= 359 + 1e-6


def test_each_camera_has_a_background_of_its_own(motion: Predictor) -> None:
    """What stands in one camera's picture for ever is news in another's."""
    scene = Scene(640, 480, 60)
    for number in range(60):
        see(motion, scene.image(None), number, "empty")
        see(motion, scene.image(10), number, "parked")
    (found,) = see(motion, scene.image(10), 60, "empty")
    assert iou(found.box, scene.box(10)) >= 0.5
    assert see(motion, scene.image(10), 60, "parked") == []


def test_a_camera_may_change_its_size(motion: Predictor) -> None:
    for scene in (Scene(640, 480, 60), Scene(320, 240, 40), Scene(640, 480, 60)):
        for number in range(WARM_UP + 10):
            found = see(motion, scene.image(number), number)
        assert len(found) == 1
        assert iou(found[0].box, scene.box(number)) >= 0.5


@pytest.mark.parametrize("shape", [(1, 1, 3), (1, 5000, 3), (3000, 1, 3), (2, 2, 3)])
def test_odd_sizes_are_pictures_too(motion: Predictor, shape: tuple[int, int, int]) -> None:
    for number in range(3):
        see(motion, np.full(shape, 80 * number, np.uint8), number)
