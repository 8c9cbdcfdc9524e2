"""Where labels stand: clear of each other, and of what is seen."""

from __future__ import annotations

import itertools

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from framefan.ipc.records import Detection
from framefan_inference.worker.pictures import encode
from framefan_inference.worker.plates import MANY, Plate, placed

SIZE = 640, 360
TALL = 14.0
Box = tuple[float, float, float, float]


def common(a: Box, b: Box) -> float:
    across, down = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return across * down if min(across, down) > 0.01 else 0.0


def area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def seen(x: float, y: float, wide: float, tall: float, track: int | None = None) -> Detection:
    known = UNSET if track is None else track
    return Detection("person", 0.87, (x, y, x + wide, y + tall), track_id=known)


def labels(found: list[Detection]) -> list[Plate]:
    return placed(found, SIZE, TALL, lambda words: 7.0 * len(words))


BOXES = st.lists(
    st.builds(
        seen,
        st.floats(-20, 640), st.floats(-20, 360), st.floats(0, 200), st.floats(0, 200),
        st.none() | st.integers(1, 999),
    ),
    max_size=40,
)  # fmt: skip


@settings(deadline=None)
@given(BOXES)
def test_labels_cover_neither_each_other_nor_what_is_seen(found: list[Detection]) -> None:
    plates = labels(found)
    for plate in plates:
        x1, y1, x2, y2 = plate.box
        assert 0 <= x1 <= x2 <= SIZE[0]
        assert 0 <= y1 <= y2 <= SIZE[1]
        assert all(common(plate.box, each.box) <= 0.26 * max(area(each.box), 1) for each in found)
    for one, other in itertools.combinations(plates, 2):
        assert common(one.box, other.box) == 0
    if len(found) > MANY:
        assert all(plate.words == f"#{plate.seen.track_id}" for plate in plates)


def test_a_label_goes_where_there_is_room() -> None:
    (above,) = labels([seen(100, 100, 50, 90)])
    assert (above.words, above.box[:2]) == ("person 0.87", (100, 100 - TALL))
    (below,) = labels([seen(100, 0, 50, 90)])
    assert below.box[1] == 90
    side_by_side = labels([seen(100 + 60 * n, 150, 30, 90, track=n) for n in range(8)])
    assert len(side_by_side) == 8, "there was room for each"
    assert {"#3", "person #3 0.87"} & {plate.words for plate in side_by_side}
    assert labels([seen(0, 0, 3000, 3000)]) != [], "in a picture that is one box, within it"


@pytest.mark.parametrize(
    ("track", "count", "words"),
    [
        (None, 1, {"person 0.87"}),
        (12, 20, {"person #12 0.87"}),
        (12, 21, {"#12"}),
        (None, 21, set()),
    ],
)
def test_many_boxes_have_ids_alone(track: int | None, count: int, words: set[str]) -> None:
    found = [seen(60 * (n % 10), 60 * (n // 10) + 30, 9, 9, track) for n in range(count)]
    assert {plate.words for plate in labels(found)} == words


@pytest.mark.parametrize("count", [0, 1, 21, 1000])
def test_a_picture_of_any_number_of_boxes_is_made(count: int) -> None:
    found = [seen(n % 600, n % 300, 30, 40, track=n) for n in range(count)]
    image = np.zeros((360, 640, 3), np.uint8)
    assert encode(image, "boxes", msgspec.msgpack.encode(found), 10**7)[:2] == b"\xff\xd8"
    assert not image.any(), "the frame is only read"
