"""kill -9 of a worker at every step of a frame's life: nothing is lost but that one frame.

Below it the same kills go to runs in which one guard is switched off: there they must be noticed.
"""

from __future__ import annotations

import contextlib
import itertools
from typing import TYPE_CHECKING

import msgspec
import pytest
from faults import GATED, TIMES, Caught, limits, sabotage
from runs import Run, assert_balanced, assert_exactly_once
from waiting import less_patient, wait_until

if TYPE_CHECKING:
    from pathlib import Path

    from faults import Gate
    from runs import Outcomes

    from framefan.ipc.records import CameraFacts, OutcomeRecord

SOURCE = "cam=demo?size=320x240&fps=30"
POINTS = {
    "leased": {"lost"},
    "predict": {"lost"},
    "publish": {"lost"},
    "published": {"value", "lost"},  # it had left for certain, or had not left the process
    "returned": {"value", "lost"},
}
"""Where a worker is killed, and what may become of the seq it had."""
BUDGET = limits(restarts=1000, restart_cap_s=0.5, circuit_deaths=0, state_every_s=0.1)
"""So many deaths are the test's doing: each restart is as quick as a first one, none is blamed."""
BACK_S = 2.0
KILLS = 20 * TIMES


class Kills:
    """A run whose workers are killed one after the other."""

    def __init__(self, run: Run, gate: Gate, outcomes: Outcomes) -> None:
        self.run = run
        self.gate = gate
        self.outcomes = outcomes

    def catch(self, point: str, action: str) -> tuple[Caught, dict[int, int]]:
        """A worker at the point, and the pids of all workers by number."""
        workers = {worker.id: worker.pid for worker in self.run.fresh_state().workers}
        self.gate.arm(point, action)
        caught = self.gate.caught()
        return caught, workers

    def kill(self, point: str, action: str) -> None:
        caught, workers = self.catch(point, action)
        if action == "wait":
            if "value" in POINTS[point]:  # let it leave first: dying at once is the other action
                wait_until(lambda: self._of(caught), 2, f"the outcome of {vars(caught)}")
            caught.kill()
        outcome = wait_until(lambda: self._of(caught), 2, f"an outcome of {vars(caught)}")
        self._check(caught, action, outcome)
        number = next(number for number, pid in workers.items() if pid == caught.pid)
        wait_until(lambda: self._is_back(number, caught.pid), BACK_S, f"worker {number} again")
        state = self.run.fresh_state()
        others = {worker.id: worker.pid for worker in state.workers if worker.id != number}
        assert others == {n: pid for n, pid in workers.items() if n != number}, "others died too"
        assert_balanced(state)

    def _of(self, caught: Caught) -> OutcomeRecord | None:
        each = (r for r in self.outcomes.read() if (r.camera, r.seq) == (caught.camera, caught.seq))
        return next(each, None)

    def _check(self, caught: Caught, action: str, outcome: OutcomeRecord) -> None:
        expected = POINTS[caught.point]
        if action == "wait" and "value" in expected:
            expected = {"value"}
        assert outcome.kind in expected, (caught.point, action, outcome)
        assert outcome.frame == caught.frame
        payload = msgspec.msgpack.decode(outcome.payload)
        if outcome.kind == "lost":
            assert payload == "worker_died"
        else:
            assert payload["pid"] == caught.pid

    def _is_back(self, number: int, old: int) -> bool:
        state = self.run.state()
        worker = state.workers[number - 1]
        return worker.pid not in (0, old) and worker.state in ("ready", "busy")

    def assert_nothing_is_missing(self) -> None:
        """Every slot is back, every seq was told once, and frames flow as before."""
        before = self.run.camera("cam")
        assert set(before.lost_by) <= {"worker_died"}, before
        assert before.slots_out <= len(self.run.state().workers) + 1, before
        wait_until(lambda: self.run.camera("cam").results > before.results + 20, 5, "20 results")
        self._assert_slots_suffice()
        assert_exactly_once(self.outcomes.read())

    def _assert_slots_suffice(self) -> None:
        """Even while every worker holds one, capture finds a free slot for each frame."""
        held = []
        for _ in self.run.state().workers:
            self.gate.arm("predict")
            held.append(self.gate.caught())
        before = self.run.camera("cam")
        wait_until(lambda: self.run.camera("cam").captured > before.captured + 20, 5, "20 frames")
        assert _no_slot(self.run.camera("cam")) == _no_slot(before), "slots did not come back"
        for each in held:
            each.release()


def _no_slot(facts: CameraFacts) -> int:
    return facts.superseded_by.get("no_slot", 0)


def _rounds(count: int) -> list[tuple[str, str]]:
    """Each point in turn; every second time round the worker dies by itself, there and then."""
    turns = itertools.product(("wait", "die"), POINTS)
    return [(point, action) for action, point in itertools.islice(itertools.cycle(turns), count)]


def _kill_and_count(run: Run, gate: Gate, count: int) -> None:
    with contextlib.closing(run.results()) as outcomes:
        kills = Kills(run, gate, outcomes)
        for point, action in _rounds(count):
            kills.kill(point, action)
        kills.assert_nothing_is_missing()


@pytest.mark.timeout(60 + 5 * KILLS)
def test_a_worker_killed_at_any_step(gate: Gate) -> None:
    with Run(SOURCE, "-p", GATED, "-w", "2", env=gate.env | BUDGET) as run:
        _kill_and_count(run, gate, KILLS)
        assert sum(worker.restarts for worker in run.state().workers) == KILLS


GUARDS = {
    "slots go back when a worker has died": """
import framefan_inference.leases.schedule as m
down = m.Schedule.worker_down
m.Schedule.worker_down = lambda self, worker: down(self, worker)[:0]
""",
    "a seq whose worker has died is lost": """
import framefan_inference.leases.sequencer as m
m.SILENCE_S = 1e9
""",
    "a dead worker is started again": """
import framefan_inference.pool.workers as m
start = m.Workers.start
m.Workers.start = lambda self, worker: worker.facts.restarts or start(self, worker)
""",
}


@pytest.mark.parametrize("guard", GUARDS)
def test_this_fails_without(guard: str, gate: Gate, tmp_path: Path) -> None:
    broken = sabotage(tmp_path, "framefan_inference.main", GUARDS[guard])
    run = Run(SOURCE, "-p", GATED, "-w", "2", env=gate.env | BUDGET | broken)
    with pytest.raises(AssertionError), run, less_patient(0.5):
        _kill_and_count(run, gate, 4)
