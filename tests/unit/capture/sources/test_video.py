"""Video files of every shape, and webcams: exact counts and defined results."""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from fakes_sources import make_mp4, make_video

from framefan.base import clock
from framefan.errors import SourceError
from framefan.settings.run import CameraSettings
from framefan.settings.secret import SourceText
from framefan.settings.source_spec import SourceSpec
from framefan_capture.sources import video
from framefan_capture.sources.scene import Scene, read_number
from framefan_capture.sources.video import FileSource, WebcamSource

if TYPE_CHECKING:
    from numpy.typing import NDArray

SCENE = Scene(320, 240)


def settings(source: object, fast: bool = True) -> CameraSettings:
    return CameraSettings(name="cam1", source=SourceText(str(source)), fast=fast)


def opened(path: Path, fast: bool = True) -> FileSource:
    source = FileSource(settings(path, fast))
    source.open()
    return source


def pictures(path: Path) -> list[NDArray[np.uint8]]:
    source = opened(path)
    seen = []
    while source.grab(0):
        seen.append(source.retrieve(None))
    assert not source.grab(0)  # an end stays one
    source.close()
    return seen


def numbers(path: Path) -> list[int | None]:
    return [read_number(picture) for picture in pictures(path)]


def pngs(path: Path, images: list[NDArray]) -> Path:
    """PNG after PNG is a video to FFmpeg, of any pixel format."""
    path.write_bytes(b"".join(cv2.imencode(".png", image)[1].tobytes() for image in images))
    return path


@pytest.fixture
def avi(tmp_path: Path) -> Path:
    return make_video(tmp_path / "a.avi", SCENE, 12, 30, "MJPG")


def claim(path: Path, rate: int, scale: int, frames: int) -> None:
    """Change what an AVI's header says; its pictures stay."""
    data = bytearray(path.read_bytes())
    main, stream = data.index(b"avih") + 8, data.index(b"strh") + 8
    struct.pack_into("<I", data, main + 16, frames)
    struct.pack_into("<II", data, stream + 20, scale, rate)
    struct.pack_into("<I", data, stream + 32, frames)
    path.write_bytes(data)


def spread(path: Path, every: int, pause: int) -> None:
    """Put `pause` empty chunks, one interval each, after each `every`th picture of an AVI."""
    data = path.read_bytes()
    at = data.index(b"movi") + 4
    body, count = b"", 0
    while data[at : at + 4] == b"00dc":
        size = 8 + struct.unpack_from("<I", data, at + 4)[0]
        body += data[at : at + size + size % 2]
        at += size + size % 2
        count += 1
        body += b"00dc\0\0\0\0" * (pause if count % every == 0 else 0)
    head = data[: data.index(b"movi") - 4] + struct.pack("<I", 4 + len(body)) + b"movi"
    path.write_bytes(b"RIFF" + struct.pack("<I", len(head + body) - 8) + head[8:] + body)


# ---- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "scale", "frames"),
    [(30, 1, 99999), (30, 1, 0), (30, 1, 5), (0, 1, 12), (0, 0, 0), (100000, 1, 12), (1, 99999, 1)],
)
def test_a_wrong_header_changes_no_count(avi: Path, rate: int, scale: int, frames: int):
    claim(avi, rate, scale, frames)
    assert numbers(avi) == list(range(12))


@pytest.mark.parametrize(("rate", "scale"), [(0, 1), (100000, 1), (1, 99999), (0, 0)])
def test_a_rate_that_cannot_be_plays_at_a_usual_one(avi: Path, rate: int, scale: int):
    claim(avi, rate, scale, 12)
    source = opened(avi, fast=False)
    before = clock.now()
    for frame in range(12):
        source.grab(frame)
    assert 12 / 50 < source.due - before < 12 / 15


def test_500_frames_a_second(avi: Path):
    claim(avi, 500, 1, 12)
    assert numbers(avi) == list(range(12))
    source = opened(avi, fast=False)
    before = clock.now()
    for frame in range(12):
        source.grab(frame)
    assert source.due - before < 12 / 500 + 0.2


