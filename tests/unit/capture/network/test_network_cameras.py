"""The real capture process at cameras of the network: there, gone, refusing and silent."""

from __future__ import annotations

import itertools
import os
import signal
import socket
from typing import TYPE_CHECKING

import pytest
from fake_camera import FakeCamera, Frames, Garbage, Stall, Status
from fake_pool import FakePool, balanced
from fakes_sources import MjpegServer, RtspServer
from waiting import is_within, wait_until

from framefan.base import clock
from framefan_capture.sources.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Callable

    Start = Callable[..., FakePool]

SCENE = Scene(320, 240)
SECRET = "s3cr3t"


def test_http_end_to_end_and_back_after_the_camera_was_gone(start: Start):
    with MjpegServer(SCENE, account=f"user:{SECRET}") as camera:
        pool = start(camera.url, backoff_first_s=0.2, backoff_cap_s=0.4)
        pool.until(lambda p: len(p.ready) >= 20)
        assert None not in pool.numbers
        seen = len(pool.ready)
        camera.status = 500
        camera.drop_clients()
        pool.until(lambda p: p.state == "backoff")
        failed = next(status for status in pool.statuses if status.state == "backoff")
        assert failed.reason == "closed"
        assert failed.next_try_s is not None
        assert 0 <= failed.next_try_s <= 0.4
        camera.status = 200
        pool.until(lambda p: len(p.ready) >= seen + 20)
        frames = [ready.frame for ready in pool.ready]
        assert frames == sorted(set(frames))
        assert all(SECRET not in status.message for status in pool.statuses)
        pool.until(balanced)


def test_a_dead_camera_costs_next_to_nothing(start: Start):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    pool = start(f"http://user:{SECRET}@127.0.0.1:{port}/cam", backoff_cap_s=1.0)
    pool.until(lambda p: p.state == "backoff")
    assert pool.status.reason == "refused"
    used, since = pool.cpu_s(), clock.now()
    pool.until(lambda p: clock.now() - since > 4)
    assert (pool.cpu_s() - used) / (clock.now() - since) < 0.05
    assert len(pool.progress) >= 4
    pool.stop()
    assert pool.until_exit(1.0) == 0


def test_a_stop_does_not_wait_for_a_camera_that_sends_nothing(start: Start):
    with MjpegServer(SCENE) as camera:
        pool = start(camera.url, read_timeout_s=60.0)
        pool.until(lambda p: len(p.ready) >= 5)
        camera.stalled = True
        seen = -1
        while seen != len(pool.ready):  # until the capture stands in its read
            seen, since = len(pool.ready), clock.now()
            pool.until(lambda p, s=since: clock.now() - s > 0.3)
        pool.stop()
        before = clock.now()
        assert pool.until_exit() == 0
        assert is_within(before, 4)


@pytest.mark.gstreamer
def test_rtsp_end_to_end(start: Start):
    with RtspServer(SCENE, frames=60) as camera:
        pool = start(camera.url)
        pool.until(lambda p: len(p.ready) >= 60)
        known = [number for number in pool.numbers if number is not None]
        assert len(known) >= 59
        steps = {(b - a) % 60 for a, b in itertools.pairwise(known)}
        assert steps == {1} or pool.status.no_slot  # the test itself may be slow with its slots
        assert 15 < pool.status.fps < 40 or len(pool.statuses) < 4


@pytest.mark.parametrize("protocol", ["http", "rtsp"])
def test_what_piled_up_while_the_process_stood_still_is_not_shown(protocol: str, start: Start):
    with FakeCamera(protocol) as camera:
        pool = start(camera.url)
        pool.until(lambda p: len(p.ready) >= 30)
        os.kill(pool.child.process.pid, signal.SIGSTOP)
        missed = camera.frames
        wait_until(lambda: camera.frames >= missed + 75)  # 2.5 s
        newest, shown = camera.frames, len(pool.ready)
        os.kill(pool.child.process.pid, signal.SIGCONT)
        pool.until(lambda p: len(p.ready) >= shown + 20)
        later = [number for number in pool.numbers[shown + 2 :] if number is not None]
        assert min(later) >= newest - 3  # two may have been on their way when it was stopped
        pool.until(lambda p: p.status.no_slot >= 60)
        pool.until(balanced)


def test_a_stop_does_not_wait_for_a_question_that_hangs(start: Start):
    """After a gap the camera was asked for its size, beside the stream, and does not answer."""
    with FakeCamera("rtsp", (640, 480)) as camera:
        camera.play(Stall())
        camera.next(Frames(30, fps=50), Stall(0.7), Frames(fps=50))
        pool = start(camera.url)
        pool.until(lambda p: camera.requests["OPTIONS"] == 2)
        pool.stop()
        before = clock.now()
        assert pool.until_exit() == 0
        assert is_within(before, 1.5)


@pytest.mark.parametrize("protocol", ["http", "rtsp"])
def test_another_size_in_mid_stream_is_a_new_ring_and_no_other_state(protocol: str, start: Start):
    with FakeCamera(protocol, (320, 240)) as camera:
        camera.play(Frames(fps=50, size=(640, 480)))
        camera.next(Frames(60, fps=50), Frames(fps=50, size=(640, 480)))
        pool = start(camera.url)
        pool.until(lambda p: p.ready and p.ready[-1].width == 640)
        seen = len(pool.ready)
        pool.until(lambda p: len(p.ready) >= seen + 10)
        assert {ready.width for ready in pool.ready} == {320, 640}
        assert {status.state for status in pool.statuses} <= {"connecting", "live"}
        frames = [ready.frame for ready in pool.ready]
        assert frames == sorted(set(frames))
        pool.until(balanced)


def test_no_password_on_stderr_whatever_fails(start: Start, capfd: pytest.CaptureFixture[str]):
    with FakeCamera("rtsp", account=f"user:{SECRET}", auth="digest") as camera:
        camera.next(Frames(20))
        camera.next(Garbage(), times=3)  # a try, and two requests that ask for the reason
        camera.next(Status(404), times=3)
        camera.play(Frames(5), Garbage())
        pool = start(camera.url, backoff_first_s=0.05, backoff_cap_s=0.1, read_timeout_s=0.5)
        reasons = {"closed", "not_found", "unreadable"}
        pool.until(lambda p: reasons <= {status.reason for status in p.statuses})
        pool.stop()
        assert pool.until_exit() == 0
        assert all(SECRET not in status.message for status in pool.statuses)
    said = "".join(capfd.readouterr())
    assert SECRET not in said
    assert "rtsp" not in said
