"""Network cameras: what comes out of them, and what is said when nothing does."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import cv2
import fake_rtsp
import numpy as np
import pytest
from fake_camera import (
    Close,
    FakeCamera,
    Frames,
    Garbage,
    HalfAnswer,
    Redirect,
    Stall,
    Status,
)
from fakes_sources import MjpegServer, RtspServer
from waiting import SCALE

from framefan import clock
from framefan.errors import SourceError, UsageError
from framefan.secret import SourceText
from framefan.settings import CameraSettings
from framefan_capture.network import NetworkSource, ffmpeg_options
from framefan_capture.scene import Scene, read_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fake_camera import Step

    Open = Callable[..., NetworkSource]

SCENE = Scene(640, 360)
SECRET = "s3cr3t"
SILENCE_S = 0.4 * SCALE

both = pytest.mark.parametrize("protocol", ["rtsp", "http"])


@pytest.fixture
def opened() -> Iterator[Open]:
    """Opens network cameras; all are closed at the end."""
    made: list[NetworkSource] = []

    def open_one(url: str, **options: Any) -> NetworkSource:
        made.append(NetworkSource(CameraSettings(name="cam1", source=SourceText(url), **options)))
        made[-1].open()
        return made[-1]

    yield open_one
    for source in made:
        source.close()


def numbers(source: NetworkSource, frames: int) -> list[int | None]:
    return [read_number(source.retrieve(None)) for frame in range(frames) if source.grab(frame)]


def refusal(url: str, **options: Any) -> SourceError:
    source = NetworkSource(CameraSettings(name="cam1", source=SourceText(url), **options))
    with pytest.raises(SourceError) as caught:
        source.open()
    return told_well(caught.value)


def told_well(error: SourceError) -> SourceError:
    """What, why and what to do, without a secret."""
    texts = (error.what, error.why, error.fix, *map(str, [error, error.__cause__]))
    assert all(SECRET not in text for text in texts)
    assert all((error.what, error.why, error.fix))
    return error


def grab_until_it_fails(source: NetworkSource) -> SourceError:
    deadline = clock.now() + 20 * SCALE
    while clock.now() < deadline:
        try:
            source.grab(0)
        except SourceError as error:
            return told_well(error)
    raise AssertionError("the source went on")


def is_run_on(seen: list[int | None]) -> bool:
    known = [number for number in seen if number is not None]
    return known == list(range(known[0], known[0] + len(known)))


# ---- pictures ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocol", "transport"), [("rtsp", "tcp"), ("rtsp", "udp"), ("http", "tcp")]
)
def test_pictures_come_in_order_into_the_slot_and_at_once(
    protocol: str, transport: str, opened: Open
):
    with FakeCamera(protocol, (640, 360 + 8 - 360 % 8)) as camera:
        before = clock.now()
        source = opened(camera.url, transport=transport)
        view = np.zeros((camera.size[1], camera.size[0], 3), np.uint8)
        assert source.grab(0)
        assert clock.now() - before < 0.6 * SCALE
        seen = []
        for frame in range(20):
            assert source.grab(frame)
            assert not source.stale
            assert source.retrieve(view) is view
            seen.append(read_number(view))
            assert camera.frames - seen[-1] <= 8
        assert seen[0] is not None
        assert is_run_on(seen)
        assert list(camera.transports) == ([transport] if protocol == "rtsp" else [])


@both
def test_the_time_on_the_cameras_own_clock(protocol: str, opened: Open):
    """A pause of the camera is in it; multipart JPEG has none, and FFmpeg's guess is no clock."""
    with FakeCamera(protocol) as camera:
        camera.play(Frames(12, fps=20), Stall(0.3), Frames(fps=20))
        source = opened(camera.url)
        times = [source.pts for frame in range(20) if source.grab(frame)]
        if protocol == "http":
            assert times == [None] * 20
        else:
            steps = [after - before for before, after in itertools.pairwise(times)]
            assert 0.25 < max(steps) < 0.25 + 0.2 * SCALE
            assert 0.045 < sorted(steps)[10] < 0.055