def test_frames_of_uneven_distance_keep_it(avi: Path):
    spread(avi, every=4, pause=6)
    assert numbers(avi) == list(range(12))
    source = opened(avi, fast=False)
    times = [source.pts for frame in range(12) if source.grab(frame)]
    steps = np.diff(times) * 30
    assert np.round(steps).tolist() == [1, 1, 1, 7, 1, 1, 1, 7, 1, 1, 1]


def test_the_clock_of_a_file_begins_at_nothing_and_anew_when_it_is_opened_again(tmp_path: Path):
    source = opened(make_mp4(tmp_path / "a.mp4", SCENE, 5, fps=10))
    for _ in range(2):
        assert [source.pts for frame in range(5) if source.grab(frame)] == pytest.approx(
            [0, 0.1, 0.2, 0.3, 0.4]
        )
        source.close()
        source.open()


class WithoutTimes:
    """OpenCV's video of a bare H.264 stream: it tells 0 for every picture."""

    def __init__(self, video: cv2.VideoCapture) -> None:
        self.grab, self._video = video.grab, video

    def get(self, what: int) -> float:
        return 0.0 if what == cv2.CAP_PROP_POS_MSEC else self._video.get(what)


def test_a_file_without_times_has_the_clock_of_its_rate(avi: Path):
    source = opened(avi)
    source._video = WithoutTimes(source._video)
    times = [source.pts for frame in range(4) if source.grab(frame)]
    assert source.skip(3) == 3
    times.append(source.pts)
    assert times == pytest.approx([0, 1 / 30, 2 / 30, 3 / 30, 6 / 30])


def test_the_last_picture_of_mpeg1_is_not_at_the_beginning(tmp_path: Path):
    source = opened(make_video(tmp_path / "a.m1v", SCENE, 10, 25, "MPG1"))
    times = [source.pts for frame in range(11) if source.grab(frame)]
    assert len(times) == 10
    assert (np.diff(times) > 0.02).all(), times


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9])
def test_a_file_cut_short_gives_what_is_in_it(avi: Path, share: float):
    data = avi.read_bytes()
    avi.write_bytes(data[: int(len(data) * share)])
    seen = numbers(avi)
    assert [number for number in seen if number is not None][:2] == [0, 1]
    assert 12 * share - 2 <= len(seen) <= 12 * share + 1


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_an_mp4_cut_before_its_index_cannot_be_played(tmp_path: Path, share: float):
    whole = make_mp4(tmp_path / "a.mp4", SCENE, 30).read_bytes()
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: int(len(whole) * share)])
    assert reason(cut) == "unreadable"


@pytest.mark.parametrize("junk", [b"", b"\0" * 5000, b"RIFF\0\0\0\0AVI ", b"\0\0\0\x08ftyp"])
def test_junk_cannot_be_played(tmp_path: Path, junk: bytes):
    (tmp_path / "a.mp4").write_bytes(junk)
    assert reason(tmp_path / "a.mp4") == "unreadable"


def test_a_file_without_pictures_cannot_be_played(avi: Path):
    data = avi.read_bytes()
    head = data[: data.index(b"movi") - 4] + struct.pack("<I", 4) + b"movi"
    avi.write_bytes(b"RIFF" + struct.pack("<I", len(head) - 8) + head[8:])
    assert reason(avi) == "unreadable"


