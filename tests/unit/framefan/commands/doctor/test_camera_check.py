"""The first picture of a camera, or why there is none: whatever it does, within a time."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import psutil
import pytest
from fake_camera import FakeCamera, Garbage, Stall, Status
from waiting import is_within

from framefan.base import clock
from framefan.commands.doctor import camera_check
from framefan.errors import FramefanError
from framefan.ipc.tryout import Picture
from framefan.settings.run import CameraSettings
from framefan.settings.secret import SourceText

HERE = psutil.Process()


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


def settings(source: str, name: str = "c", **fields: Any) -> CameraSettings:
    quick = {"open_timeout_s": 1.0, "read_timeout_s": 1.0}
    return CameraSettings(name=name, source=SourceText(source), **quick | fields)


def tried(source: str, **fields: Any) -> Picture | FramefanError:
    (seen,) = camera_check.take([settings(source, **fields)])
    return seen


def failed(source: str) -> str:
    """All it says of a camera that fails, in one text."""
    seen = tried(source)
    assert isinstance(seen, FramefanError)
    assert seen.what
    assert seen.fix
    return " ".join(seen.lines())


def test_a_camera_that_gives_pictures() -> None:
    with FakeCamera("rtsp", size=(320, 240)) as camera:
        seen = tried(camera.url)
    assert isinstance(seen, Picture)
    assert (seen.width, seen.height) == (320, 240)
    assert 0 < seen.after_s < 10


@pytest.mark.parametrize(("step", "word"), [(Status(401), "password"), (Status(404), "path")])
def test_what_an_rtsp_camera_answers_is_told(step: Any, word: str) -> None:
    with FakeCamera("rtsp") as camera:
        camera.play(step)
        said = failed(camera.url.replace("rtsp://", "rtsp://admin:hunter2@"))
    assert word in said
    assert "hunter2" not in said


@pytest.mark.parametrize("kind", ["rtsp", "http"])
def test_what_is_no_camera_and_what_says_nothing(kind: Any) -> None:
    with FakeCamera(kind) as camera:
        for step in (Garbage(), Stall()):
            camera.play(step)
            failed(camera.url)


def test_nobody_at_that_port_and_no_such_webcam() -> None:
    said = failed("rtsp://admin:hunter2@127.0.0.1:1/x")
    assert "refused the connection on port 1" in said
    assert "hunter2" not in said
    assert "/dev/video97" in failed("97")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def frames(): yield 1", "no picture"),
        ("def frames(): raise ValueError('no licence')", "my.py:1: ValueError: no licence"),
        ("def frames(): return None", "no good picture"),
        ("def other(): yield 1", 'has no "frames"'),
        ("import nowhere_to_be_found", "nowhere_to_be_found"),
        ("import os; os._exit(3)", "without a message (exit code 3)"),
        ("def frames(where): yield 1", "without arguments"),
        ("import sys; sys.exit(0)", "does not import"),
    ],
)
def test_functions_of_the_users_that_fail(text: str, words: str) -> None:
    Path("my.py").write_text(text)
    assert words in failed("py:my.py:frames")


def test_a_function_that_prints_and_then_hangs_in_closing() -> None:
    Path("my.py").write_text(
        "import numpy, time\n"
        "def frames():\n"
        "    print('{} hello', flush=True)\n"
        "    try:\n"
        "        yield numpy.zeros((48, 64), numpy.uint8)\n"
        "    finally:\n"
        "        time.sleep(600)\n"
    )
    seen = tried("py:my.py:frames", open_timeout_s=0.1, read_timeout_s=0.1)
    assert isinstance(seen, Picture)
    assert (seen.width, seen.height) == (64, 48)


def test_those_that_hang_are_ended_side_by_side(monkeypatch) -> None:
    monkeypatch.setattr(camera_check, "GRACE_S", 1.0)
    Path("my.py").write_text("import time\ndef frames():\n    time.sleep(600)\n")
    began = clock.now()
    seen = list(camera_check.take([settings("py:my.py:frames", name=f"c{i}") for i in range(4)]))
    assert is_within(began, 3 * 3.0), "3 s each"
    assert [str(each) for each in seen] == ["no picture within 3 s"] * 4
    assert not HERE.children()


def test_no_argv_shows_an_address(monkeypatch) -> None:
    seen = []

    def look(command: list[str], **options: Any) -> Any:
        seen.append(" ".join(command) + str(options["env"]))
        return subprocess.CompletedProcess(command, 1, b"", b"")

    monkeypatch.setattr(subprocess, "run", look)
    monkeypatch.setenv("FRAMEFAN_SOURCES", "rtsp://u:hunter2@h/x")
    failed("rtsp://u:hunter2@h/x")
    assert seen
    assert "hunter2" not in seen[0]
