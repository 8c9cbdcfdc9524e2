"""Video over HTTP that has a speed of its own: recorded files, and playlists of segments (HLS)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from fake_web import WebServer, whole
from fakes_sources import make_mp4, make_video
from faults import sabotage
from waiting import pause

from framefan.base import clock
from framefan.settings.run import CameraSettings
from framefan.settings.secret import SourceText
from framefan_capture import kinds
from framefan_capture.sources.scene import Scene, read_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from conftest import Start
    from fake_web import Request
    from network_words import Open

SCENE = Scene(160, 120)
FPS = 25
_PACKET = 188
WINDOW = 6


def file(data: bytes, stop_at: int = 1 << 60) -> Callable[[Request], Iterable[bytes]]:
    """As servers give files: whole, or from where they are asked to. The first `stop_at` bytes of
    each answer come, then the connection ends.
    """

    def answer(request: Request) -> Iterable[bytes]:
        asked = re.match(r"bytes=(\d+)-", request.fields.get("range", ""))
        first = int(asked[1]) if asked else 0
        lines = [
            "HTTP/1.1 206 Partial Content" if asked else "HTTP/1.1 200 OK",
            "Content-Type: video/mp4",
            "Accept-Ranges: bytes",
            f"Content-Range: bytes {first}-{len(data) - 1}/{len(data)}",
            f"Content-Length: {len(data) - first}",
            "Connection: close",
        ]
        yield "\r\n".join([*lines, "", ""]).encode()
        yield data[first : first + stop_at]

    return answer


@pytest.fixture(scope="module")
def mp4(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return make_mp4(tmp_path_factory.mktemp("v") / "a.mp4", SCENE, 50, FPS).read_bytes()


def test_a_recorded_file_plays_at_its_own_speed_and_ends(mp4: bytes, opened: Open):
    with WebServer(film=file(mp4)) as web:
        source = opened(web.url("film.mp4"))
        assert source.is_recorded
        began, seen = clock.now(), []
        while True:
            while source.due > clock.now():
                pause(0.005)
            if not source.grab(0):
                break
            seen.append(read_number(source.retrieve(None)))
        assert seen == list(range(50))
        assert clock.now() - began > 0.9 * 49 / FPS
        assert source.pts == pytest.approx(49 / FPS)


@pytest.mark.parametrize("options", [{"mode": "every"}, {"fast": True}], ids=repr)
def test_nothing_of_a_recorded_file_is_lost(options: dict, mp4: bytes, start: Start):
    with WebServer(film=file(mp4)) as web:
        pool = start(web.url("film"), **options)
        pool.until(lambda p: p.state == "ended")
        assert [ready.frame for ready in pool.ready] == list(range(50))
        assert pool.numbers == list(range(50))
        assert pool.status.no_slot == 0


def test_a_connection_that_breaks_costs_no_frame(tmp_path: Path, start: Start):
    """It is read on from where it was; and a broken connection is no end."""
    # FFmpeg reads smaller files through to their index, instead of seeking it.
    mp4 = make_mp4(tmp_path / "a.mp4", Scene(640, 480), 100, FPS).read_bytes()
    with WebServer(film=file(mp4, len(mp4) // 2)) as web:
        pool = start(web.url("film"), mode="every", backoff_first_s=0.1)
        pool.until(lambda p: p.state in ("backoff", "ended"))
        assert pool.status.reason == "closed"
        assert 10 < len(pool.ready) < 90
        web.answers["film"] = file(mp4)
        pool.until(lambda p: p.state == "ended", 20)
        assert [ready.frame for ready in pool.ready] == list(range(100))
        assert [ready.pts for ready in pool.ready] == pytest.approx([n / FPS for n in range(100)])
        # The decoder makes something of the picture in which it broke.
        assert sum(a != b for a, b in enumerate(pool.numbers)) <= 1


def test_it_plays_again_and_again(mp4: bytes, start: Start):
    with WebServer(film=file(mp4)) as web:
        pool = start(web.url("film"), mode="every", fast=True, loop=True)
        pool.until(lambda p: len(p.ready) >= 120)
        assert pool.numbers[:120] == [number % 50 for number in range(120)]


def test_a_live_stream_does_not_wait(start: Start):
    from fake_camera import FakeCamera

    with FakeCamera("http") as camera:
        pool = start(camera.url, mode="every")
        pool.until(lambda p: p.fatal)
        assert "--mode every" in pool.fatal[0].what
        assert "live" in pool.fatal[0].why


# ---- playlists -----------------------------------------------------------------------------------


def segments(data: bytes, frames: int) -> list[bytes]:
    """A transport stream in parts of so many frames, each with the tables at its beginning."""
    packets = [data[at : at + _PACKET] for at in range(0, len(data), _PACKET)]
    tables = [packet for packet in packets[:3] if _pid(packet) != 0x100]
    begun = [at for at, packet in enumerate(packets) if _pid(packet) == 0x100 and packet[1] & 0x40]
    keys = [at for at in begun if packets[at][3] & 0x20 and packets[at][5] & 0x40]
    keys = keys[:: frames // (len(begun) // len(keys))]
    return [
        b"".join([*tables, *packets[first:last]])
        for first, last in zip(keys, [*keys[1:], len(packets)], strict=True)
    ]


def _pid(packet: bytes) -> int:
    return int.from_bytes(packet[1:3], "big") & 0x1FFF


class Playlist:
    """HLS, live: a window of the last six segments, one more for each that time has brought."""

    def __init__(self, parts: list[bytes], seconds: float, is_live: bool = True) -> None:
        self.parts = parts
        self.seconds = seconds
        self.is_live = is_live
        self.began = clock.now()

    def answers(self) -> dict[str, Callable[[Request], Iterable[bytes]]]:
        return {"list": self.list, "part": self.part}

    def list(self, _: Request) -> Iterable[bytes]:
        there = WINDOW + int((clock.now() - self.began) / self.seconds)
        last = min(len(self.parts), there if self.is_live else len(self.parts))
        first = max(0, last - WINDOW) if self.is_live else 0
        lines = ["#EXTM3U", "#EXT-X-VERSION:3", f"#EXT-X-TARGETDURATION:{int(self.seconds + 0.5)}"]
        lines.append(f"#EXT-X-MEDIA-SEQUENCE:{first}")
        for number in range(first, last):
            lines += [f"#EXTINF:{self.seconds:.3f},", f"part.ts?{number}"]
        lines += [] if self.is_live else ["#EXT-X-ENDLIST"]
        yield whole("\n".join([*lines, ""]).encode(), "application/vnd.apple.mpegurl")

    def part(self, request: Request) -> Iterable[bytes]:
        yield whole(self.parts[int(request.path.partition("?")[2])], "video/mp2t")


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Of 24 frames each: a second."""
    path = make_video(tmp_path_factory.mktemp("v") / "a.ts", SCENE, 14 * 24, 24, "mp4v")
    found = segments(path.read_bytes(), 24)
    assert len(found) == 14
    return found


