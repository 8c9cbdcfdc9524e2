"""A run with a motion gate: what is predicted, what is told, and who still gets a frame."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

from faults import limits
from prometheus_client.parser import text_string_to_metric_families
from runs import Run, assert_balanced, assert_exactly_once, framefan
from waiting import wait_until
from websockets.sync.client import connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from framefan.ipc.records import CameraFacts

YARD = """
import pathlib, time
import numpy as np
def yard():
    chance, n = np.random.default_rng(1), 0
    while True:
        picture = chance.integers(88, 93, (180, 320, 3), np.uint8)
        if pathlib.Path({there!r}).exists():
            n += 1
            picture[80:110, 7 * n % 300 :][:, :20] = 220
        yield picture
        time.sleep(0.03)
"""
OTHER = "def predict(image):\n    return {'mean': float(image.mean())}\n"


@contextlib.contextmanager
def quiet(folder: Path) -> Iterator[tuple[Run, Path]]:
    """A run whose only camera stands still, until somebody writes the file."""
    there = folder / "there"
    (folder / "yard.py").write_text(YARD.format(there=str(there)))
    (folder / "other.py").write_text(OTHER)
    (folder / "f.toml").write_text(
        f"""predictor = "{folder}/other.py:predict"
workers = 1
[limits]
state_every_s = 0.2
[[camera]]
name = "yard"
source = "py:{folder}/yard.py:yard"
gate = "motion"
gate_keep_s = 600
"""
    )
    with Run("--config", str(folder / "f.toml")) as run:
        wait_until(lambda: is_still(run.camera("yard")), 20, "a closed gate")
        yield run, there


def is_still(facts: CameraFacts) -> bool:
    """Its gate is closed, and what came before is settled."""
    return facts.reason == "still" and not facts.running and not facts.waiting


def left_out(run: Run) -> int:
    return run.camera("yard").superseded_by.get("still", 0)


def changes(run: Run, reason: str) -> float:
    """How often the camera became live for this reason, as the metrics count it."""
    _, page = run.get("/metrics")
    return sum(
        sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
        if sample.name == "framefan_camera_state_changes_total"
        and sample.labels == {"camera": "yard", "state": "live", "reason": reason}
    )


def command(run: Run, *words: str) -> Any:
    env = {"XDG_RUNTIME_DIR": str(run.runtime)}
    return framefan(*words, "--name", run.name, env=env, seconds=60)


def test_a_quiet_camera_costs_no_predict_and_says_so(tmp_path: Path) -> None:
    with quiet(tmp_path) as (run, there):
        outcomes = run.results("yard")
        before, count = run.fresh_state(), left_out(run)
        wait_until(lambda: left_out(run) > count + 60, 20, "frames that are left out")
        after = run.fresh_state()
        for state in (before, after):
            assert_balanced(state)
        assert after.cameras["yard"].leased == before.cameras["yard"].leased
        assert after.cameras["yard"].state == "live"
        assert run.get("/readyz")[0] == 200
        assert b'superseded_total{camera="yard",cause="still"}' in run.get("/metrics")[1]
        assert "live (still)" in command(run, "status").stdout

        there.write_text("")
        wait_until(lambda: run.camera("yard").reason == "", 20, "a gate that opens")
        wait_until(lambda: len(outcomes.read()) > 10, 20, "results")
        assert_balanced(run.fresh_state())
        assert_exactly_once(outcomes.read())
        outcomes.close()
        assert changes(run, "still") == 1
        assert changes(run, "") <= 1, "the opening of a gate counts as a camera that came back"


def test_who_waits_for_a_frame_gets_one_though_nothing_moves(tmp_path: Path) -> None:
    with quiet(tmp_path) as (run, _):
        status, jpeg = run.get("/snapshot/yard.jpg")
        assert status == 200, jpeg
        swapped = command(run, "swap", f"{tmp_path}/other.py:predict")
        assert swapped.returncode == 0, swapped.stderr
        assert "self-test on a frame of yard" in swapped.stdout + swapped.stderr


def test_clients_are_told_that_nothing_moves_and_that_something_does(tmp_path: Path) -> None:
    with quiet(tmp_path) as (run, there), connect(run.ws, proxy=None) as client:
        said: list[tuple[str, str]] = []

        def hear(count: int) -> None:
            while len(said) < count:
                message = json.loads(client.recv(timeout=10))
                if message["type"] == "status" and message["subject"] == "camera":
                    said.append((message["state"], message["reason"]))

        hear(1)
        there.write_text("")
        hear(2)
        assert said == [("live", "still"), ("live", "")]


def test_the_gate_can_be_set_for_all_cameras(tmp_path: Path) -> None:
    (tmp_path / "yard.py").write_text(YARD.format(there="/nonexistent"))
    source = f"py:{tmp_path}/yard.py:yard"
    with Run(f"a={source}", f"b={source}", "--gate", "motion", env=limits()) as run:
        for name in ("a", "b"):
            wait_until(lambda name=name: run.camera(name).superseded_by.get("still"), 20, name)
        assert_balanced(run.fresh_state())
