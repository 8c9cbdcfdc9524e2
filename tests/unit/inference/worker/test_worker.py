"""A real worker process under a played pool: what it answers to leases, and how it ends."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from faults import GATED, Gate
from peers import HEIGHT, WIDTH, PlayedPool, payload
from waiting import wait_until

from framefan.errors import EXIT_START, EXIT_USAGE
from framefan.ipc.messages import Detach, Notice, Returned, Stop
from framefan.ipc.processes import DUMP_SIGNAL

ANSWERS = """
import contextlib, sys, threading
import numpy as np

class Unsayable(Exception):
    def __str__(self):
        return 1 / 0

class Model:
    def __init__(self):
        self.kept = []

    def setup(self):
        self.labels = ["cat"]
        print("setup prints this")

    def predict(self, image, frame):
        return getattr(self, f"do_{frame.frame}")(image, frame)

    def do_0(self, image, frame):
        return {
            "shape": image.shape, "dtype": str(image.dtype), "values": np.unique(image),
            "writeable": image.flags.writeable, "camera": frame.camera, "seq": frame.seq,
        }

    def do_1(self, image, frame):
        image[0, 0] = 1

    def do_2(self, image, frame):
        image.flags.writeable = True

    def do_3(self, image, frame):
        raise ValueError("no such cat")

    def do_4(self, image, frame):
        sys.exit("enough")

    def do_5(self, image, frame):
        return None

    def do_6(self, image, frame):
        return {"score": [float("nan")]}

    def do_7(self, image, frame):
        return b"jpeg"

    def do_8(self, image, frame):
        me = {}
        me["me"] = me
        return me

    def do_9(self, image, frame):
        return self

    def do_10(self, image, frame):
        return "x" * 50_000_000

    def do_11(self, image, frame):
        raise Unsayable

    def do_12(self, image, frame):
        raise OSError("no file \\ud800")

    def do_13(self, image, frame):
        return np.array([[1, 2, 3, 4, 0.5, 0]])

    def do_14(self, image, frame):
        return image[:2, :2, 0]

    def do_15(self, image, frame):
        cycle = [image, memoryview(image)]
        cycle.append(cycle)
        return []

    def do_16(self, image, frame):
        try:
            raise KeyError(image)
        except KeyError as error:
            self.kept_error = error
            cycle = [error]
            cycle.append(cycle)
        del self.kept_error
        return []

    def do_17(self, image, frame):
        return np.asarray(memoryview(image)).sum() and list(range(3))

    def do_18(self, image, frame):
        def deep(n):
            return deep(n + 1)
        return deep(0)

    def close(self):
        print("close prints this", flush=True)
