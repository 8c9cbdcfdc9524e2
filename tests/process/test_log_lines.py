"""What a run's log says of an orderly stop and of a camera that is dead, and a rotated log file."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path

import pytest
from runs import Run
from waiting import wait_until


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_stop_of_the_whole_group_reads_like_a_stop(number: signal.Signals) -> None:
    with Run("front=demo?size=160x120", "-w", "2", stop=False) as run:
        before = len(run.log())
        run.descendants()
        os.killpg(run.process.pid, number)
        assert run.process.wait(20) == 0
        said = run.log()[before:]
    assert "stopping: received a stop signal" in said
    for word in ("worker ended", " died", "error:", "warning:", "next_start_s"):
        assert word not in said, said


def test_a_worker_that_somebody_terminates_is_still_told() -> None:
    with Run("front=demo?size=160x120", "-w", "1") as run:
        os.kill(run.pid_of("worker"), signal.SIGTERM)
        told = "warning: worker ended  worker=1  how=killed by SIGTERM"
        wait_until(lambda: told in run.log(), 10, "a line of it")


def test_a_log_file_may_be_copied_and_truncated_and_may_be_moved(tmp_path: Path) -> None:
    """As logrotate does with `copytruncate`, and without it; the log was opened by `2>>`."""
    file, moved = tmp_path / "framefan.log", tmp_path / "framefan.log.1"
    with file.open("ab") as log, Run("front=demo?size=160x120", prints_to=log.fileno()) as run:
        wait_until(lambda: b"framefan is ready" in file.read_bytes(), 10, "the first lines")
        os.truncate(file, 0)
        _kill_a_worker(run)
        wait_until(lambda: b"worker ended" in file.read_bytes(), 10, "a line of it")
        assert b"\0" not in file.read_bytes()
        assert b"framefan is ready" not in file.read_bytes()
        file.rename(moved)
        before = moved.stat().st_size
        _kill_a_worker(run)
        wait_until(lambda: b"worker ended" in moved.read_bytes()[before:], 10, "a line of it")
        assert not file.exists()


def _kill_a_worker(run: Run) -> None:
    wait_until(lambda: run.fresh_state().workers[0].state in ("ready", "busy"), 20)
    os.kill(run.pid_of("worker"), signal.SIGKILL)


def test_a_dead_camera_is_logged_once_with_fields_for_programs() -> None:
    with Run("gate=rtsp://127.0.0.1:1/x", "front=demo?size=160x120", "--log-format", "json") as run:
        wait_until(lambda: _tries(run) > 3, 20, "tries")
        lines = [json.loads(line) for line in run.log().splitlines() if line.startswith("{")]
    about = [each for each in lines if each.get("camera") == "gate"]
    assert [each["state"] for each in about if each["level"] == "warning"] == ["backoff"]
    assert about[0]["event"] == "camera_state"
    assert all("time" in each for each in lines)


def _tries(run: Run) -> int:
    told = run.get("/metrics")[1].decode()
    found = re.findall(r'state_changes_total\{camera="gate",[^}]*state="backoff"\} (\d+)', told)
    return sum(map(int, found))