@both
@pytest.mark.parametrize("kind", ["cut", "noise"])
def test_a_damaged_picture_is_skipped_and_the_stream_goes_on(
    protocol: str, kind: str, opened: Open
):
    """Counted where OpenCV lets it be seen: RTSP leaves it out, HTTP shows what came of it."""
    with FakeCamera(protocol) as camera:
        camera.play(Frames(6), Frames(1, kind=kind), Frames())
        source = opened(camera.url, read_timeout_s=SILENCE_S)
        seen, skipped = [], 0
        for frame in range(12):
            assert source.grab(frame)
            skipped += source.skipped
            seen.append(read_number(source.retrieve(None)))
        assert 6 not in seen
        assert 11 in seen
        assert skipped == (protocol == "http" and kind == "noise")


def test_a_packet_lost_over_udp_costs_its_picture_only(
    opened: Open, monkeypatch: pytest.MonkeyPatch
):
    whole = fake_rtsp._Rtp.packets

    def packets(self: Any, picture: bytes, at_s: float) -> list[bytes]:
        sent = list(whole(self, picture, at_s))
        return sent[:3] + sent[4:] if camera.frames == 11 else sent

    monkeypatch.setattr(fake_rtsp._Rtp, "packets", packets)
    with FakeCamera("rtsp", (640, 480)) as camera:
        source = opened(camera.url, transport="udp", read_timeout_s=2 * SCALE)
        seen, late = [], []
        for frame in range(20):
            assert source.grab(frame)
            seen.append(read_number(source.retrieve(None)))
            late.append(camera.frames - (seen[-1] or camera.frames))
        assert 20 in seen
        assert set(range(1, 21)) - set(seen) <= {9, 10, 11}
        assert max(late) <= 10


# ---- streams that go wrong -----------------------------------------------------------------------


def test_a_stream_without_one_good_picture_did_not_close(opened: Open):
    """OpenCV opens it, and then tells its end: the camera is still sending."""
    with FakeCamera("http") as camera:
        camera.play(Frames(kind="noise"))
        source = opened(camera.url, open_timeout_s=SILENCE_S, read_timeout_s=SILENCE_S)
        assert grab_until_it_fails(source).reason == "unreadable"


@both
@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ((Frames(6), Stall()), "timeout"),
        ((Frames(6),), "closed"),
        ((Frames(6), Close()), "closed"),
        ((Frames(1), Frames(fps=0.1)), "timeout"),
    ],
    ids=repr,
)
def test_a_stream_that_stops(protocol: str, script: tuple[Step, ...], reason: str, opened: Open):
    with FakeCamera(protocol) as camera:
        camera.play(*script)
        source = opened(camera.url.replace("//", f"//user:{SECRET}@"), read_timeout_s=SILENCE_S)
        before = clock.now()
        assert grab_until_it_fails(source).reason == reason
        assert clock.now() - before < 2 * SILENCE_S + 2 * SCALE


def test_a_stream_of_nothing_but_damage_is_corrupt(opened: Open):
    with FakeCamera("http") as camera:
        camera.play(Frames(6), Frames(kind="noise"))
        source = opened(camera.url, read_timeout_s=1.5 * SCALE)
        assert grab_until_it_fails(source).reason == "corrupt"


# ---- cameras that do not open --------------------------------------------------------------------


@both
@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ((Status(401),), "unauthorised"),
        ((Status(403),), "unauthorised"),
        ((Status(404),), "not_found"),
        ((Status(500),), "unreadable"),
        ((Garbage(),), "unreadable"),
        ((HalfAnswer(),), "unreadable"),
        ((Close(),), "closed"),
        ((Stall(),), "timeout"),
        ((HalfAnswer(), Stall()), "timeout"),
        ((Stall(at="DESCRIBE"),), "timeout"),
        ((Stall(at="PLAY"),), "timeout"),
        ((Redirect("file:///etc/passwd"),), "unreadable"),
    ],
    ids=repr,
)
def test_the_reason_why_a_camera_does_not_open(
    protocol: str, script: tuple[Step, ...], reason: str
):
    with FakeCamera(protocol) as camera:
        camera.play(*script)
        before = clock.now()
        error = refusal(camera.url.replace("//", f"//user:{SECRET}@"), open_timeout_s=SILENCE_S)
        assert error.reason == reason
        assert clock.now() - before < SILENCE_S + 1.5 * SCALE