"""


def descriptors(pid: int) -> set[str]:
    return {entry.name for entry in Path(f"/proc/{pid}/fd").iterdir()}


def mapped_rings(pid: int) -> int:
    return Path(f"/proc/{pid}/maps").read_text().count("framefan-ring")


def line_of(text: str) -> int:
    return ANSWERS[: ANSWERS.index(text)].count("\n") + 1


# ---- leases --------------------------------------------------------------------------------------

ERRORS = [
    (1, "ValueError", "read-only"),
    (2, "ValueError", "WRITEABLE"),
    (3, "ValueError", f"no such cat (own.py, line {line_of('no such cat')}, in do_3)"),
    (4, "SystemExit", f"enough (own.py, line {line_of('enough')}, in do_4)"),
    (5, "returned_none", "empty list"),
    (6, "not_finite", "NaN"),
    (7, "returned_bytes", "bytes"),
    (8, "recursive", "itself"),
    (9, "unsupported", "own.Model"),
    (10, "too_large", "50,000,005"),
    (11, "Unsayable", "its __str__ raised"),
    (12, "OSError", "no file ?"),
    (18, "RecursionError", "recursion"),
]


def test_what_a_worker_answers(written: Any, capfd: pytest.CaptureFixture[str]) -> None:
    """One worker through everything a predictor may do: it outlives it all."""
    with PlayedPool(written(ANSWERS)) as pool:
        assert pool.ready().model == "Model"
        assert not pool.ready().stateful
        pool.attach()
        see_the_frame(pool)
        for number, kind, text in ERRORS:
            found = pool.predict(number)
            assert found[0] == "error", found
            assert found[1]["kind"] == kind, found
            assert text in found[1]["message"]
        let_the_frame_go(pool)
        assert pool.heard(Notice) == []
        assert len(pool.outcomes) == len(pool.heard(Returned))
        pool.child.link.send(Stop())
        assert pool.exit_code() == 0
    out, err = capfd.readouterr()
    assert out == "", "what a predictor prints must not mix with framefan's output"
    assert "setup prints this" in err
    assert "close prints this" in err


def see_the_frame(pool: PlayedPool) -> None:
    assert pool.predict(0) == (
        "value",
        {
            "shape": [HEIGHT, WIDTH, 3],
            "dtype": "uint8",
            "values": [0],
            "writeable": False,
            "camera": "cam",
            "seq": 0,
        },
    )


def let_the_frame_go(pool: PlayedPool) -> None:
    """Returning it, or leaving it in a cycle, is not keeping it; slots are told apart."""
    label = {"label": "cat", "confidence": 0.5, "box": [1.0, 2.0, 3.0, 4.0], "class_id": 0}
    assert pool.predict(13) == ("detections", [label])
    for slot in range(4):
        assert pool.predict(14, slot=slot) == ("value", [[14, 14], [14, 14]])
    assert pool.predict(15) == ("detections", [])
    assert pool.predict(16) == ("detections", [])
    assert pool.predict(17) == ("value", [0, 1, 2])


def test_an_outcome_leaves_before_its_lease_comes_back(written: Any) -> None:
    with PlayedPool(written(ANSWERS)) as pool:
        pool.ready()
        pool.attach()
        leases = [pool.lease(14, slot=slot) for slot in range(4)]
        for lease in leases:
            pool.served(lease)
        assert [each.lease for each in pool.outcomes] == leases
        assert [each.lease for each in pool.heard(Returned)] == leases


# ---- rings ---------------------------------------------------------------------------------------


def test_rings_come_and_go_without_a_trace(written: Any) -> None:
    with PlayedPool(written(ANSWERS)) as pool:
        pool.ready()
        pool.attach(1)
        pool.predict(14, ring=1)
        before = descriptors(pool.child.pid)
        for ring in range(2, 40):
            pool.attach(ring)
            assert pool.predict(14, ring=ring)[0] == "value"
            pool.child.link.send(Detach("cam", ring - 1))
            pool.rings.pop(ring - 1).close()
        pool.predict(14, ring=39)
        assert descriptors(pool.child.pid) == before
        assert mapped_rings(pool.child.pid) == 1


def test_a_damaged_ring_ends_the_worker(written: Any, capfd: pytest.CaptureFixture[str]) -> None:
    with PlayedPool(written(ANSWERS)) as pool:
        pool.ready()
        pool.attach(damage=1)
        assert pool.exit_code() == 1
    assert "header is damaged" in capfd.readouterr().err


# ---- endings -------------------------------------------------------------------------------------

FAILING = {
    "setup raises": (
        """
        class Model:
            def setup(self): raise OSError("no weights")
            def predict(self, image): pass
        """,
        "failed in setup",
        "OSError: no weights (own.py, line 3, in setup)",
    ),
    "setup exits": (
        """
        class Model:
            def setup(self): raise SystemExit(0)
            def predict(self, image): pass
        """,
        "failed in setup",
        "SystemExit: 0 (own.py, line 3, in setup)",
    ),
    "import raises": ("1 / 0", "does not import", "ZeroDivisionError"),
    "no such name": ("class Other: pass", 'has no "Model"', "Other"),
}


@pytest.mark.parametrize(("code", "what", "why"), FAILING.values(), ids=FAILING)
def test_a_predictor_that_cannot_start(written: Any, code: str, what: str, why: str) -> None:
    with PlayedPool(written(code)) as pool:
        failed = pool.failed()
        assert failed.exit_code == EXIT_START
        assert what in failed.what
        assert why in failed.why
        assert failed.fix
        assert pool.exit_code() == EXIT_START


def test_a_malformed_reference_has_the_usage_code() -> None:
    with PlayedPool("own.py:1") as pool:
        assert pool.failed().exit_code == EXIT_USAGE
        assert pool.exit_code() == EXIT_USAGE


def test_it_ends_when_its_pool_is_gone(written: Any) -> None:
    with PlayedPool(written(ANSWERS)) as pool:
        pool.ready()
        pool._poller.unregister(pool.child.link.fileno())
        pool.child.link.close()
        assert pool.exit_code() == 0


def test_stop_lets_the_frame_in_hand_be_finished(monkeypatch: pytest.MonkeyPatch) -> None:
    with Gate() as gate:
        for name, value in gate.env.items():
            monkeypatch.setenv(name, value)
        gate.arm("predict")
        with PlayedPool(GATED) as pool:
            pool.ready()
            pool.attach()
            lease = pool.lease(1)
            caught = gate.caught()
            pool.child.link.send(Stop())
            caught.release()
            assert payload(pool.served(lease))["frame"] == 1
            assert pool.exit_code() == 0


@pytest.mark.parametrize("how", ["hang_in_python", "hang_in_c"])
def test_the_dump_signal_writes_every_stack(
    how: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also where C code holds the interpreter's lock and no Python handler would ever run."""
    with Gate() as gate:
        for name, value in gate.env.items():
            monkeypatch.setenv(name, value)
        gate.arm("predict", how)
        with PlayedPool(GATED) as pool:
            pool.ready()
            pool.attach()
            pool.lease(1)
            gate.caught()
            seen: list[str] = []

            def dumped() -> bool:
                os.kill(pool.child.pid, DUMP_SIGNAL)  # the first may come before it hangs
                seen.append(capfd.readouterr().err)
                return f"in _{how}" in "".join(seen)

            wait_until(dumped)
            assert "gated.py" in "".join(seen)
            assert pool.child.process.poll() is None
