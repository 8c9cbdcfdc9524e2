"""Cameras that come, change and go in a real run, and what their processes print meanwhile."""

from __future__ import annotations

import contextlib
import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest
from faults import limits
from runs import Run, assert_balanced, assert_exactly_once, framefan
from waiting import slack, wait_until
from websockets.sync.client import connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from runs import Outcomes

    from framefan.ipc.records import StateRecord

OFTEN = limits(state_every_s=0.1)
CRASHING = """
import faulthandler, pathlib, sys
import numpy as np

def frames():
    print("with rtsp://admin:hunter2@cam.example/live")
    yield np.zeros((48, 64, 3), np.uint8)
    mark = pathlib.Path({mark!r})
    if not mark.exists():
        mark.touch()
        faulthandler._sigsegv()
    while True:
        yield np.zeros((48, 64, 3), np.uint8)
"""
FLOODING = """
import os, time
import numpy as np

def frames():
    for _ in range(50):
        os.write(2, (b"y" * 99 + b"\\n") * 10_486)
        yield np.zeros((48, 64, 3), np.uint8)
    while True:
        time.sleep(0.05)
        yield np.zeros((48, 64, 3), np.uint8)
"""


def demo(name: str, seed: int = 1, fps: int = 20, **fields: object) -> str:
    return source(name, f"demo?size=160x120&fps={fps}&seed={seed}", **fields)


def source(name: str, text: str, **fields: object) -> str:
    lines = [f"{key} = {json.dumps(value)}" for key, value in fields.items()]
    return "\n".join(["[[camera]]", f'name = "{name}"', f'source = "{text}"', *lines, ""])


class Edited:
    """A run of a file that the test edits."""

    def __init__(self, folder: Path, *cameras: str) -> None:
        self.path = folder / "run.toml"
        self.write(*cameras)
        self.run = Run("--config", str(self.path), env=OFTEN)

    def write(self, *parts: str) -> None:
        draft = self.path.with_suffix(".new")
        draft.write_text("".join(parts))
        draft.rename(self.path)

    def reload(self, *arguments: str) -> Any:
        return framefan(
            *("reload", "--name", self.run.name, *arguments),
            env={"XDG_RUNTIME_DIR": str(self.run.runtime)},
        )

    def wait_live(self, *names: str) -> StateRecord:
        def live() -> StateRecord | None:
            state = self.run.state()
            there = state and {n for n, facts in state.cameras.items() if facts.state == "live"}
            return state if state and there == set(state.cameras) == set(names) else None

        return wait_until(live, 15, f"{names} live")


@contextlib.contextmanager
def edited(folder: Path, *cameras: str) -> Iterator[tuple[Edited, Run, Outcomes]]:
    it = Edited(folder, *cameras)
    with it.run as run, contextlib.closing(run.results()) as outcomes:
        yield it, run, outcomes
        assert_balanced(run.fresh_state())
        assert_exactly_once(outcomes.read())


def seen(outcomes: Outcomes, camera: str) -> list[int]:
    return [each.frame for each in outcomes.read() if each.camera == camera]


def pause(outcomes: Outcomes, camera: str) -> float:
    """The longest time between two frames of it that became results."""
    times = [each.captured_at for each in outcomes.read() if each.camera == camera]
    return max(later - earlier for earlier, later in itertools.pairwise(times))


def test_added_changed_removed_while_the_rest_goes_on(tmp_path: Path) -> None:
    with edited(tmp_path, demo("kept"), demo("other"), demo("gone")) as (it, run, outcomes):
        before = it.wait_live("kept", "other", "gone").cameras
        wait_until(lambda: len(seen(outcomes, "kept")) > 5, 5, "results")
        with connect(f"{run.ws}?camera=kept&delivery=every", proxy=None) as client:
            it.write(
                "workers = 3\nlog_level = 'debug'\n",
                demo("kept"),
                demo("other", fps=10),
                demo("new", seed=2),
            )
            done = it.reload()
            assert done.returncode == 0, done.stderr
            assert done.stdout.splitlines() == [
                "added    new",
                "changed  other",
                "removed  gone",
                "changed  workers 2 -> 3",
                "note     log_level changed from info to debug: takes effect at the next start",
            ]
            assert len(run.fresh_state().workers) == 3
            after = it.wait_live("kept", "other", "new").cameras
            results = [json.loads(client.recv(timeout=5)) for _ in range(60)]
        assert after["kept"].pid == before["kept"].pid
        assert after["other"].pid != before["other"].pid
        assert after["other"].restarts == 0, "it was asked to end: that is no death"
        gone = before["gone"].pid
        wait_until(lambda: gone not in {p.pid for p in run.descendants()}, 5, "its end")
        kinds = {message["type"] for message in results if message.get("camera") == "kept"}
        assert kinds == {"result"}
        seqs = [message["seq"] for message in results if message["type"] == "result"]
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
        frames = seen(outcomes, "kept")
        assert len(frames) > 30
        assert pause(outcomes, "kept") < slack(), "the kept camera stood still"


