"""`framefan once`: one result, or why there is none."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from runs import framefan


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    return {"XDG_RUNTIME_DIR": str(tmp_path)}


def test_a_dead_camera_says_its_state_reason_and_message(env) -> None:
    source = "rtsp://admin:hunter2@127.0.0.1:1/live"
    done = framefan("once", source, "--timeout", "6", env=env)
    assert done.returncode == 1
    assert "framefan: no result within 6 s" in done.stderr
    assert "why: the camera cam1 is backoff (refused): " in done.stderr
    assert "hunter2" not in done.stderr
    assert done.stdout == ""


def test_a_run_that_fails_at_once_passes_its_error_on(env, tmp_path) -> None:
    broken = tmp_path / "broken.py"
    broken.write_text("import nowhere_to_be_found")
    began = time.monotonic()
    done = framefan("once", "-p", f"{broken}:predict", env=env)
    assert done.returncode == 3, done.stderr
    assert "nowhere_to_be_found" in done.stderr
    assert time.monotonic() - began < 25, "it need not wait for the time limit"
    bad = framefan("once", "demo?size=1x1", env=env)
    assert bad.returncode == 2
    assert "size" in bad.stderr


def test_a_predict_that_does_not_return_is_told(env, tmp_path) -> None:
    slow = tmp_path / "slow.py"
    slow.write_text("import time\ndef predict(image):\n    time.sleep(60)\n")
    done = framefan("once", "-p", f"{slow}:predict", "--timeout", "5", env=env)
    assert done.returncode == 1
    assert "why: frames come, but predict has not returned" in done.stderr
