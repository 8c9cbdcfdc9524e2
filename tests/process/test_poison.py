"""A camera whose frames kill their workers: it is left out, and the other one goes on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from camera_runs import GOOD, CameraRun
from faults import limits, sabotage
from waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from framefan.ipc.records import StatusRecord

pytestmark = pytest.mark.alone

POISON = """
import os, pathlib
FLAG = pathlib.Path({flag!r})
def predict(image, frame):
    if frame.camera == "bad" and FLAG.exists():
        os.kill(os.getpid(), 11)
    return 1
"""
DEATHS = 3
OFTEN = limits(
    state_every_s=0.1, restart_first_s=0.2, circuit_deaths=DEATHS, circuit_retry_s=2.0, restarts=3
)
"""So few restarts that these deaths, if they counted as such, would make the worker fail."""


def told(run: CameraRun, state: str) -> list[StatusRecord]:
    return [each for each in run.statuses("bad", state) if each.subject == "predictor"]


def poison_and_heal(folder: Path, env: dict[str, str] | None = None) -> None:
    flag = folder / "poison"
    (folder / "own.py").write_text(POISON.format(flag=str(flag)))
    bad = {"source": "demo?size=160x120&fps=20"}
    arguments = ["-w", "2", "-p", f"{folder / 'own.py'}:predict"]
    with CameraRun(folder, {"bad": bad}, *arguments, env=OFTEN | (env or {})) as run:
        run.wait_for_results("bad")
        flag.touch()
        (opened, *_) = wait_until(lambda: told(run, "open"), 8, "the circuit to open")
        assert "workers died within" in opened.message
        assert opened.next_try_s == 2.0

        def lost() -> int:
            return run.camera("bad").lost_by.get("worker_died", 0)

        wait_until(lambda: lost() >= DEATHS, 5, "what the dead had in hand")
        run.wait_for_results(GOOD, 20, 5)
        wait_until(lambda: run.camera("bad").superseded_by.get("circuit", 0) > 5, 5, "the circuit")
        dead = lost()
        trials = len(told(run, "half_open"))  # on a busy machine one may be over by now
        assert dead <= DEATHS + 1 + trials, "it goes on killing"
        wait_until(lambda: len(told(run, "open")) > 1, 10, "a trial that fails")
        flag.unlink()
        wait_until(lambda: told(run, "closed"), 10, "a trial that succeeds")
        assert len(told(run, "half_open")) >= 2
        run.wait_for_results("bad")

        def are_up() -> bool:
            workers = run.fresh_state().workers
            return all(worker.state in ("ready", "busy") for worker in workers)

        wait_until(are_up, 10, "the successors of the dead")
        assert sum(worker.restarts for worker in run.fresh_state().workers) > DEATHS
        run.assert_good_is_unharmed()


def test_poison_is_left_out_and_tried_again(tmp_path: Path) -> None:
    poison_and_heal(tmp_path)


@pytest.mark.parametrize(
    ("guard", "fails"),
    [
        (
            "circuit as m\nm.CircuitBreaker.died = lambda self, cameras, now: []",
            "the circuit to open",
        ),
        ("circuit as m\nm.CircuitBreaker.admits = lambda *_, **__: True", "circuit|good"),
    ],
)
def test_without_the_circuit_it_kills_on(guard: str, fails: str, tmp_path: Path) -> None:
    code = f"import framefan_inference.leases.{guard}"
    with pytest.raises((AssertionError, KeyError), match=fails):
        poison_and_heal(tmp_path, sabotage(tmp_path, "framefan_inference.main", code))
