"""Workers that hang, start slowly, crash at start: ended within their deadlines, and said why."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import psutil
import pytest
from faults import GATED, limits, sabotage
from runs import Run, assert_balanced
from waiting import wait_until

from framefan.base.clock import now

if TYPE_CHECKING:
    from pathlib import Path

    from faults import Gate

    from framefan.ipc.records import StateRecord, WorkerFacts

SOURCE = "cam=demo?size=320x240&fps=20"
PREDICT_S = 1.0
OFTEN = limits(state_every_s=0.1)
HANGS = ("hang_in_python", "hang_in_c", "stopped")


def _worker(run: Run, pid: int) -> WorkerFacts:
    return next(worker for worker in run.fresh_state().workers if worker.pid == pid)


def _lost_by(run: Run) -> dict[str, int]:
    return run.camera("cam").lost_by


def _hang(run: Run, gate: Gate, how: str) -> None:
    """One worker hangs in predict: it is replaced in time, and the other one works on."""
    before = _lost_by(run).get("predict_timeout", 0)
    gate.arm("predict", "wait" if how == "stopped" else how)
    caught = gate.caught()
    if how == "stopped":
        psutil.Process(caught.pid).suspend()
    number = _worker(run, caught.pid).id
    results = run.camera("cam").results

    def replaced() -> bool:
        worker = run.state().workers[number - 1]
        return worker.pid not in (0, caught.pid) and worker.state in ("ready", "busy")

    wait_until(replaced, PREDICT_S + 2, f"the end of a worker that {how}")
    assert not psutil.pid_exists(caught.pid)
    assert _lost_by(run).get("predict_timeout", 0) == before + 1
    assert run.camera("cam").results > results + 5, "the other worker stood still"
    assert_balanced(run.fresh_state())


def _run_that_hangs(gate: Gate, *env: dict[str, str]) -> Run:
    # With more patience for the order than for predict, the deadline is what settles the seq.
    merged = gate.env | OFTEN | limits(predict_s=PREDICT_S, order_wait_s=5, circuit_deaths=0)
    for each in env:
        merged |= each
    return Run(SOURCE, "-p", GATED, "-w", "2", env=merged)


@pytest.mark.parametrize("how", HANGS)
def test_a_worker_that_hangs_is_replaced_within_the_deadline(gate: Gate, how: str) -> None:
    """Each in a run of its own: after a second death within a minute a worker waits longer."""
    with _run_that_hangs(gate) as run:
        _hang(run, gate, how)
        log = run.log()
    if how != "stopped":
        assert f"in _{how}" in log, "no stack of the one that hung"
    assert log.count("no answer within the predict deadline") == 1


def test_without_the_deadline_it_would_hang_for_ever(gate: Gate, tmp_path: Path) -> None:
    broken = sabotage(
        tmp_path,
        "framefan_inference.main",
        "from framefan_inference.pool.worker_handle import WorkerHandle as m\n"
        "m.hangs = lambda *_: False",
    )
    with pytest.raises(AssertionError, match="hang_in_c"), _run_that_hangs(gate, broken) as run:
        _hang(run, gate, "hang_in_c")


def test_a_slow_setup_is_waited_for_and_an_endless_one_is_not(gate: Gate) -> None:
    start_s = 4.0
    short = limits(predict_s=0.3, worker_start_s=start_s, restarts=100)
    gate.arm("setup")
    run = Run(SOURCE, "-p", GATED, "-w", "1", env=gate.env | OFTEN | short).start()
    slow = gate.caught()
    began = now()
    until = began + start_s / 2
    with run.taking_over():
        wait_until(lambda: now() > until and run.fresh_state(), 10, "half the start deadline")
        assert _worker(run, slow.pid).state == "starting"
        assert run.get("/readyz")[0] == 503, "ready without a worker"
        slow.release()
        wait_until(lambda: _worker(run, slow.pid).state in ("ready", "busy"), 2, "the slow one")
        run.wait_ready()

        gate.arm("setup", "hang_in_c")
        slow.kill()
        endless = gate.caught()
        assert endless.pid != slow.pid
        wait_until(lambda: not psutil.pid_exists(endless.pid), start_s + 2, "its end")
        wait_until(
            lambda: run.fresh_state().workers[0].state in ("ready", "busy"), 8, "one that works"
        )
        assert "not ready within the start deadline" in run.log()
        assert "in setup" in run.log(), "no stack of the one that hung"
        assert_balanced(run.fresh_state())


def test_crashing_at_start_again_and_again_fails_alone_and_cheaply(gate: Gate) -> None:
    """One worker aborts in setup every time; the other one, the run and the processor live on."""
    quick = limits(restart_first_s=0.1, restart_cap_s=0.4, circuit_deaths=0)
    with Run("cam=demo?size=160x120&fps=5", "-p", GATED, "-w", "2", env=gate.env | quick) as run:
        wait_until(
            lambda: all(w.state in ("ready", "busy") for w in run.fresh_state().workers),
            10,
            "both workers",
        )
        victim, other = run.fresh_state().workers
        overseers = [psutil.Process(run.process.pid), psutil.Process(run.pid_of("pool"))]
        began, spent = now(), _cpu_s(overseers)
        psutil.Process(victim.pid).kill()
        for _ in range(4):  # with the kill these are the five deaths of the budget
            gate.arm("setup", "abort")
            gate.caught()
        failed = wait_until(lambda: _failed(run.fresh_state(), victim.id), 5, "failed")
        assert failed.restarts == 5
        assert "SIGABRT" in failed.reason
        assert "cv2.imshow" in failed.reason, "no hint at the usual cause"
        until = began + 5
        wait_until(lambda: now() > until, 10, "5 s")
        share = (_cpu_s(overseers) - spent) / (now() - began)
        assert share < 0.05, f"supervisor and pool take {share:.1%} of a core"
        state = run.fresh_state()
        assert state.workers[victim.id - 1].state == "failed", "it was started again"
        assert state.workers[other.id - 1].pid == other.pid
        results = state.cameras["cam"].results
        wait_until(lambda: run.camera("cam").results > results + 5, 5, "results of the other one")
        assert run.get("/readyz")[0] == 200
        assert_balanced(run.fresh_state())


def _failed(state: StateRecord, number: int) -> WorkerFacts | None:
    worker = state.workers[number - 1]
    return worker if worker.state == "failed" else None


def _cpu_s(processes: list[psutil.Process]) -> float:
    times = [process.cpu_times() for process in processes]
    return sum(each.user + each.system for each in times)


def test_the_seq_of_a_hanging_worker_is_lost_once(gate: Gate) -> None:
    """What a worker says after its seq was given up changes nothing."""
    with _run_that_hangs(gate, limits(order_wait_s=0.2)) as run:
        outcomes = run.results("cam")
        try:
            gate.arm("publish")
            caught = gate.caught()
            wait_until(lambda: _lost_by(run).get("late"), 3, "its seq given up as late")
            stale = run.fresh_state().stale
            caught.release()
            wait_until(lambda: run.fresh_state().stale == stale + 1, 3, "the late outcome counted")
            wait_until(lambda: run.camera("cam").results > caught.seq + 10, 5, "more results")
            mine = [each for each in outcomes.read() if each.seq == caught.seq]
            assert [each.kind for each in mine] == ["lost"]
            assert msgspec.msgpack.decode(mine[0].payload) == "late"
            assert_balanced(run.fresh_state())
        finally:
            outcomes.close()
