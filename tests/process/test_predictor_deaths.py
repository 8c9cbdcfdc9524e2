"""Predictors that end their worker or keep what is not theirs: the client learns how, each time."""

from __future__ import annotations

import json
import os
import re
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import deadly
import psutil
from faults import limits, sabotage
from runs import Run, assert_balanced
from waiting import SCALE, wait_until
from websockets.sync.client import connect

if TYPE_CHECKING:
    from collections.abc import Iterator

FILE = Path(__file__).parent / "deadly.py"
QUICK = limits(state_every_s=0.2, restart_first_s=0.05, restart_cap_s=0.1, restarts=100)


def _read(run: Run, go: Path | None = None) -> Iterator[dict[str, Any]]:
    """Everything a client is told that wants every message; `go` is made once it has its first."""
    with connect(f"{run.ws}?delivery=every", proxy=None) as client:
        while True:
            yield json.loads(client.recv(timeout=20 * SCALE))
            if go:
                go.touch()


def _live_through(run: Run, go: Path) -> tuple[list[str], dict[str, list[Any]]]:
    """How workers ended, and the gaps by camera, once each camera has had its result after them."""
    ends: list[str] = []
    gaps: dict[str, list[Any]] = {}
    alive: set[str] = set()
    for message in _read(run, go):
        if message["type"] == "status" and message["reason"] == "died":
            ends.append(message["message"])
        elif message["type"] == "gap":
            gaps.setdefault(message["camera"], []).append(message)
        elif message["type"] == "result" and message["camera"] in gaps:
            alive.add(message["camera"])
        if alive >= set(deadly.ENDS) and len(ends) == len(deadly.ENDS):
            return ends, gaps
    raise AssertionError


def test_each_death_is_reported_with_its_cause_and_loses_one_frame(tmp_path: Path) -> None:
    sources = [f"{name}=demo?size=160x120&fps=10" for name in ("quiet", *deadly.ENDS)]
    env = QUICK | {"DEADLY_FOLDER": str(tmp_path)}
    with Run(*sources, "-p", f"{FILE}:predict", "-w", "2", env=env) as run:
        ends, gaps = _live_through(run, tmp_path / "go")
        assert sorted(ends) == sorted(how for _, how in deadly.ENDS.values())
        for camera in deadly.ENDS:
            (gap,) = gaps[camera]
            seq = int((tmp_path / camera).read_text())
            assert (gap["first_seq"], gap["last_seq"]) == (seq, seq)
            assert gap["missed_by"] == {"lost": 1}
        state = run.fresh_state()
        assert {name: facts.lost_by for name, facts in state.cameras.items()} == {
            "quiet": {},
            **{name: {"worker_died": 1} for name in deadly.ENDS},
        }
        assert_balanced(state)


def _kept(
    run: Run, workers: int, go: Path, count: int = 8
) -> tuple[dict[int, list[str]], dict[int, list[Any]]]:
    """The errors and the values of each worker, once each has had `count` of these."""
    errors: dict[int, list[str]] = {}
    values: dict[int, list[Any]] = {}
    for message in _read(run, go):
        if message["type"] == "error":
            errors.setdefault(message["worker"], []).append(message["error"]["kind"])
        elif message["type"] == "result" and message["result"] != "kept":
            values.setdefault(message["worker"], []).append(message["result"])
        if len(values) == workers and min(map(len, values.values())) >= count:
            return errors, values
    raise AssertionError


def test_a_predictor_that_keeps_an_image_is_warned_once_and_gets_copies(tmp_path: Path) -> None:
    sources = [f"cam{number}=demo?size=160x120&fps=25" for number in range(4)]
    env = QUICK | {"DEADLY_FOLDER": str(tmp_path)}
    with Run(*sources, "-p", f"{FILE}:Keeper", "-w", "4", env=env) as run:
        errors, values = _kept(run, 4, tmp_path / "go")
        assert errors == {}
        assert {each[0]["way"] for each in values.values()} == set(deadly.Keeper.WAYS)
        assert not any(value["changed"] for each in values.values() for value in each)
        assert run.log().count("keeps the image") == 4
        assert_balanced(run.fresh_state())


def test_without_counting_references_what_it_keeps_would_change(tmp_path: Path) -> None:
    broken = sabotage(
        tmp_path, "framefan_inference.worker.worker", "import sys\nsys.getrefcount = lambda _: 2"
    )
    env = QUICK | broken | {"DEADLY_FOLDER": str(tmp_path)}
    source = "cam=demo?size=160x120&fps=50"
    with Run(source, "-p", f"{FILE}:Keeper", "-w", "1", env=env) as run:
        errors, values = _kept(run, 1, tmp_path / "go", count=30)
        assert not errors
        assert any(value["changed"] for value in values[1])


def test_neither_a_thread_left_behind_nor_a_failing_close_holds_up_the_end() -> None:
    with Run("cam=demo?size=160x120&fps=10", "-p", f"{FILE}:Lingers", env=limits(grace_s=1)) as run:
        assert any(message.get("result") == "lingers" for message in _read(run))
    assert re.search(
        r"failed in close: RuntimeError: cannot close \(deadly.py, line \d+", run.log()
    )


FORKS = """
import os, signal
from pathlib import Path

forked = 0

def predict(image):
    global forked
    if forked < 2:
        forked += 1
        pid = os.fork()
        while not pid:
            signal.pause()
        Path(__file__).with_name(f"pid{forked}").write_text(str(pid))
    return len(image)
"""


def test_a_process_that_a_predictor_forked_ends_by_signals_and_does_not_delay_the_stop(
    tmp_path: Path,
) -> None:
    file = tmp_path / "forks.py"
    file.write_text(FORKS)
    source = "cam=demo?size=160x120&fps=10"
    with Run(source, "-p", f"{file}:predict", "-w", "1", "--log-level", "debug") as run:
        pids = [tmp_path / "pid1", tmp_path / "pid2"]
        first, second = (
            int(wait_until(lambda each=each: each.exists() and each.read_text(), 20, "a fork"))
            for each in pids
        )
        os.kill(first, signal.SIGTERM)
        wait_until(lambda: _has_ended(first), 10, "the end of a fork by SIGTERM")
        assert not _has_ended(second)
        assert run.stop() == 0
        assert "killed at stop" not in run.log()
    wait_until(lambda: _has_ended(second), 10, "the end of the other")


def _has_ended(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
