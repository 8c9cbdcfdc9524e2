"""A run with a motion gate: what is predicted, what is told, and who still gets a frame."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from faults import limits
from runs import Run, assert_balanced, assert_exactly_once, framefan
from waiting import wait_until
from websockets.sync.client import connect

if TYPE_CHECKING:
    from pathlib import Path

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


def test_a_quiet_camera_costs_no_predict_and_says_so(tmp_path: Path) -> None:
    there = tmp_path / "there"
    (tmp_path / "yard.py").write_text(YARD.format(there=str(there)))
    (tmp_path / "other.py").write_text(OTHER)
    (tmp_path / "f.toml").write_text(
        f"""predictor = "{tmp_path}/other.py:predict"
workers = 1
[limits]
state_every_s = 0.2
[[camera]]
name = "yard"
source = "py:{tmp_path}/yard.py:yard"
gate = "motion"
gate_keep_s = 600
"""
    )
    with Run("--config", str(tmp_path / "f.toml")) as run:
        outcomes = run.results("yard")
        still = lambda: run.camera("yard").reason == "still"  # noqa: E731
        wait_until(still, 20, "a closed gate")
        before = run.fresh_state()
        assert_balanced(before)
        wait_until(
            lambda: run.camera("yard").superseded_by["still"] > 60, 20, "frames that are left out"
        )
        after = run.fresh_state()
        assert_balanced(after)
        assert after.cameras["yard"].leased == before.cameras["yard"].leased
        assert after.cameras["yard"].state == "live"
        assert run.get("/readyz")[0] == 200
        _, metrics = run.get("/metrics")
        assert b'frames_superseded_total{camera="yard",cause="still"}' in metrics
        shown = framefan("status", "--name", run.name, env={"XDG_RUNTIME_DIR": str(run.runtime)})
        assert "live (still)" in shown.stdout

        # A picture, and the test of another predictor, do not wait for somebody to walk by.
        status, jpeg = run.get("/snapshot/yard.jpg")
        assert status == 200, jpeg
        swapped = framefan(
            "swap", f"{tmp_path}/other.py:predict", "--name", run.name,
            env={"XDG_RUNTIME_DIR": str(run.runtime)},
        )  # fmt: skip
        assert swapped.returncode == 0, swapped.stderr
        assert "self-test on a frame of yard" in swapped.stdout + swapped.stderr

        # A new client is told why nothing comes, and that it is over.
        with connect(run.ws, proxy=None) as client:
            first = [json.loads(client.recv(timeout=10)) for _ in range(2)]
            (told,) = [each for each in first if each["type"] == "status"]
            assert (told["state"], told["reason"]) == ("live", "still")
            there.write_text("")
            messages = [json.loads(client.recv(timeout=10)) for _ in range(20)]
        said = [(each["state"], each["reason"]) for each in messages if each["type"] == "status"]
        assert said == [("live", "")]
        assert sum(each["type"] == "result" for each in messages) == 19
        wait_until(outcomes.read, 5)
        assert_balanced(run.fresh_state())
        assert_exactly_once(outcomes.read())
        _, metrics = run.get("/metrics")
        changes = [each for each in metrics.decode().splitlines() if "state_changes_total{" in each]
        assert not [each for each in changes if 'reason="",state="live"' in each], changes
        outcomes.close()


def test_the_gate_can_be_set_for_all_cameras(tmp_path: Path) -> None:
    (tmp_path / "yard.py").write_text(YARD.format(there="/nonexistent"))
    source = f"py:{tmp_path}/yard.py:yard"
    with Run(f"a={source}", f"b={source}", "--gate", "motion", env=limits()) as run:
        for name in ("a", "b"):
            wait_until(lambda name=name: run.camera(name).superseded_by.get("still"), 20, name)
        assert_balanced(run.fresh_state())
