"""Two predictors in one run: what one of them does costs the other's cameras nothing."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import statistics
import threading
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any

import pytest
from faults import limits
from runs import Run, assert_balanced, framefan
from waiting import wait_until
from websockets.sync.client import connect

from framefan.base import clock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FPS = 20
OURS, THEIRS = ("a", "b"), ("c", "d")
KILLS = 4
WORKS = """
def {name}(image):
    return {{"by": "{name}", "mean": float(image.mean())}}
"""
CAMERA = """
[[camera]]
name = "{name}"
source = "demo?size=160x120&fps={fps}"
mode = "{mode}"
predictor = "{predictor}"
"""
PREDICTOR = """
[[predictor]]
name = "{name}"
predictor = "{reference}"
workers = 1
"""
QUICK = limits(
    state_every_s=0.1, predict_s=1.0, restarts=1000, restart_first_s=0.05, restart_cap_s=0.1,
    circuit_retry_s=0.5, circuit_within_s=5.0,
)  # fmt: skip


class Reader:
    """An `every` client of two cameras, with the latency of each result and when it came."""

    def __init__(self, url: str) -> None:
        self.messages: list[Any] = []
        self._stack = contextlib.ExitStack()
        address = f"{url}?delivery=every&cameras={','.join(OURS)}"
        self._socket = self._stack.enter_context(connect(address, proxy=None))
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        for text in self._socket:
            self.messages.append(json.loads(text))

    def results(self, since: int = 0) -> list[Any]:
        return [each for each in self.messages[since:] if each["type"] == "result"]

    def p99_ms(self, since: int) -> float:
        times = [each["latency_ms"]["total"] for each in self.results(since)]
        return statistics.quantiles(times, n=100)[98]

    def close(self) -> None:
        self._stack.close()
        self._thread.join()

    def check(self) -> None:
        assert {each["type"] for each in self.messages} <= {"result", "status"}
        for camera in OURS:
            mine = [each for each in self.results() if each["camera"] == camera]
            for key in ("seq", "frame"):
                numbers = [each[key] for each in mine]
                assert numbers == list(range(numbers[0], numbers[0] + len(mine))), f"{camera} {key}"
            assert {each["missed"] for each in mine if "missed" in each} <= {0}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("people", "plates", "other"):
        (tmp_path / f"{name}.py").write_text(WORKS.format(name=name))
    write(tmp_path, people="people", plates="plates")
    return tmp_path


def write(folder: Path, cameras: dict[str, str] | None = None, **references: str) -> None:
    """The configuration: each camera with its predictor, and the file of each predictor."""
    named = cameras or dict.fromkeys(OURS, "people") | dict.fromkeys(THEIRS, "plates")
    texts = [
        PREDICTOR.format(name=name, reference=f"{folder}/{file}.py:{file}")
        for name, file in references.items()
    ] + [
        CAMERA.format(
            name=name, predictor=predictor, fps=FPS, mode="every" if name in OURS else "live"
        )
        for name, predictor in named.items()
    ]
    draft = folder / "draft"
    draft.write_text("\n".join(texts))
    draft.rename(folder / "framefan.toml")


@contextlib.contextmanager
def running(folder: Path) -> Iterator[tuple[Run, Reader]]:
    with Run("--config", str(folder / "framefan.toml"), env=QUICK) as run:
        wait_until(lambda: workers(run, "plates", "ready", "busy"), 20, "a worker of plates")
        reader = Reader(run.ws)
        try:
            wait_until(lambda: len(reader.results()) > 2 * FPS, 20, "results")
            yield run, reader
        finally:
            reader.close()
        reader.check()


def workers(run: Run, predictor: str, *states: str) -> list[Any]:
    return [
        each
        for each in run.fresh_state().workers
        if each.predictor_name == predictor and (not states or each.state in states)
    ]


def command(run: Run, *arguments: str) -> Any:
    return framefan(
        *arguments, "--name", run.name, env={"XDG_RUNTIME_DIR": str(run.runtime)}, seconds=60
    )


def end_worker(run: Run, number: int) -> None:
    """The only worker of plates is killed or hangs; returns when the next one is up."""
    (worker,) = wait_until(lambda: workers(run, "plates", "ready", "busy"), 20, "a worker")
    os.kill(worker.pid, number)
    again = lambda: [e for e in workers(run, "plates", "ready", "busy") if e.pid != worker.pid]  # noqa: E731
    wait_until(again, 20, "the next worker")


@pytest.mark.alone
def test_deaths_and_changes_of_one_predictor_cost_the_others_cameras_nothing(folder: Path) -> None:
    with running(folder) as (run, reader):
        undisturbed, since = reader.p99_ms(0), len(reader.messages)
        began, count = clock.now(), len(reader.results())
        for _ in range(KILLS):
            end_worker(run, signal.SIGKILL)
        end_worker(run, signal.SIGSTOP)
        done = command(run, "swap", f"{folder}/other.py:other", "--predictor", "plates")
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("predictor of plates  ")
        for number in (2, 1):
            done = command(run, "scale", str(number), "--predictor", "plates")
            assert done.stdout == f"workers of plates  {3 - number} -> {number}\n", done.stderr
        seconds, got = clock.now() - began, len(reader.results()) - count
        assert got >= 0.95 * len(OURS) * FPS * seconds, "the rate fell"
        assert reader.p99_ms(since) <= max(5 * undisturbed, 100.0)
        state = run.fresh_state()
        assert_balanced(state)
        for name in OURS:
            facts = state.cameras[name]
            assert (facts.lost, facts.errors, facts.superseded, facts.bad) == (0, 0, 0, 0)
            assert facts.circuit == "closed"
        assert sum(state.cameras[name].lost for name in THEIRS) >= 1
        assert {each.restarts for each in workers(run, "people")} == {0}
        assert state.predictors["plates"].predictor.endswith("other.py:other")


def test_commands_tables_and_probes_name_the_predictors(folder: Path) -> None:
    with running(folder) as (run, _):
        none = command(run, "scale", "2")
        assert none.returncode == 2
        assert "the run has several: people, plates" in none.stderr
        wrong = command(run, "swap", "motion", "--predictor", "plate")
        assert (wrong.returncode, "did you mean --predictor plates?" in wrong.stderr) == (2, True)
        shown = command(run, "status").stdout
        assert re.search(r"worker +predictor +state", shown)
        assert re.search(r"camera +state +predictor", shown)
        told = json.loads(command(run, "status", "--json").stdout)
        assert {name: each["workers"] for name, each in told["predictors"].items()} == {
            "people": 1, "plates": 1,
        }  # fmt: skip
        assert {name: each["predictor_name"] for name, each in told["cameras"].items()} == {
            "a": "people", "b": "people", "c": "plates", "d": "plates",
        }  # fmt: skip
        with urllib.request.urlopen(f"{run.url}/readyz") as answer:
            body = json.load(answer)
        assert body["predictors"] == {n: {"ready": 1, "total": 1} for n in ("people", "plates")}
        with urllib.request.urlopen(f"{run.url}/metrics") as answer:
            text = answer.read().decode()
        assert 'framefan_camera_predictor{camera="c",predictor="plates"} 1.0' in text
        assert re.search(r"predictor +people: .*people, 1 worker; plates: ", run.log())


def test_a_reload_adds_and_removes_predictors_and_moves_cameras(folder: Path) -> None:
    with running(folder) as (run, reader):
        pids = {name: facts.pid for name, facts in run.fresh_state().cameras.items()}
        moved = {"a": "people", "b": "other", "c": "people", "d": "other"}
        write(folder, moved, people="people", other="other")
        done = command(run, "reload")
        assert done.returncode == 0, done.stderr
        assert "added    predictor other" in done.stdout
        assert "removed  predictor plates" in done.stdout
        wait_until(lambda: list(run.fresh_state().predictors) == ["people", "other"], 20, "both")
        wait_until(lambda: not workers(run, "plates"), 20, "the removed one's worker ends")
        by_other = lambda: [e for e in reader.results() if e.get("result", {}).get("by") == "other"]  # noqa: E731
        wait_until(lambda: len(by_other()) > FPS, 20, "results by the other")
        assert {each["camera"] for each in by_other()} == {"b"}
        state = run.fresh_state()
        assert {name: facts.pid for name, facts in state.cameras.items()} == pids, "new captures"
        assert {name: facts.predictor_name for name, facts in state.cameras.items()} == moved
        assert_balanced(state)
        write(folder, people="people", plates="plates")  # and back again before all have left
        assert command(run, "reload").returncode == 0
        write(folder, moved, people="people", other="other")
        assert command(run, "reload").returncode == 0
        count = len(by_other())
        wait_until(lambda: len(by_other()) > count + FPS, 20, "results by the other again")
        wait_until(lambda: not workers(run, "plates"), 20, "only two are left")
        state = run.fresh_state()
        assert [each.predictor_name for each in state.workers] in (
            ["people", "other"],
            ["other", "people"],
        )
        assert [state.cameras[name].lost for name in OURS] == [0, 0]


def test_a_new_pool_has_the_predictors_as_they_were_changed(folder: Path) -> None:
    with Run("--config", str(folder / "framefan.toml"), env=QUICK) as run:
        assert command(run, "scale", "2", "--predictor", "plates").returncode == 0
        other = f"{folder}/other.py:other"
        assert command(run, "swap", other, "--predictor", "people").returncode == 0
        before = run.fresh_state()
        os.kill(before.pool.pid, signal.SIGKILL)
        wait_until(lambda: run.fresh_state().epoch != before.epoch, 20, "a new pool")
        wait_until(lambda: len(workers(run, "plates", "ready", "busy")) == 2, 20, "both workers")
        (worker,) = wait_until(lambda: workers(run, "people", "ready", "busy"), 20, "the other one")
        assert worker.predictor == other
        named = {name: facts.predictor_name for name, facts in run.fresh_state().cameras.items()}
        assert named == dict.fromkeys(OURS, "people") | dict.fromkeys(THEIRS, "plates")


def test_a_predictor_that_a_reload_adds_may_fail_and_the_run_goes_on(folder: Path) -> None:
    (folder / "broken.py").write_text("1 / 0\ndef broken(image): ...\n")
    with running(folder) as (run, _):
        cameras = dict.fromkeys(OURS, "people") | dict.fromkeys(THEIRS, "broken")
        write(folder, cameras, people="people", broken="broken")
        assert command(run, "reload").returncode == 0
        wait_until(lambda: workers(run, "broken", "backoff", "failed"), 20, "its worker fails")
        with pytest.raises(urllib.error.HTTPError, match="503"):
            urllib.request.urlopen(f"{run.url}/readyz")
        mended = command(run, "swap", f"{folder}/plates.py:plates", "--predictor", "broken")
        assert mended.returncode == 0, mended.stderr
        wait_until(lambda: workers(run, "broken", "ready", "busy"), 20, "the swapped one works")
