"""Which pictures are asked for, that each follows its result, and what is in one."""

from __future__ import annotations

from typing import Any

import cv2
import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framefan.ipc.outcomes import WorkerPreview
from framefan.ipc.records import PICTURES, Detection
from framefan_capture.sources.scene import COLOURS, Scene
from framefan_inference.pool.previews import Preview, Previews
from framefan_inference.worker import pictures

SCENE = Scene(1280, 720)
MIB = 1 << 20


def preview(lease: int, camera: str = "cam", picture: str = "640") -> Preview:
    return Preview(WorkerPreview(lease, camera, lease, lease, picture, 0.001), b"jpeg")


@pytest.fixture
def image() -> Any:
    drawn = np.zeros((720, 1280, 3), np.uint8)
    SCENE.draw(7, drawn)
    drawn.flags.writeable = False
    return drawn


def decoded(jpeg: bytes) -> Any:
    return cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)


def test_a_picture_is_wanted_while_it_is_subscribed_to() -> None:
    previews = Previews(MIB)
    assert previews.of("cam") == ()
    assert previews.watched("preview/cam/640/", True, 0)
    assert previews.watched("preview/cam/640/", True, 0)  # by somebody else
    assert previews.watched("preview/cam/full/", True, 0)
    assert previews.of("cam") == ("640", "full")
    assert previews.watched("preview/cam/640/", False, 0)
    assert previews.of("cam") == ("full",)
    previews.watched("preview/cam/full/", False, 0)
    assert previews.of("cam") == ()


def test_a_beginning_is_told_once() -> None:
    previews = Previews(MIB)
    for topic in ("preview/cam/640/", "preview/cam/full/", "preview/yard/full/", "preview/x"):
        previews.watched(topic, True, 0)
    assert previews.take_begun() == {"cam", "yard"}
    previews.watched("preview/cam/640/", False, 0)
    assert previews.take_begun() == set()


@pytest.mark.parametrize(
    "topic",
    ["preview/", "preview/cam/", "preview/cam/64", "preview/cam/640", "preview/cam/641/",
     "preview/Cam/640/", "preview//640/", "preview/cam/640/x/"],
)  # fmt: skip
def test_less_or_more_than_a_topic_asks_for_nothing(topic: str) -> None:
    previews = Previews(MIB)
    assert previews.watched(topic, True, 0)
    assert not previews._wanted


@pytest.mark.parametrize("topic", ["", "result/cam/", "state/", "preview"])
def test_other_topics_are_others(topic: str) -> None:
    assert not Previews(MIB).watched(topic, True, 0)


def test_a_picture_is_sent_where_it_is_watched_and_made_for_whoever_is_left() -> None:
    previews, topic = Previews(MIB), "preview/cam/640/"
    for place in (0, 2, 3):
        previews.watched(topic, True, place)
    assert previews.places(topic) == 0b1101
    previews.watched(topic, False, 0)
    previews.watched(topic, False, 3)
    assert (previews.places(topic), previews.of("cam")) == (0b100, ("640",))
    previews.watched(topic, False, 2)
    assert (previews.places(topic), previews.of("cam")) == (0, ())


def test_a_picture_leaves_behind_its_result_and_not_of_a_lost_one() -> None:
    previews = Previews(MIB)
    assert previews.arrived(preview(1), is_open=False) == []  # a lease of an earlier pool, or lost
    assert previews.left(1, is_lost=False) == []
    assert previews.arrived(preview(1), is_open=False) == [preview(1)]
    assert previews.arrived(preview(2), is_open=True) == []
    assert previews.arrived(preview(2, picture="320"), is_open=True) == []
    assert previews.arrived(preview(3), is_open=True) == []
    assert previews.left(2, is_lost=False) == [preview(2), preview(2, picture="320")]
    assert previews.left(3, is_lost=True) == []
    assert previews.left(2, is_lost=False) == previews.left(9, is_lost=False) == []
    assert previews.made["cam"] == {"640": 4, "320": 1}
    assert previews.cpu_s["cam"] == pytest.approx(0.005)