@both
def test_a_slow_start_within_the_limit_is_fine(protocol: str, opened: Open):
    with FakeCamera(protocol) as camera:
        camera.play(Stall(0.5), Frames())
        assert numbers(opened(camera.url), 2) == [0, 1]


@both
@pytest.mark.parametrize("auth", ["basic", "digest"])
def test_logins(protocol: str, auth: str, opened: Open):
    """What a camera says to the right login counts, not that it asked for one."""
    with FakeCamera(protocol, account=f"user:{SECRET}", auth=auth) as camera:
        assert numbers(opened(camera.url), 2) == [0, 1]
        wrong = refusal(camera.url.replace("user", "other"))
        assert (wrong.reason, "401" in wrong.why) == ("unauthorised", True)
        assert refusal(camera.url.replace(f"user:{SECRET}@", "")).reason == "unauthorised"
        camera.play(Status(404))
        assert refusal(camera.url).reason == "not_found"


@both
def test_redirects(protocol: str, opened: Open):
    with FakeCamera(protocol) as other, FakeCamera(protocol) as camera:
        camera.play(Redirect(other.url))
        assert numbers(opened(camera.url), 2) == [0, 1]
        other.play(Status(404))
        assert refusal(camera.url).reason == "not_found"
        camera.play(Redirect(camera.url))
        assert refusal(camera.url, open_timeout_s=SILENCE_S).reason in ("unreadable", "timeout")


@both
def test_a_closed_port_is_refused(protocol: str):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert refusal(f"{protocol}://user:{SECRET}@127.0.0.1:{port}/cam").reason == "refused"


def test_an_unknown_host_is_dns():
    assert refusal(f"rtsp://user:{SECRET}@camera.invalid/cam").reason == "dns"


@pytest.mark.parametrize("url", ["rtsp:///cam", "http://:80/", "rtsp://host:99999/", "http://["])
def test_an_address_without_a_host_is_a_usage_error(url: str):
    with pytest.raises(UsageError):
        NetworkSource(CameraSettings(name="cam1", source=SourceText(url)))


def test_what_opencv_raises_is_told_without_its_text(opened: Open, monkeypatch: pytest.MonkeyPatch):
    class Raising:
        def retrieve(self, view: object) -> None:
            raise cv2.error(f"in rtsp://user:{SECRET}@camera")

        def release(self) -> None:
            pass

    with FakeCamera("http") as camera:
        source = opened(camera.url)
        source.close()
        source._video = Raising()
        with pytest.raises(SourceError) as caught:
            source.retrieve(None)
        assert caught.value.reason == "corrupt"
        assert SECRET not in str(caught.value)
        assert caught.value.__context__ is None


# ---- what stays ----------------------------------------------------------------------------------


TRIES = """
import os, sys, threading
import cv2
from framefan.errors import SourceError
from framefan.secret import SourceText
from framefan.settings import CameraSettings
from framefan_capture.network import NetworkSource

urls = sys.argv[1:]
sources = [NetworkSource(CameraSettings(name="c", source=SourceText(url))) for url in urls]

def fail(tries):
    for number in range(tries):
        assert not cv2.VideoCapture(urls[number % 3], cv2.CAP_FFMPEG).isOpened()
        if number % 20 == 0:
            try:
                sources[number // 20 % 3].open()
            except SourceError:
                pass

def held():
    pages = int(open("/proc/self/statm").read().split()[1])
    files = len(os.listdir("/proc/self/fd"))
    return pages * os.sysconf("SC_PAGE_SIZE"), files, threading.active_count()

fail(200)
before = held()
fail(2000)
print(*[b - a for a, b in zip(before, held())])
"""


