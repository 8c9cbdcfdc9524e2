"""Network cameras played by standard servers: Python's for HTTP, GStreamer's for RTSP."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fakes_sources import MjpegServer, RtspServer
from network_words import SECRET, grab_until_it_fails, is_run_on, numbers, refusal
from waiting import is_within

from framefan.base import clock
from framefan_capture.sources.scene import Scene, read_number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from network_words import Open

SCENE = Scene(640, 360)


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
    assert is_within(before, 5)
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
        assert is_within(before, 7.5)
        os.kill(server.pid, signal.SIGCONT)
        source.close()
        source = opened(server.url)
        assert source.grab(0)
        server.kill()
        assert grab_until_it_fails(source).reason == "closed"