@pytest.fixture(scope="module")
def unchanged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Edited, Run, Outcomes]]:
    """A run that stays as it is, whatever its file says."""
    with edited(tmp_path_factory.mktemp("unchanged"), demo("a")) as all_of_it:
        yield all_of_it


BAD = {
    "a key that is none": ("suorce = 'x'\n", ("camera.suorce", "did you mean source?")),
    "a value that cannot be": ("read_timeout_s = -1\n", ("read_timeout_s", "between")),
    "no TOML": ("[[camera]\n", ("not TOML",)),
    "nothing": (None, ("is empty",)),
}
"""What is added to a file, None if nothing is left of it, and words of the refusal."""


@pytest.mark.parametrize(("text", "words"), BAD.values(), ids=BAD)
def test_a_bad_file_changes_nothing(
    unchanged: tuple[Edited, Run, Outcomes], text: str | None, words: tuple[str, ...]
) -> None:
    it, run, outcomes = unchanged
    before = it.wait_live("a").cameras["a"].pid
    told = len(_refusals(run))
    if text is None:
        it.path.write_text("")  # as `: > framefan.toml` does
    else:
        it.write(demo("new"), demo("a", fps=5), text)
    done = it.reload()
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 3
    for word in words:
        assert word in done.stderr
    count = len(seen(outcomes, "a"))
    wait_until(lambda: len(seen(outcomes, "a")) > count + 5, 5, "results as before")
    assert it.wait_live("a").cameras["a"].pid == before
    (said,) = _refusals(run)[told:]
    assert words[0] in said
    it.write(demo("a"))
    assert it.reload().stdout == "nothing changed\n"


def _refusals(run: Run) -> list[str]:
    return [line for line in run.log().splitlines() if "reload: nothing changed" in line]


def test_a_camera_that_comes_back_goes_on_with_its_numbers(tmp_path: Path) -> None:
    with edited(tmp_path, demo("a"), demo("b")) as (it, _, outcomes):
        it.wait_live("a", "b")
        wait_until(lambda: len(seen(outcomes, "b")) > 5, 5, "results")
        it.write(demo("a"))
        assert it.reload().stdout == "removed  b\n"
        it.wait_live("a")
        last = max(seen(outcomes, "b"))
        it.write(demo("a"), demo("b", fps=10))
        assert it.reload().stdout == "added    b\n"
        it.wait_live("a", "b")
        wait_until(lambda: max(seen(outcomes, "b")) > last + 5, 5, "results again")
        frames = seen(outcomes, "b")
        assert frames == sorted(set(frames))


def test_a_reload_takes_a_file_that_has_ended_for_a_new_one(tmp_path: Path) -> None:
    """And the run ends with exit code 0 once all that is left has ended."""
    short = source("short", "demo?size=160x120&fps=100&frames=20")
    it = Edited(tmp_path, demo("a"), short)
    it.run = Run("--config", str(it.path), env=OFTEN, stop=False)
    with it.run as run, contextlib.closing(run.results()) as outcomes:
        wait_until(lambda: run.camera("short").state == "ended", 10, "its end")
        first = len(seen(outcomes, "short"))
        it.write(demo("a"), short.replace("frames=20", "frames=30"))
        assert it.reload().stdout == "changed  short\n"
        wait_until(lambda: len(seen(outcomes, "short")) > first, 10, "the new one's frames")
        wait_until(lambda: run.camera("short").state == "ended", 10, "its end")
        it.write(short.replace("frames=20", "frames=30"))
        assert it.reload().stdout == "removed  a\n"
        assert run.process.wait(10) == 0, run.log()
        assert "every source has ended" in run.log()
        assert "a: " in run.log().splitlines()[-2] + run.log().splitlines()[-1]


