"""Cameras that change the size of their pictures in mid-stream, and those that do not."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from fake_camera import FakeCamera, Frames, Garbage, Stall, Status
from fakes_sources import SYSTEM_PYTHON
from waiting import SCALE, is_within, wait_until

from framefan.base import clock
from framefan.settings.run import CameraSettings
from framefan.settings.secret import SourceText
from framefan_capture.network import opencv_stream as network
from framefan_capture.network.opencv_stream import NetworkSource
from framefan_capture.network.size_check import SizeCheck
from framefan_capture.sources.scene import read_number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fake_camera import Step

SMALL, LARGE = (640, 480), (1280, 720)
CHANGES = [(SMALL, LARGE), (LARGE, SMALL), ((320, 240), (240, 320))]
FALSE_ALARMS_S = float(os.environ.get("FRAMEFAN_FALSE_ALARMS_S", "5"))
"""How long a stream that keeps its size is watched; 60 is the long form."""

both = pytest.mark.parametrize("protocol", ["rtsp", "http"])


class Viewer:
    """Decodes into slots, as capture does, and notes sizes as they come."""

    def __init__(self, url: str, size: tuple[int, int]) -> None:
        self.source = NetworkSource(
            CameraSettings(name="cam1", source=SourceText(url), read_timeout_s=5 * SCALE)
        )
        self.source.open()
        self.size = size
        self._slots = [np.zeros((size[1], size[0], 3), np.uint8) for _ in range(5)]
        self._frame = 0

    def see(self) -> np.ndarray:
        self.source.grab(self._frame)
        self._frame += 1
        image = self.source.retrieve(self._slots[self._frame % 5])
        height, width = image.shape[:2]
        self.size = width, height
        return image

    def until(self, size: tuple[int, int], seconds: float) -> float:
        """Seconds until pictures have this size."""
        began = clock.now()
        while self.size != size:
            assert is_within(began, seconds), "the size did not come"
            self.see()
        return clock.now() - began


@contextlib.contextmanager
def viewer(url: str, size: tuple[int, int]) -> Iterator[Viewer]:
    one = Viewer(url, size)
    yield one
    one.source.close()


def change(camera: FakeCamera, first: tuple[int, int], second: tuple[int, int]) -> None:
    """Its coming connection changes the size after 40 pictures; all later ones have the new one."""
    camera.play(Frames(fps=50, size=second))
    camera.next(Frames(40, fps=50, size=first), Frames(fps=50, size=second))


@both
@pytest.mark.parametrize(("first", "second"), CHANGES)
def test_pictures_of_the_new_size_come_within_two_seconds(
    protocol: str, first: tuple[int, int], second: tuple[int, int]
):
    with FakeCamera(protocol, first) as camera:
        change(camera, first, second)
        with viewer(camera.url, first) as seen:
            while camera.frames < 38:
                seen.see()  # which may take so long that the camera has gone on
                assert seen.size == first or camera.frames >= 40
            seen.until(second, 2)
            assert read_number(seen.see()) is not None


def test_without_suspicion_it_is_never_noticed(monkeypatch: pytest.MonkeyPatch):
    """What the test above would show if OpenCV told of it."""
    monkeypatch.setattr(network.ResizeDetector, "asks", lambda self, now: False)
    with FakeCamera("http", SMALL) as camera:
        change(camera, SMALL, LARGE)
        with viewer(camera.url, SMALL) as seen:
            while camera.frames < 120:
                seen.see()
            assert seen.size == SMALL


@pytest.mark.gstreamer
@pytest.mark.parametrize(("first", "second"), [("640x480", "1280x720"), ("1280x720", "640x360")])
def test_h264_of_another_size(first: str, second: str):
    script = Path(__file__).parents[3] / "gst_resizing_camera.py"
    command = [SYSTEM_PYTHON, str(script), first, second, "25", "1.9"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        port = int(server.stdout.readline())
        sizes = [tuple(map(int, size.split("x"))) for size in (first, second)]
        with viewer(f"rtsp://127.0.0.1:{port}/cam", sizes[0]) as seen:
            began = clock.now()
            seen.see()
            seen.until(sizes[1], 6)
            assert is_within(began, 4)
        server.stdin.close()


def test_after_a_gap_the_camera_is_asked_too():
    """Sizes that OpenCV converts alike betray themselves by what happens at the change."""
    with FakeCamera("http", (641, 481)) as camera:
        camera.play(Frames(fps=50, size=(643, 483)))
        camera.next(
            Frames(20, fps=50, size=(641, 481)), Stall(0.7), Frames(fps=50, size=(643, 483))
        )
        with viewer(camera.url, (641, 481)) as seen:
            while camera.frames < 19:
                seen.see()
            seen.until((643, 483), 3)


@pytest.mark.parametrize("answer", [(Status(503),), (Stall(),), (Garbage(),)], ids=repr)
def test_a_camera_that_serves_one_session_is_opened_anew_once(answer: tuple[Step, ...]):
    """It does not answer the question, so only a new start tells."""
    with FakeCamera("http", SMALL) as camera:
        camera.play(Frames(fps=50, size=LARGE))
        camera.next(Frames(40, fps=50, size=SMALL), Frames(fps=50, size=LARGE))
        camera.next(*answer)
        with viewer(camera.url, SMALL) as seen:
            while camera.frames < 38:
                seen.see()
            seen.until(LARGE, 5)


def test_one_that_costs_more_for_another_reason_goes_on(monkeypatch: pytest.MonkeyPatch):
    with FakeCamera("http", SMALL) as camera:
        camera.play(Frames(fps=50))
        monkeypatch.setattr(network.ResizeDetector, "is_dear", True)
        with viewer(camera.url, SMALL) as seen:
            video = seen.source._video
            while camera.requests["GET"] < 2:
                seen.see()
            for _ in range(25):
                seen.see()
            assert seen.source._video is video
            assert camera.requests["GET"] == 2


@both
def test_no_false_alarms_under_load(protocol: str):
    work = "import numpy as np\na = np.ones(3_000_000)\nwhile True: a += 1"
    with contextlib.ExitStack() as stack, FakeCamera(protocol, SMALL) as camera:
        camera.play(Frames(fps=25))
        seen = stack.enter_context(viewer(camera.url, SMALL))
        video = seen.source._video
        for _ in range(30):
            seen.see()
        for _ in range(3):
            loop = stack.enter_context(subprocess.Popen([sys.executable, "-c", work]))
            stack.callback(loop.kill)
        until = clock.now() + FALSE_ALARMS_S
        while clock.now() < until:
            seen.see()
        assert seen.source._video is video


def test_a_question_that_hangs_holds_up_nobody():
    with FakeCamera("http", SMALL) as camera:
        camera.play(Stall())
        camera.next(Frames(fps=50))
        with viewer(camera.url, SMALL) as seen:
            seen.source._check = SizeCheck(seen.source._url, seen.source._parameters)
            for _ in range(10):
                began = clock.now()
                seen.see()
                assert is_within(began, 0.5)
            check = seen.source._check
            began = clock.now()
        assert is_within(began, 0.3)
        wait_until(lambda: check.is_done, 5)
        assert check.size is None


ENDING = """
import sys
from framefan.settings.secret import SourceText
from framefan.settings.run import CameraSettings
from framefan_capture.network.opencv_stream import NetworkSource, SizeCheck
source = NetworkSource(CameraSettings(name="c", source=SourceText(sys.argv[1])))
source.open()
source._check = SizeCheck(source._url, source._parameters)
source.close()
"""


def test_a_process_that_ends_while_it_asks_ends_well():
    """A thread that comes back out of OpenCV while Python ends aborts the process."""
    with FakeCamera("rtsp") as camera:
        for _ in range(4):
            subprocess.run([sys.executable, "-c", ENDING, camera.url], check=True, timeout=30)
