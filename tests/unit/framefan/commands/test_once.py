"""`framefan once`: one result, or why there is none."""

from __future__ import annotations

import json
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from faults import limits
from runs import framefan
from waiting import SCALE, is_within

from framefan.base import clock
from framefan.commands import once
from framefan.settings.states import REMEDIES


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"XDG_RUNTIME_DIR": str(tmp_path)}


def test_a_dead_camera_says_its_state_reason_and_message_and_ends_early(env) -> None:
    source = "rtsp://admin:hunter2@127.0.0.1:1/live"
    began = time.monotonic()
    done = framefan("once", source, "--timeout", "60", env=env, seconds=50)
    assert is_within(began, 40), "it need not wait for the time limit"
    assert done.returncode == 1
    assert "framefan: no result after " in done.stderr
    assert "why: the camera cam1 is backoff (refused): " in done.stderr
    assert "do:  check the port" in done.stderr
    assert "hunter2" not in done.stderr
    assert done.stdout == ""


DETECTION = {"label": "a, b", "confidence": 0.8, "box": [1.5, 2, 3, 4]}


@pytest.mark.parametrize("detections", [[], [DETECTION], [DETECTION] * 3])
def test_a_result_is_a_few_lines_of_json(detections) -> None:
    facts = {"type": "result", "latency_ms": {"wait": 1.0, "total": 7.06}, "why": "x, \ny" * 30}
    facts |= {f"fact{number}": number for number in range(20)}
    message = {**facts, "detections": detections, "result": {"a": ["b"]}, "none": [], "last": 1}
    told = once.readable(message)
    assert json.loads(told) == message
    assert len(told.splitlines()) < 12 + len(detections)
    assert sum(len(line) > 100 for line in told.splitlines()) <= 1, "one value is that long"
    assert json.loads(once.readable({"a": [DETECTION]})) == {"a": [DETECTION]}


def test_it_takes_name_track_and_device(env, tmp_path) -> None:
    model = tmp_path / "model.py"
    model.write_text(
        "from framefan.ipc.records import Detection\n"
        "class Model:\n"
        "    def setup(self, device): self.device = device\n"
        "    def predict(self, image): return [Detection(self.device, 0.9, (10, 10, 50, 50))]\n"
    )
    source, options = "demo?size=160x120&fps=10", ("--name", "mine", "--track", "--device", "cpu")
    done = framefan("once", source, "-p", f"{model}:Model", *options, env=env, seconds=40)
    assert done.returncode == 0, done.stderr
    (detection,) = json.loads(done.stdout)["detections"]
    assert detection["label"] == "cpu"
    assert "track_id" in detection
    refused = framefan("once", source, "--name", "two words", env=env)
    assert (refused.returncode, "two words" in refused.stderr) == (2, True), refused.stderr


def test_what_is_set_for_runs_that_people_look_at_is_not_for_it(env, tmp_path) -> None:
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f"#!/bin/sh\ntouch {opened}\n")
    browser.chmod(0o755)
    env |= {"BROWSER": str(browser), "FRAMEFAN_OPEN": "1", "FRAMEFAN_ORIGIN": "null"}
    done = framefan("once", "demo?size=160x120", env=env, seconds=40)
    assert (done.returncode, done.stderr) == (0, "")
    assert not opened.exists()


def test_variables_count_and_flags_go_before_them(env, tmp_path) -> None:
    for name in ("mine", "other"):
        (tmp_path / f"{name}.py").write_text(f"def predict(image): return {{'{name}': 1}}\n")
    env |= {
        "FRAMEFAN_PREDICTOR": f"{tmp_path}/mine.py:predict",
        "FRAMEFAN_SOURCES": "'gate=demo?size=160x120&seed=7'",
    }
    done = framefan("once", "--json", env=env, seconds=40)
    result = json.loads(done.stdout)
    assert (result["camera"], result["width"], result["result"]) == ("gate", 160, {"mine": 1})
    flags = ("yard=demo?size=320x240", "-p", f"{tmp_path}/other.py:predict")
    done = framefan("once", *flags, "--json", env=env, seconds=40)
    result = json.loads(done.stdout)
    assert (result["camera"], result["width"], result["result"]) == ("yard", 320, {"other": 1})
    env["FRAMEFAN_SOURCES"] = "demo demo?seed=2"
    several = framefan("once", env=env)
    assert several.returncode == 2
    assert "FRAMEFAN_SOURCES names 2 sources" in several.stderr


def test_the_time_limit_ends_it_too(env) -> None:
    done = framefan("once", "rtsp://127.0.0.1:1/live", "--timeout", "2", env=env)
    assert done.returncode == 1
    assert "framefan: no result within 2 s" in done.stderr


def test_which_trouble_is_not_waited_for(monkeypatch) -> None:
    now = 0.0
    monkeypatch.setattr(clock, "now", lambda: now)
    trouble = once._Trouble()

    def hear(state: str, reason: str = "", subject: str = "camera") -> bool:
        """Whether it lasts by now."""
        told = {"subject": subject, "camera": "c", "state": state, "reason": reason}
        trouble.hear(told | {"message": "m"})
        return trouble.is_lasting

    assert not hear("backoff", "unauthorised")
    now = 3.5
    assert hear("connecting"), "that is but the next try"
    assert hear("backoff", "no_answer", subject="pool")
    assert trouble.reason == ("the camera c is backoff (unauthorised): m", REMEDIES["unauthorised"])
    assert not hear("backoff", "timeout"), "it may be on again in a moment"
    now = 10.0
    assert not hear("backoff", "refused")
    assert not hear("live")
    assert trouble.reason is None


def test_a_run_that_fails_at_once_passes_its_error_on(env, tmp_path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("import nowhere_to_be_found")
    began = time.monotonic()
    done = framefan("once", "-p", f"{broken}:predict", env=env)
    assert done.returncode == 3, done.stderr
    assert "nowhere_to_be_found" in done.stderr
    assert is_within(began, 25), "it need not wait for the time limit"
    bad = framefan("once", "demo?size=1x1", env=env)
    assert bad.returncode == 2
    assert "size" in bad.stderr


def test_a_predict_that_does_not_return_is_reported(env, tmp_path) -> None:
    slow = tmp_path / "slow.py"
    slow.write_text("import time\ndef predict(image):\n    time.sleep(60)\n")
    command = ("once", "-p", f"{slow}:predict", "--timeout", f"{5 * SCALE:g}")
    done = framefan(*command, env=env | limits(grace_s=1), seconds=60)
    assert done.returncode == 1
    assert "why: frames arrive, but predict has not returned" in done.stderr


@pytest.mark.parametrize("source", ["film.avi", "picture.png", "picture*.png", "demo?fps=200"])
def test_the_first_frame_is_the_result(env, tmp_path, monkeypatch, source: str) -> None:
    """Not the one that is there when the first client is."""
    monkeypatch.chdir(tmp_path)
    film = cv2.VideoWriter("film.avi", cv2.VideoWriter_fourcc(*"MJPG"), 100, (64, 48))
    for grey in range(0, 250, 5):
        film.write(np.full((48, 64, 3), grey, np.uint8))
    film.release()
    for number in range(3):
        cv2.imwrite(f"picture{number or ''}.png", np.full((48, 64, 3), 50 * number, np.uint8))
    done = framefan("once", source, "--json", env=env, seconds=40)
    assert json.loads(done.stdout)["frame"] == 0, done.stderr