def test_a_changed_predictor_is_tried_and_taken(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text("def predict(image):\n    return ['good']\n")
    (tmp_path / "bad.py").write_text("def predict(image):\n    return 1 / 0\n")
    with edited(tmp_path, demo("a")) as (it, run, outcomes):
        it.wait_live("a")
        it.write(f"predictor = '{tmp_path}/good.py:predict'\ngateways = 2\n", demo("a"))
        done = it.reload("--json")
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["applied"] == {
            "gateways": ["1", "2"],
            "predictor": ["motion", f"{tmp_path}/good.py:predict"],
        }
        it.write(f"predictor = '{tmp_path}/bad.py:predict'\ngateways = 2\n", demo("a"), demo("b"))
        done = it.reload()
        assert done.returncode == 1
        assert done.stdout.startswith("added    b\nfailed   predictor did not become ")
        it.wait_live("a", "b")
        count = len(seen(outcomes, "a"))
        wait_until(lambda: len(seen(outcomes, "a")) > count + 5, 5, "it goes on")
        assert {worker.predictor for worker in run.fresh_state().workers} == {
            f"{tmp_path}/good.py:predict"
        }


def test_cameras_that_cannot_be_and_were_added_fail_alone(tmp_path: Path) -> None:
    with edited(tmp_path, demo("a")) as (it, run, outcomes):
        it.wait_live("a")
        (tmp_path / "no.mp4").write_text("this is no video")
        bad = {"b": "no.mp4", "c": "nix.mp4", "d": "*.jpg", "e": "nix.py"}
        texts = {name: str(tmp_path / file) for name, file in bad.items()}
        texts["e"] = f"py:{texts['e']}:frames"
        it.write(demo("a"), *(source(name, text) for name, text in texts.items()), demo("f"))
        done = it.reload()
        assert done.stdout.splitlines() == [f"added    {name}" for name in "bcdef"]
        wait_until(lambda: all(run.camera(name).state == "failed" for name in bad), 20, "the end")
        for name, file in bad.items():
            assert run.camera(name).reason == "unplayable"
            assert file in run.camera(name).message
        count = len(seen(outcomes, "a"))
        wait_until(lambda: len(seen(outcomes, "a")) > count + 5, 5, "the others go on")
        wait_until(lambda: seen(outcomes, "f"), 5, "the new one's results")
        it.write(demo("a"))
        assert it.reload().stdout.splitlines() == [f"removed  {name}" for name in "bcdef"]
        it.wait_live("a")
        it.write(source("b", texts["c"]))
        done = it.reload()
        assert (done.returncode, done.stdout) == (3, ""), "nothing would be left"
        it.wait_live("a")


# ---- what captures print -----------------------------------------------------------------------


def test_a_crash_is_told_with_its_stack_and_without_secrets(tmp_path: Path) -> None:
    file = tmp_path / "crashing.py"
    file.write_text(CRASHING.format(mark=str(tmp_path / "mark")))
    crashing = source("cam", f"py:{file}:frames", max_fps=20)
    with edited(tmp_path, crashing, demo("a")) as (it, run, _):
        wait_until(lambda: "killed by SIGSEGV" in run.log(), 15, "the crash")
        state = it.wait_live("cam", "a")
        assert state.cameras["cam"].restarts == 1
        assert state.cameras["a"].restarts == 0
        log = run.log()
        assert "Fatal Python error: Segmentation fault" in log
        assert 'crashing.py", line' in log
        assert "with rtsp://***@cam.example/live" in log
        assert "hunter2" not in log


def test_50_megabytes_on_stderr_disturb_nobody(tmp_path: Path) -> None:
    file = tmp_path / "flooding.py"
    file.write_text(FLOODING)
    with edited(tmp_path, demo("a"), source("bad", f"py:{file}:frames")) as (_, run, outcomes):
        wait_until(lambda: run.log_path.stat().st_size and "dropped" in run.log(), 15, "the flood")
        wait_until(lambda: len(seen(outcomes, "bad")) > 55, 30, "its end")
        assert run.log_path.stat().st_size < 1_000_000
        assert pause(outcomes, "a") < slack(), "the other camera stood still"
        assert [facts.restarts for facts in run.fresh_state().cameras.values()] == [0, 0]
