"""Pictures out of what cameras send: whatever stands between them, however the bytes are split."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framefan_capture.network.multipart import JpegStream


def jpeg(shade: int, *parameters: int, size: int = 16) -> bytes:
    rng = np.random.default_rng(shade)
    image = rng.integers(0, 256, (size, size, 3), np.uint8)
    return cv2.imencode(".jpg", image, parameters)[1].tobytes()


def with_thumbnail(picture: bytes, thumbnail: bytes) -> bytes:
    """In a segment of its own, as EXIF has it."""
    length = (len(thumbnail) + 2).to_bytes(2, "big")
    return picture[:2] + b"\xff\xe1" + length + thumbnail + picture[2:]


PICTURES = [jpeg(number) for number in range(4)]
THUMBED = with_thumbnail(jpeg(7, size=48), jpeg(8))


def part(data: bytes, boundary: str = "--frame", kind: str = "image/jpeg", **told: int) -> bytes:
    lines = [boundary] * bool(boundary) + [f"Content-Type: {kind}"] * bool(kind)
    if told.get("length", 1):
        lines.append(f"Content-Length: {len(data) + told.get('claimed', 0)}")
    return "\r\n".join([*lines, "", ""]).encode() + data + b"\r\n"


def seen(stream: bytes, boundary: str = "frame", most: int = 1 << 20, step: int = 0) -> list:
    """Each picture with what was lost before it."""
    parser = JpegStream(boundary, most)
    step = step or len(stream) or 1
    found = []
    for at in range(0, len(stream), step):
        found += [(each.picture, each.damaged) for each in parser.feed(stream[at : at + step])]
    return found


WHOLE = [(picture, 0) for picture in PICTURES]


@pytest.mark.parametrize(
    ("announced", "told"),
    [
        ("frame", {}),
        ("--frame", {}),
        ("", {}),
        ("other", {}),
        ("frame", {"boundary": "frame"}),
        ("frame", {"boundary": ""}),
        ("frame", {"kind": "image/jpg"}),
        ("frame", {"kind": ""}),
        ("frame", {"length": 0}),
        ("", {"length": 0, "kind": "", "boundary": ""}),
        ("frame", {"claimed": 50}),
        ("frame", {"claimed": -50}),
        ("frame", {"claimed": 1 << 62}),
    ],
    ids=repr,
)
def test_what_cameras_put_between_pictures(announced: str, told: dict):
    stream = b"".join(part(picture, **told) for picture in PICTURES)
    assert seen(stream, announced) == WHOLE
    assert seen(stream.replace(b"\r\n", b"\n"), announced)[-1][0]
    assert seen(stream.removeprefix(b"--frame\r\n"), announced) == WHOLE


@pytest.mark.parametrize(
    "parameters",
    [
        (cv2.IMWRITE_JPEG_PROGRESSIVE, 1),
        (cv2.IMWRITE_JPEG_RST_INTERVAL, 1),
        (cv2.IMWRITE_JPEG_QUALITY, 100),
    ],
)
def test_pictures_of_any_kind_end_where_they_end(parameters: tuple[int, int]):
    picture = jpeg(1, *parameters, size=64)
    filled = picture[:2] + b"\xff\xff" + picture[2:-2] + b"\xff" + picture[-2:]
    for each in (picture, filled, THUMBED):
        assert seen(part(each) + part(PICTURES[0])) == [(each, 0), (PICTURES[0], 0)]


@pytest.mark.parametrize("kept", [3, 10, 200, 400, 700, -2, -1], ids=str)
@pytest.mark.parametrize("picture", [PICTURES[1], THUMBED], ids=["plain", "thumbnail"])
def test_a_part_that_is_cut_off_costs_itself_only(kept: int, picture: bytes):
    lost = part(picture[:kept])
    stream = part(PICTURES[0]) + lost * 2 + part(PICTURES[2]) + part(PICTURES[3])
    assert seen(stream) == [(PICTURES[0], 0), (PICTURES[2], 2), (PICTURES[3], 0)]


def test_parts_without_a_picture_are_counted():
    noise = part(np.random.default_rng(1).bytes(5000)), part(b""), part(b"<html>no</html>")
    stream = part(PICTURES[0]) + b"".join(noise) + part(PICTURES[1])
    assert seen(stream) == [(PICTURES[0], 0), (PICTURES[1], 3)]
    parser = JpegStream("frame")
    parser.feed(b"".join(noise) + b" " * 100)
    assert parser.damaged == 2  # the last one's picture may yet come


def test_no_more_is_kept_than_a_picture_may_have():
    endless = PICTURES[0][:-2] + b"\x55" * 100_000
    stream = part(endless) + part(PICTURES[1])
    assert seen(stream, most=5000) == seen(stream, most=5000, step=11) == [(PICTURES[1], 1)]
    parser = JpegStream("frame", most=5000)
    for _ in range(100):
        for piece in (endless[:3000], b"\x55" * 3000, b"\xff\xd8\xff\xe0\xff\xff", b"\xff"):
            parser.feed(piece)
            assert len(parser._buffer) <= 5000 + 70_000


pieces = st.lists(
    st.one_of(
        st.sampled_from([part(each) for each in [*PICTURES, THUMBED]]),
        st.sampled_from(PICTURES),
        st.sampled_from([*PICTURES, THUMBED]).flatmap(
            lambda whole: st.integers(1, len(whole)).map(lambda kept: part(whole[:kept]))
        ),
        st.sampled_from(
            [b"\xff\xd8", b"\xff", b"--frame", b"Content-", b"\xff\xd8\xff\xda\x00\x02"]
        ),
        st.binary(max_size=20),
    ),
    max_size=8,
).map(b"".join)


@settings(max_examples=100, deadline=None)
@given(
    stream=pieces,
    cuts=st.lists(st.integers(0, 8000), max_size=12),
    most=st.sampled_from([600, 1 << 20]),
)
def test_any_split_of_the_bytes_gives_the_same_pictures(stream: bytes, cuts: list[int], most: int):
    stream += b" " * 100
    whole = JpegStream("frame", most)
    expected = whole.feed(stream)
    split = JpegStream("frame", most)
    places = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    found = [part for a, b in pairwise(places) for part in split.feed(stream[a:b])]
    assert (found, split.damaged) == (expected, whole.damaged)
    assert seen(stream, most=most, step=1) == expected
