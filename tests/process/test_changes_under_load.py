"""Other workers and other predictors under load, read by a client that may lose nothing."""

from __future__ import annotations

import contextlib
import json
import random
import threading
from typing import TYPE_CHECKING, Any

import pytest
from faults import limits, sabotage
from runs import Run, assert_balanced, framefan
from waiting import wait_until
from websockets.sync.client import connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from framefan.ipc.records import StateRecord

SOURCES = ("a=demo?size=160x120&fps=40&seed=1", "b=demo?size=160x120&fps=25&seed=2")
QUICK = limits(state_every_s=0.1, predict_s=2.0)
WORKS = """
import numpy as np

def {name}(image):
    return {{"{name}": float(image.mean())}}
"""
FAIL = {
    "in import": ("1 / 0\ndef predict(image): ...\n", 3, ("ZeroDivisionError", "line 1")),
    "in setup": (
        "class predict:\n    def setup(self): raise KeyError('weights')\n"
        "    def predict(self, image): return []\n",
        1,
        ("weights", "line 2"),
    ),
    "in predict": ("def predict(image):\n    return 1 / 0\n", 1, ("self-test", "line 2")),
    "by a hang in setup": (
        "import threading\nclass predict:\n    def setup(self): threading.Event().wait()\n"
        "    def predict(self, image): return []\n",
        1,
        ("warming up", "start deadline"),
    ),
    "by a hang in predict": (
        "import threading\ndef predict(image): threading.Event().wait()\n",
        1,
        ("self-test", "predict deadline"),
    ),
    "by sys.exit": ("import sys\nsys.exit('no')\n", 3, ("SystemExit",)),
    "by a crash in setup": (
        "import os\nclass predict:\n    def setup(self): os.abort()\n"
        "    def predict(self, image): return []\n",
        1,
        ("SIGABRT",),
    ),
    "by a crash in predict": (
        "import os\ndef predict(image): os.abort()\n",
        1,
        ("self-test", "SIGABRT"),
    ),
}
"""A predictor's file, the exit code, and words of the reason."""


class Reader:
    """An `every` client: all that it got, and what must hold of it at the end."""

    def __init__(self, url: str) -> None:
        self.messages: list[Any] = []
        self._stack = contextlib.ExitStack()
        self._socket = self._stack.enter_context(connect(f"{url}?delivery=every", proxy=None))
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        for text in self._socket:
            self.messages.append(json.loads(text))

    def results(self, camera: str) -> list[Any]:
        return [m for m in list(self.messages) if m.get("camera") == camera and "seq" in m]

    def statuses(self, subject: str) -> list[Any]:
        return [m for m in list(self.messages) if m["type"] == "status" and m["subject"] == subject]

    def go_on(self) -> None:
        """Results of each camera come after this call."""
        for camera in ("a", "b"):
            count = len(self.results(camera))
            wait_until(lambda c=camera, n=count: len(self.results(c)) > n + 5, 10, "results")

    def close(self) -> None:
        self._stack.close()
        self._thread.join()

    def check(self) -> None:
        for camera in ("a", "b"):
            results = self.results(camera)
            assert {each["type"] for each in results} == {"result"}, "an error, or a gap"
            seqs = [each["seq"] for each in results]
            assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
            frames = [each["frame"] for each in results]
            assert frames == list(range(frames[0], frames[0] + len(frames))), "a frame is missing"


@contextlib.contextmanager
def changing(*arguments: str, env: dict[str, str] | None = None) -> Iterator[tuple[Run, Reader]]:
    with Run(*SOURCES, "--mode", "every", *arguments, env=QUICK | (env or {})) as run:
        reader = Reader(run.ws)
        try:
            reader.go_on()
            yield run, reader
            reader.go_on()
            state = run.fresh_state()
            for facts in state.cameras.values():
                assert (facts.lost, facts.superseded, facts.bad) == (0, 0, 0)
            assert_balanced(state)
        finally:
            reader.close()
        reader.check()


def command(run: Run, *arguments: str) -> Any:
    return framefan(
        *arguments, "--name", run.name, env={"XDG_RUNTIME_DIR": str(run.runtime)}, seconds=60
    )


def workers(run: Run) -> list[int]:
    return [each.id for each in run.fresh_state().workers]


def write(folder: Path, text: str, name: str = "mine.py") -> str:
    draft = folder / "draft"
    draft.write_text(text)
    draft.rename(folder / name)
    return str(folder / name)


def test_scaled_and_swapped_without_a_hole(tmp_path: Path) -> None:
    path = write(tmp_path, WORKS.format(name="Other"))
    with changing() as (run, reader):
        done = command(run, "scale", "4")
        assert (done.returncode, done.stdout) == (0, "workers    2 -> 4\n"), done.stderr
        assert "starting worker 3" in done.stderr
        assert workers(run) == [1, 2, 3, 4]
        assert run.fresh_state().cameras["a"].slots == 7
        reader.go_on()
        assert command(run, "scale", "1", "--json").returncode == 0
        assert workers(run) == [1]
        assert json.loads(command(run, "scale", "1", "--json").stdout)["now"] == "1"
        reader.go_on()
        done = command(run, "swap", f"{path}:Other")
        assert (done.returncode, done.stdout) == (0, f"predictor  motion -> {path}:Other\n")
        for step in ("loading", "warming up", "self-test on a frame of", "retiring worker 1"):
            assert step in done.stderr
        reader.go_on()
        assert [w.predictor for w in run.fresh_state().workers] == [f"{path}:Other"]
        missing = command(run, "swap", f"{path}.none.py:Other")
        assert (missing.returncode, command(run, "swap", "nix").returncode) == (3, 2)
        assert command(run, "scale", "0").returncode == 2
    for camera in ("a", "b"):
        models = [each["model"] for each in reader.results(camera)]
        first = models.index("Other")
        assert set(models[:first]) == {"motion"}
        assert set(models[first:]) == {"Other"}, "the model changes more than once"
    states = [each["state"] for each in reader.statuses("predictor")]
    assert states == ["swapping", "swapped"]
    told = [each["state"] for each in reader.statuses("worker")]
    assert sorted(told) == ["retired"] * 4 + ["started"] * 3


