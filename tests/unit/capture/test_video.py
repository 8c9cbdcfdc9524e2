"""Network cameras: what comes out of them, and what is said when nothing does."""

from __future__ import annotations

import os
import signal
import socket
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from fakes_sources import MjpegServer, RtspServer

from framefan import clock
from framefan.errors import SourceError, UsageError
from framefan.secret import SourceText
from framefan.settings import CameraSettings
from framefan_capture import source
from framefan_capture.scene import Scene, read_number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from framefan_capture.source import Source

SCENE = Scene(640, 360)
SECRET = "s3cr3t"


def opened(url: str, **options: Any) -> Source:
    made = source.make(CameraSettings(name="cam1", source=SourceText(url), **options))
    made.open()
    return made


def numbers(opened_source: Source, frames: int) -> list[int | None]:
    return [
        read_number(opened_source.retrieve(None))
        for frame in range(frames)
        if opened_source.grab(frame)
    ]


def refusal(url: str, **options: Any) -> SourceError:
    with pytest.raises(SourceError) as caught:
        opened(url, **options)
    for text in (caught.value.what, caught.value.why, caught.value.fix, str(caught.value)):
        assert SECRET not in text
    assert caught.value.what
    return caught.value


def grab_until_it_fails(opened_source: Source) -> SourceError:
    deadline = clock.now() + 20
    while clock.now() < deadline:
        try:
            opened_source.grab(0)
        except SourceError as error:
            return error
    raise AssertionError("the source went on")


def is_run_on(seen: list[int | None]) -> bool:
    known = [number for number in seen if number is not None]
    return known == list(range(known[0], known[0] + len(known)))


@pytest.fixture
def camera() -> Iterator[MjpegServer]:
    with MjpegServer(SCENE, account=f"user:{SECRET}") as server:
        yield server


# ---- HTTP ----------------------------------------------------------------------------------------


def test_pictures_come_in_order_into_the_slot_and_at_once(camera: MjpegServer):
    video = opened(camera.url)
    view = np.zeros((360, 640, 3), np.uint8)
    seen = []
    for frame in range(20):
        assert video.grab(frame)
        assert video.retrieve(view) is view
        seen.append(read_number(view))
        assert camera.number_now() - seen[-1] <= 15
    assert seen[0] is not None
    assert is_run_on(seen)
    video.close()


def test_a_damaged_picture_is_skipped_and_counted(camera: MjpegServer):
    video = opened(camera.url)
    video.grab(0)
    damaged = camera.number_now() + 5
    camera.is_damaged = lambda number: number == damaged
    seen, skipped = [], 0
    while damaged + 3 not in seen:
        assert video.grab(0)
        skipped += video.skipped
        seen.append(read_number(video.retrieve(None)))
    assert damaged not in seen
    assert skipped == 1
    video.close()


def test_silence_is_a_timeout_after_the_read_timeout(camera: MjpegServer):
    video = opened(camera.url, read_timeout_s=0.5)
    assert video.grab(0)
    camera.stalled = True
    before = clock.now()
    error = grab_until_it_fails(video)
    assert error.reason == "timeout"
    assert SECRET not in error.what
    assert clock.now() - before < 2.5
    video.close()


def test_a_stream_that_ends_is_closed(camera: MjpegServer):
    video = opened(camera.url)
    assert video.grab(0)
    camera.drop_clients()
    error = grab_until_it_fails(video)
    assert error.reason == "closed"
    assert SECRET not in error.what
    video.close()


def test_a_wrong_password_and_a_wrong_path_are_told_apart(camera: MjpegServer):
    wrong = refusal(camera.url.replace("user", "other"))
    assert (wrong.reason, "401" in wrong.why) == ("unauthorised", True)
    assert refusal(camera.url.replace("/cam", "/nowhere")).reason == "not_found"
    camera.status = 500
    assert refusal(camera.url).reason == "unreadable"


def test_a_camera_that_opens_and_sends_nothing_times_out(camera: MjpegServer):
    camera.stalled = True
    before = clock.now()
    assert refusal(camera.url, open_timeout_s=0.5).reason == "timeout"
    assert clock.now() - before < 2.5


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_a_closed_port_is_refused(scheme: str):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert refusal(f"{scheme}://user:{SECRET}@127.0.0.1:{port}/cam").reason == "refused"


def test_an_unknown_host_is_dns():
    assert refusal(f"rtsp://user:{SECRET}@camera.invalid/cam").reason == "dns"


def test_a_host_that_does_not_take_the_connection_times_out():
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        held = []
        for _ in range(4):  # a full backlog drops further connections, as a dead host does
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(address)
            held.append(sock)
        url = f"rtsp://user:{SECRET}@127.0.0.1:{address[1]}/cam"
        assert refusal(url, open_timeout_s=0.3).reason == "timeout"
        for sock in held:
            sock.close()


@pytest.mark.parametrize("url", ["rtsp:///cam", "http://:80/", "rtsp://host:99999/", "http://["])
def test_an_address_without_a_host_is_a_usage_error(url: str):
    with pytest.raises(UsageError):
        source.make(CameraSettings(name="cam1", source=SourceText(url)))


# ---- RTSP ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def rtsp() -> Iterator[RtspServer]:
    with RtspServer(SCENE, frames=90, account=f"user:{SECRET}") as server:
        yield server


@pytest.mark.gstreamer
def test_h264_comes_without_a_backlog(rtsp: RtspServer):
    before = clock.now()
    video = opened(rtsp.url)
    assert clock.now() - before < 5
    view = np.zeros((360, 640, 3), np.uint8)
    seen = []
    started = clock.now()
    for frame in range(60):
        assert video.grab(frame)
        assert video.retrieve(view) is view
        seen.append(read_number(view))
    assert is_run_on(seen)
    assert seen.count(None) <= 1  # a picture before the first whole one
    # Pictures that had piled up would come faster than the camera makes them.
    assert clock.now() - started > 59 / 30 - 0.25
    video.close()


@pytest.mark.gstreamer
def test_an_rtsp_camera_that_refuses_says_why(rtsp: RtspServer):
    assert refusal(rtsp.url.replace("user", "other")).reason == "unauthorised"
    assert refusal(rtsp.url.replace("/cam", "/nowhere")).reason == "not_found"


@pytest.mark.gstreamer
def test_an_rtsp_camera_that_freezes_and_one_that_dies():
    with RtspServer(SCENE, frames=30) as server:
        video = opened(server.url, read_timeout_s=1.5)
        assert video.grab(0)
        os.kill(server.pid, signal.SIGSTOP)
        before = clock.now()
        assert grab_until_it_fails(video).reason == "timeout"
        assert clock.now() - before < 7.5
        os.kill(server.pid, signal.SIGCONT)
        video.close()
        video = opened(server.url)
        assert video.grab(0)
        server.kill()
        assert grab_until_it_fails(video).reason == "closed"
        video.close()
