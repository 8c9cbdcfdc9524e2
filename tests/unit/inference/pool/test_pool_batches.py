"""The pool with a predictor that takes several frames a call, and with frames that kill."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from peers import payload
from played_run import PlayedRun

from framefan_inference.leases import sequencer

if TYPE_CHECKING:
    from faults import Gate

BATCHED = f"{Path(__file__).parents[3] / 'gated.py'}:GatedBatch"
CAMERAS = ("a", "b", "c")


def three_in_one_call(run: PlayedRun, gate: Gate) -> tuple[Any, list[int | None]]:
    """Workers caught in a call with a frame of each camera; the slots of those."""
    captures = [run.capture(name) for name in CAMERAS]
    run.wait_ready()
    gate.arm("predict")
    captures[0].ready()
    first = gate.caught()  # while it is held, the next ones gather
    slots = [capture.ready() for capture in captures]
    run.state(lambda state: all(camera.waiting == 1 for camera in state.cameras.values()))
    gate.arm("predict_batch")
    first.release()
    return gate.caught(), slots


def test_what_waits_goes_in_one_call(gate: Gate) -> None:
    with PlayedRun(BATCHED, *CAMERAS) as run:
        caught, _ = three_in_one_call(run, gate)
        run.listen(0.3)
        caught.release()
        found = [run.outcome(1 if name == "a" else 0, name) for name in CAMERAS]
        assert [payload(each)["size"] for each in found] == [3, 3, 3]
        assert len({(each.started_at, each.finished_at) for each in found}) == 1
        state = run.state(lambda state: state.workers[0].results == 4)
        assert state.workers[0].busy <= 1.0
        run.settled()


def test_a_worker_that_dies_with_several_loses_each_once(gate: Gate) -> None:
    with PlayedRun(BATCHED, *CAMERAS) as run:
        caught, slots = three_in_one_call(run, gate)
        caught.kill()
        for name, slot in zip(CAMERAS, slots, strict=True):
            record = run.outcome(1 if name == "a" else 0, name)
            assert (record.kind, payload(record)) == ("lost", sequencer.WORKER_DIED)
            capture = next(each for each in run.captures if each.name == name)
            run.until(lambda c=capture, s=slot: s in c.freed)
        state = run.settled()
        assert {camera.circuit for camera in state.cameras.values()} == {"closed"}
        run.wait_ready()
        # Who was guilty is unknown: for a while each goes alone.
        gate.arm("predict")
        run.captures[0].ready()
        held = gate.caught()
        for capture in run.captures:
            capture.ready()
        run.state(lambda state: all(camera.waiting == 1 for camera in state.cameras.values()))
        held.release()
        for name in CAMERAS:
            assert "size" not in payload(run.outcome(3 if name == "a" else 1, name))
        run.settled()


def test_a_batch_that_hangs_has_one_deadline(gate: Gate) -> None:
    with PlayedRun(BATCHED, *CAMERAS, predict_s=0.5, order_wait_s=9.0) as run:
        three_in_one_call(run, gate)
        for name in CAMERAS:
            record = run.outcome(1 if name == "a" else 0, name, seconds=4)
            assert payload(record) == sequencer.PREDICT_TIMEOUT
        run.wait_ready()
        assert run.settled().workers[0].restarts == 1


def test_a_camera_that_kills_is_left_out_and_comes_back(gate: Gate) -> None:
    quick = {"circuit_retry_s": 1.0, "restarts": 2, "restart_first_s": 30.0}
    with PlayedRun(BATCHED, "good", "bad", **quick) as run:
        good, bad = run.capture("good"), run.capture("bad")
        for n in range(3):
            run.wait_ready()
            gate.arm("predict_bad", "die")
            bad.ready()
            gate.caught()
            run.outcome(n, "bad")
        state = run.state(lambda state: state.cameras["bad"].circuit == "open")
        assert "3 workers died within 60 s" in state.cameras["bad"].circuit_message
        state = run.wait_ready()
        assert state.workers[0].restarts == 3, "they do not count on the worker"
        bad.ready()
        run.state(lambda state: state.cameras["bad"].superseded_by == {"circuit": 1})
        good.ready()
        assert run.outcome(0, "good").kind == "value"

        def half_open() -> bool:
            if not bad.lent:
                bad.ready()
            return len(run.outcomes["bad"]) == 4

        run.until(half_open)
        assert run.outcome(3, "bad").kind == "value"
        state = run.state(lambda state: state.cameras["bad"].circuit == "closed")
        assert state.cameras["bad"].circuit_message == ""
        mine = [each for each in run.statuses if each.subject == "predictor"]
        assert [each.state for each in mine] == ["open", "half_open", "closed"]
        assert {(each.camera, each.reason) for each in mine} == {("bad", "circuit")}
        assert mine[0].next_try_s == 1.0
        run.settled()