def reason(path: Path) -> str:
    with pytest.raises(SourceError) as caught:
        opened(path).grab(0)
    assert all((caught.value.what, caught.value.why, caught.value.fix))
    return caught.value.reason


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pictures_of_any_format_come_as_bgr(tmp_path: Path, depth: type, channels: int):
    full = np.iinfo(depth).max
    shades = [0, full // 4, full // 2, full]
    images = [np.full((48, 64, channels), shade, depth) for shade in shades]
    for image in images:
        image[..., 3:] = full
    seen = pictures(pngs(tmp_path / "a.pngs", images))
    assert [picture.shape for picture in seen] == [(48, 64, 3)] * 4
    assert all(picture.dtype == np.uint8 for picture in seen)
    for picture, shade in zip(seen, shades, strict=True):
        assert abs(int(picture[20, 20, 1]) - shade * 255 // full) <= 2


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 9), (9, 1), (3, 3), (7680, 4320)])
def test_pictures_of_any_size(tmp_path: Path, width: int, height: int):
    images = [np.full((height, width, 3), shade, np.uint8) for shade in (10, 200)]
    seen = pictures(pngs(tmp_path / "a.pngs", images))
    assert [picture.shape for picture in seen] == [(height, width, 3)] * 2
    assert [int(picture[0, 0, 0]) // 100 for picture in seen] == [0, 2]


@pytest.mark.parametrize("codec", ["FFV1", "MJPG", "mp4v"])
def test_grey_videos(tmp_path: Path, codec: str):
    path = tmp_path / "a.avi"
    shape = (SCENE.width, SCENE.height)
    writer = cv2.VideoWriter(
        str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), 30, shape, isColor=False
    )
    for shade in (0, 100, 255):
        writer.write(np.full((SCENE.height, SCENE.width), shade, np.uint8))
    writer.release()
    seen = pictures(path)
    assert [picture.shape for picture in seen] == [(240, 320, 3)] * 3
    assert [round(float(picture.mean()) / 50) for picture in seen] == [0, 2, 5]


def test_one_image_is_a_video_of_one_frame(tmp_path: Path):
    assert len(pictures(pngs(tmp_path / "a.png", [np.zeros((48, 64, 3), np.uint8)]))) == 1


def test_a_file_that_may_not_be_read(avi: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(video.os, "access", lambda path, mode: False)
    assert reason(avi) == "unreadable"


# ---- webcams -------------------------------------------------------------------------------------


def webcam_reason(number: str) -> SourceError:
    source = WebcamSource(settings(number))
    with pytest.raises(SourceError) as caught:
        source.open()
    assert all((caught.value.what, caught.value.why, caught.value.fix))
    return caught.value


@pytest.mark.parametrize("number", ["77", "200", "9" * 30])
def test_a_webcam_that_is_not_there(number: str):
    assert webcam_reason(number).reason == "not_found"


def test_a_webcam_that_does_not_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(video, "_DEVICES", str(tmp_path / "video"))
    (tmp_path / "video77").touch()
    taken = webcam_reason("77")
    assert (taken.reason, "another program" in taken.why) == ("unreadable", True)
    monkeypatch.setattr(video.os, "access", lambda path, mode: False)
    forbidden = webcam_reason("77")
    assert (forbidden.reason, "permissions" in forbidden.why) == ("unreadable", True)


@pytest.mark.parametrize(
    ("linked", "opens"),
    [
        ("video3", (3,)),
        ("video200", ("video200", cv2.CAP_V4L2)),
        ("other", ("other", cv2.CAP_V4L2)),
    ],
)
def test_a_device_may_be_given_by_its_path_and_by_a_link_to_it(
    linked: str, opens: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """By its number where OpenCV counts so far, else by its path."""
    asked: list[tuple] = []

    class Capture:
        def __init__(self, *arguments: object) -> None:
            asked.append(arguments)

        def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
            return True

        def release(self) -> None:
            pass

    monkeypatch.setattr(video, "_NUMBERED", re.compile(rf"(?:{tmp_path}/video)?(\d+)"))
    monkeypatch.setattr(video.cv2, "VideoCapture", Capture)
    (tmp_path / "by-id").symlink_to(tmp_path / linked)
    camera = WebcamSource(settings(tmp_path / "by-id"))
    (tmp_path / linked).touch()
    camera.open()
    first, *backend = asked[0]
    assert (Path(str(first)).name, *backend) == tuple(str(each) for each in opens[:1]) + opens[1:]
    camera.close()


def test_a_video_may_have_a_name_of_any_bytes(avi: Path):
    odd = avi.rename(avi.with_name("caf\udce9.avi"))
    source = FileSource(
        CameraSettings(name="cam1", source=SourceText.found(SourceSpec("file", str(odd))))
    )
    source.open()
    assert source.grab(0)
    source.close()
    odd.unlink()
    with pytest.raises(SourceError) as caught:
        source.open()
    "\n".join(caught.value.lines()).encode()