def test_changes_in_random_order_leave_no_hole(tmp_path: Path) -> None:
    """A tenth of `make bench-changes`."""
    seed = random.SystemRandom().randrange(10**6)
    print("seed", seed)  # shown when it fails
    dice = random.Random(seed)
    references = [
        write(tmp_path, WORKS.format(name=name), f"{name}.py") + f":{name}"
        for name in ("One", "Other")
    ]
    asked = [
        dice.choice([("scale", str(dice.randint(1, 8))), ("swap", dice.choice(references))])
        for _ in range(10)
    ]
    with changing() as (run, reader):
        for arguments in asked:
            done = command(run, *arguments)
            assert done.returncode == 0, done.stderr
        reader.go_on()


def test_a_predictor_that_fails_leaves_the_old_one_in_place(tmp_path: Path) -> None:
    with changing("-w", "1", env=limits(worker_start_s=6.0)) as (run, reader):
        before = run.fresh_state().workers
        for how, (text, code, words) in FAIL.items():
            path = write(tmp_path, text)
            done = command(run, "swap", f"{path}:predict")
            assert (done.returncode, done.stdout) == (code, ""), (how, done.stderr)
            for word in (*words, "the old predictor stays (motion)"):
                assert word in done.stderr, (how, done.stderr)
            reader.go_on()
        after = run.fresh_state().workers
        assert [(w.id, w.pid, w.restarts) for w in after] == [
            (w.id, w.pid, w.restarts) for w in before
        ]
        named = {p.pid for p in run.descendants() if "worker" in " ".join(p.cmdline())}
        assert named == {after[0].pid}, "a process of a failed one is left"
    failed = [m for m in reader.statuses("predictor") if m["state"] == "swap_failed"]
    assert len(failed) == len(FAIL)


def test_an_edited_file_is_loaded_and_a_leak_is_replaced(tmp_path: Path) -> None:
    """One run for both: each by itself, with nobody asking."""
    leak = "kept = []\ndef predict(image):\n    kept.append(bytearray(1 << 20))\n    return {}\n"
    path = write(tmp_path, WORKS.format(name="predict"))
    small = limits(worker_memory_bytes=150 << 20)
    with changing("-p", f"{path}:predict", "-w", "1", "--reload", env=small) as (run, reader):
        write(tmp_path, "def predict(image):\n    return 1 / 0\n")
        wait_until(lambda: len(reader.statuses("predictor")) == 2, 10, "the broken edit told")
        assert "line 2" in reader.statuses("predictor")[1]["message"]
        reader.go_on()
        for n in range(5):
            write(
                tmp_path, f"# {n}\n" + WORKS.format(name="predict").replace('"predict"', '"edited"')
            )
        wait_until(lambda: reader.statuses("predictor")[-1]["state"] == "swapped", 10, "the edit")
        reader.go_on()
        wait_until(lambda: "edited" in reader.results("a")[-1]["result"], 5, "the new results")
        write(tmp_path, leak)
        wait_until(lambda: _retired(reader, run) >= 3, 20, "two that leaked were replaced")
        reader.go_on()
    assert [each["reason"] for each in reader.statuses("worker") if each["reason"] == "died"] == []
    assert len(reader.statuses("predictor")) <= 6, "five saves were more than two swaps"


def _retired(reader: Reader, run: Run) -> int:
    count = sum(each["state"] == "retired" for each in reader.statuses("worker"))
    state: StateRecord = run.fresh_state()
    assert all(worker.restarts == 0 for worker in state.workers)
    return count - 1  # one went with the edit


GUARDS = {
    "a borrowed frame comes back": (
        "import framefan_inference.leases.schedule as m\n"
        "m.Schedule.give_back = lambda self, camera: setattr(self.cameras[camera], 'lent', None) "
        "or []",
        "captured=",
    ),
    "workers finish what they have": (
        "import framefan_inference.pool.workers as m\n"
        "m.Workers.retire = lambda self, worker: self._bury(worker, 'x') if worker.child else None",
        "== (0, 0, 0)",
    ),
}


@pytest.mark.parametrize(("code", "seen"), GUARDS.values(), ids=GUARDS.keys())
def test_without_the_guard_a_hole_is_seen(tmp_path: Path, code: str, seen: str) -> None:
    slow = WORKS.format(name="Other").replace("return", "__import__('time').sleep(0.03); return")
    path = write(tmp_path, slow)
    broken = sabotage(tmp_path, "framefan_inference.main", code)
    with pytest.raises(AssertionError) as raised:
        _swap_thrice(f"{path}:Other", broken)
    assert seen in str(raised.value)


def _swap_thrice(reference: str, broken: dict[str, str]) -> None:
    with changing("-p", reference, env=broken) as (run, _):
        for _ in range(3):
            assert command(run, "swap", reference).returncode == 0