def test_a_live_playlist_plays_smoothly(parts: list[bytes], start: Start):
    """Seconds of it are there at the start, and then one comes each second, at once."""
    playlist = Playlist(parts, 1.0)
    with WebServer(**playlist.answers()) as web:
        pool = start(web.url("list"), slots=30, stalled_s=1)
        pool.until(lambda p: p.ready and p.ready[-1].frame >= 6 * 24, 20)
        frames = [ready.frame for ready in pool.ready]
        assert frames == list(range(len(frames))), "it came in a burst"
        late = [ready.captured_at - pool.ready[0].captured_at - ready.pts for ready in pool.ready]
        assert min(late) > late[0] - 0.3, "it came in a burst"
        first = pool.numbers[0]
        assert first is not None
        assert all(seen in (None, first + number) for number, seen in enumerate(pool.numbers))
        assert {status.state for status in pool.statuses} <= {"connecting", "live"}


def test_without_a_pace_a_playlist_comes_in_bursts(
    parts: list[bytes],
    start: Start,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
):
    code = """
import framefan_capture.sources.video as video
video.PacedVideo.due = 0.0
"""
    folder = tmp_path_factory.mktemp("broken")
    for key, value in sabotage(folder, "framefan_capture.main", code).items():
        monkeypatch.setenv(key, value)
    with pytest.raises(AssertionError, match="in a burst"):
        test_a_live_playlist_plays_smoothly(parts, start)


def test_a_recorded_playlist_ends(parts: list[bytes], start: Start):
    playlist = Playlist(parts[:3], 1.0, is_live=False)
    with WebServer(**playlist.answers()) as web:
        pool = start(web.url("list"), mode="every", fast=True)
        pool.until(lambda p: p.state == "ended")
        assert pool.numbers == list(range(72))


def test_what_is_for_opencv_is_asked_for_by_ourselves_once_only(mp4: bytes):
    """A camera that serves one session gives it to the one who plays it."""
    with WebServer(film=file(mp4)) as web:
        camera = CameraSettings(name="cam1", source=SourceText(web.url("film")))
        source = kinds.make(camera)
        for _ in range(3):
            source.open()
            assert source.grab(0)
            source.close()
        ours = [each for each in web.requests if each.fields.get("user-agent") == "framefan"]
        assert len(ours) == 1
