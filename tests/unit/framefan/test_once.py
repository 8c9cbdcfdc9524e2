"""`framefan once`: one result, or why there is none."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from runs import framefan
from waiting import is_within

from framefan import clock, once
from framefan.states import REMEDIES


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


def test_a_predict_that_does_not_return_is_told(env, tmp_path) -> None:
    slow = tmp_path / "slow.py"
    slow.write_text("import time\ndef predict(image):\n    time.sleep(60)\n")
    done = framefan("once", "-p", f"{slow}:predict", "--timeout", "5", env=env)
    assert done.returncode == 1
    assert "why: frames come, but predict has not returned" in done.stderr