def test_behind_a_worker_that_hangs_few_are_kept() -> None:
    previews = Previews(MIB)
    for lease in range(1000):
        assert previews.arrived(preview(lease), is_open=True) == []
    assert len(previews._held) == 32
    assert previews.left(999, is_lost=False) == [preview(999)]


def test_what_is_kept_for_results_is_bounded_in_bytes() -> None:
    previews = Previews(10 * len(b"jpeg"))
    for lease in range(20):
        previews.arrived(preview(lease), is_open=True)
    assert previews.left(9, is_lost=False) == []
    assert previews.left(10, is_lost=True) == []
    assert previews.arrived(preview(20), is_open=True) == []
    assert previews.left(11, is_lost=False) == [preview(11)]


@pytest.mark.parametrize("width", [320, 640, 1280])
def test_it_has_the_width_that_was_asked_for_and_shows_the_frame(width: int, image: Any) -> None:
    picture = decoded(pictures.encode(image, str(width), None, MIB))
    assert picture.shape == (720 * width // 1280, width, 3)
    for shape in SCENE.truth(7):
        if shape.moving:
            x, y = ((shape.box[n] + shape.box[n + 2]) * width // 2560 for n in (0, 1))
            assert np.abs(picture[y, x].astype(int) - COLOURS[shape.kind]).max() < 40, shape


@pytest.mark.parametrize("picture", PICTURES)
def test_a_small_frame_is_left_as_it_is(picture: str, image: Any) -> None:
    assert decoded(pictures.encode(image[:90, :160], picture, None, MIB)).shape == (90, 160, 3)


def test_boxes_are_drawn_on_a_copy(image: Any) -> None:
    before = image.copy()
    seen = [
        Detection("a\n\u2603", 0.5, (100, 100, 300, 300)),
        Detection("out", 1, (-1e9, 0, 1e9, 9)),
    ]
    drawn = decoded(pictures.encode(image, "boxes", msgspec.msgpack.encode(seen), MIB))
    plain = decoded(pictures.encode(image, "full", msgspec.msgpack.encode(seen), MIB))
    assert np.array_equal(image, before)
    assert np.abs(drawn[100, 120:280].astype(int) - plain[100, 120:280]).mean() > 20
    assert np.abs(drawn[400:, 640:].astype(int) - plain[400:, 640:]).mean() < 2


@settings(max_examples=50)
@given(
    corner=st.tuples(st.floats(-4000, 4000), st.floats(-4000, 4000)),
    side=st.floats(0, 3000),
    count=st.sampled_from([3, 17, 21]),
)
def test_shapes_may_lie_anywhere(corner: tuple[float, float], side: float, count: int) -> None:
    x, y = corner
    box = (x, y, x + side, y + side)
    outline = [(x, y), (x + side, y), (x, y + side)]
    points = [(x + n * side / count, y + side / 2, n / count) for n in range(count)]
    seen = [
        Detection("a", 0.5, box, mask=outline, keypoints=points),
        Detection("b", 0.5, box, mask=outline, angle=1.0),
    ]
    plain = np.zeros((72, 128, 3), np.uint8)
    drawn = decoded(pictures.encode(plain, "boxes", msgspec.msgpack.encode(seen), MIB))
    assert drawn.shape == plain.shape
    is_inside = 0 < x < 60 and 0 < y < 60 and side > 5
    assert drawn.max() > 100 if is_inside else not plain.any()


def test_one_that_the_bus_would_not_carry_is_made_smaller(image: Any) -> None:
    whole = len(pictures.encode(image, "full", None, MIB))
    smaller = pictures.encode(image, "full", None, whole // 8)
    assert 0 < len(smaller) <= whole // 8
    assert decoded(smaller).shape[1] < 1280
    assert pictures.encode(image, "full", None, 10) == b""