def test_failed_tries_leave_nothing():
    """A camera that is away for a night is tried thousands of times, by one process."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with FakeCamera("http") as missing, FakeCamera("http") as garbage:
        missing.play(Status(404))
        garbage.play(Garbage(512))
        urls = [missing.url, garbage.url, f"http://127.0.0.1:{port}/cam"]
        command = [sys.executable, "-c", TRIES, *urls]
        quiet = os.environ | {"OPENCV_LOG_LEVEL": "OFF", "OPENCV_FFMPEG_LOGLEVEL": "-8"}
        said = subprocess.run(command, env=quiet, stdout=subprocess.PIPE, timeout=100, check=True)
        memory, files, threads = map(int, said.stdout.split())
        assert memory < 2 << 20
        assert files == 0
        assert threads <= 1  # a lookup may still be ending


# ---- real servers --------------------------------------------------------------------------------


def test_a_standard_http_server(opened: Open):
    with MjpegServer(SCENE, account=f"user:{SECRET}") as camera:
        seen = numbers(opened(camera.url), 10)
        assert seen == sorted(set(seen))  # a slow machine leaves some out
        camera.status = 500
        assert refusal(camera.url).reason == "unreadable"


@pytest.fixture(scope="module")
def rtsp() -> Iterator[RtspServer]:
    with RtspServer(SCENE, frames=90, account=f"user:{SECRET}") as server:
        yield server


@pytest.mark.gstreamer
def test_h264_comes_without_a_backlog(rtsp: RtspServer, opened: Open):
    before = clock.now()
    source = opened(rtsp.url)
    assert clock.now() - before < 5
    view = np.zeros((360, 640, 3), np.uint8)
    seen, times = [], []
    started = clock.now()
    for frame in range(60):
        assert source.grab(frame)
        assert source.retrieve(view) is view
        seen.append(read_number(view))
        times.append(source.pts)
    assert is_run_on(seen)
    assert seen.count(None) <= 1  # a picture before the first whole one
    # Pictures that had piled up would come faster than the camera makes them.
    assert clock.now() - started > 59 / 30 - 0.25
    assert times[0] is None, "OpenCV does not say it of the first one"
    assert times[-1] - times[1] == pytest.approx(58 / 30, abs=0.01)


@pytest.mark.gstreamer
def test_an_rtsp_server_that_refuses_says_why(rtsp: RtspServer):
    assert refusal(rtsp.url.replace("user", "other")).reason == "unauthorised"
    assert refusal(rtsp.url.replace("/cam", "/nowhere")).reason == "not_found"


@pytest.mark.gstreamer
def test_an_rtsp_server_that_freezes_and_one_that_dies(opened: Open):
    with RtspServer(SCENE, frames=30) as server:
        source = opened(server.url, read_timeout_s=1.5)
        assert source.grab(0)
        os.kill(server.pid, signal.SIGSTOP)
        before = clock.now()
        assert grab_until_it_fails(source).reason == "timeout"
        assert clock.now() - before < 7.5
        os.kill(server.pid, signal.SIGCONT)
        source.close()
        source = opened(server.url)
        assert source.grab(0)
        server.kill()
        assert grab_until_it_fails(source).reason == "closed"


def test_options_of_ffmpeg_name_the_transport_and_forbid_files():
    assert "rtsp_transport;udp" in ffmpeg_options("rtsp", "udp")
    assert "rtsp_transport;tcp" in ffmpeg_options("rtsp", "tcp")
    for kind in ("rtsp", "http"):
        whitelist = ffmpeg_options(kind, "tcp").partition("protocol_whitelist;")[2].split(",")
        assert "tcp" in whitelist
        assert not {"file", "concat", "subfile", "data", "pipe"} & set(whitelist)
