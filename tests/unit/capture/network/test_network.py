"""Opening network cameras: the reason why one does not open, and what a failed try leaves."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import cv2
import pytest
from fake_camera import Close, FakeCamera, Frames, Garbage, HalfAnswer, Redirect, Stall, Status
from network_words import SECRET, SILENCE_S, both, numbers, refusal
from waiting import is_within

from framefan.base import clock
from framefan.errors import SourceError, UsageError
from framefan.settings.run import CameraSettings
from framefan.settings.secret import SourceText
from framefan_capture.network.opencv_stream import NetworkSource, ffmpeg_options

if TYPE_CHECKING:
    from fake_camera import Step
    from network_words import Open


def test_options_of_ffmpeg_name_the_transport_and_forbid_files():
    assert "rtsp_transport;udp" in ffmpeg_options("rtsp", "udp")
    assert "rtsp_transport;tcp" in ffmpeg_options("rtsp", "tcp")
    for kind in ("rtsp", "http"):
        whitelist = ffmpeg_options(kind, "tcp").partition("protocol_whitelist;")[2].split(",")
        assert "tcp" in whitelist
        assert not {"file", "concat", "subfile", "data", "pipe"} & set(whitelist)


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
        assert is_within(before, SILENCE_S + 1.5)


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


def test_what_opencv_raises_is_told_without_its_text():
    class Raising:
        def retrieve(self, view: object) -> None:
            raise cv2.error(f"in rtsp://user:{SECRET}@camera")

    source = NetworkSource(CameraSettings(name="cam1", source=SourceText("rtsp://camera")))
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
from framefan.settings.secret import SourceText
from framefan.settings.run import CameraSettings
from framefan_capture import kinds

urls = sys.argv[1:]
sources = [kinds.make(CameraSettings(name="c", source=SourceText(url))) for url in urls]

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


FLAPS = """
import os, sys
from framefan.errors import SourceError
from framefan.settings.secret import SourceText
from framefan.settings.run import CameraSettings
from framefan_capture import kinds

sources = [kinds.make(CameraSettings(name="c", source=SourceText(url))) for url in sys.argv[1:]]

def flap(times):
    for _ in range(times):
        for each in sources:
            each.open()
            while True:
                try:
                    each.grab(0)
                    each.retrieve(None)
                except SourceError:
                    break
            each.close()

def held():
    pages = int(open("/proc/self/statm").read().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir("/proc/self/fd"))

flap(15)
before = held()
flap(40)
print(*[b - a for a, b in zip(before, held())])
"""


def test_streams_that_come_and_go_leave_nothing():
    with FakeCamera("http") as one, FakeCamera("rtsp") as other:
        for camera in (one, other):
            camera.play(Frames(2, fps=100), Close())
        command = [sys.executable, "-c", FLAPS, one.url, other.url]
        quiet = os.environ | {"OPENCV_LOG_LEVEL": "OFF", "OPENCV_FFMPEG_LOGLEVEL": "-8"}
        said = subprocess.run(command, env=quiet, stdout=subprocess.PIPE, timeout=100, check=True)
        memory, files = map(int, said.stdout.split())
        assert memory < 2 << 20
        assert files == 0
