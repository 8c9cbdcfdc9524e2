"""A chain in a real run: its errors are results like others, and it is swapped and reloaded."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from runs import Run, assert_balanced, framefan
from waiting import wait_until
from websockets.sync.client import connect

if TYPE_CHECKING:
    from pathlib import Path

OWN = """
import itertools
from framefan.predictors import chain

class Finds:
    def predict(self, image):
        thing = {{"label": "thing", "box": (10, 10, 40, 40)}}
        return [thing, {{"label": "it", "box": (0, 0, 9, 9)}}]

turn = itertools.count()

def fails(crops, detections):
    if next(turn) % 2:
        raise ValueError("no such thing")
    return []

def names(crops, detections):
    assert [crop.shape for crop in crops] == [(30, 30, 3)]
    return ["{label}"]

failing = chain(Finds, fails, labels=["thing"])
good = chain(Finds, names, labels=["thing"])
"""


def read(run: Run, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    with connect(f"{run.ws}?delivery=every&history=0", proxy=None) as client:
        while len(found) < count:
            message = json.loads(client.recv(timeout=10))
            if message["type"] in ("result", "error"):
                found.append(message)
    return found


def labels(run: Run) -> list[str]:
    (message,) = read(run, 1)
    return [each["label"] for each in message.get("detections", [])]


def test_a_chain_fails_is_swapped_and_reloaded(tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text(OWN.format(label="first"))
    with Run("demo?size=320x240&fps=20", "-p", f"{own}:failing", "--reload", "-w", "1") as run:
        errors = [each["error"] for each in read(run, 6)]
        assert {each["kind"] for each in errors} == {"ValueError", "wrong_count"}
        told = " ".join(each["message"] for each in errors)
        assert re.search(r"no such thing \(own\.py, line \d+, in fails\)", told)
        assert "on_crops returned 0 results for 1 crop:" in told
        state = run.fresh_state()
        assert state.cameras["demo"].errors >= 6
        assert state.cameras["demo"].results == 0
        assert_balanced(state)

        env = {"XDG_RUNTIME_DIR": str(run.runtime)}
        refused = framefan("swap", f"{own}:failing", "--name", run.name, env=env, seconds=60)
        assert refused.returncode == 1
        assert "self-test failed" in refused.stderr
        done = framefan("swap", f"{own}:good", "--name", run.name, env=env, seconds=60)
        assert done.returncode == 0, done.stderr
        assert labels(run) == ["first", "it"]
        own.write_text(OWN.format(label="second"))
        wait_until(lambda: labels(run) == ["second", "it"], 20, "the edit")
        assert_balanced(run.fresh_state())


def test_doctor_tries_both_stages(tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text(OWN.format(label="first"))
    done = framefan("doctor", "demo?size=320x240", "-p", f"{own}:good", "--port", "0")
    assert re.search(
        r"ok +on_crops +1 crop of a picture of the first camera .*'first'", done.stdout
    )
    failed = framefan("doctor", "demo?size=320x240", "-p", f"{own}:failing", "--port", "0")
    assert failed.returncode == 1
    assert "problem  predictor" in failed.stdout
    assert "on_crops" in failed.stdout
