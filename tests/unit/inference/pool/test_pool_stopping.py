"""The pool stops in bounded time, settles every frame and leaves nothing behind."""

from __future__ import annotations

import psutil
import pytest
from faults import GATED, Gate
from played_run import PlayedRun, kinds

from framefan.ipc.messages import Stop


@pytest.mark.parametrize("how", ["message", "signal"])
def test_stop_finishes_the_frame_in_hand_and_settles_the_rest(gate: Gate, how: str) -> None:
    with PlayedRun(GATED, workers=2) as run:
        capture = run.capture()
        state = run.wait_ready()
        gate.arm("predict")
        capture.ready()
        caught = gate.caught()
        if how == "message":
            run.child.link.send(Stop())
        else:
            run.child.terminate()
        other = next(each.pid for each in state.workers if each.pid != caught.pid)
        run.until(lambda: not psutil.pid_exists(other))
        capture.ready()  # nobody will take it
        run.state(lambda state: state.cameras["cam"].waiting == 1)
        caught.release()
        assert run.exit_code() == 0
        assert kinds(run.outcomes["cam"]) == ["value"]
        camera = run.states[-1].cameras["cam"]
        assert (camera.captured, camera.leased, camera.waiting) == (2, 1, 1)
        assert camera.running == 0
        assert run.last_table().state.cameras["cam"] == camera
        assert not psutil.pid_exists(caught.pid)


def test_stop_does_not_wait_for_ever(gate: Gate) -> None:
    with PlayedRun(GATED, grace_s=1.0) as run:
        capture = run.capture()
        run.wait_ready()
        gate.arm("predict", "hang_in_c")
        capture.ready()
        caught = gate.caught()
        assert run.stop() == 0
        assert kinds(run.outcomes["cam"]) == ["lost"]
        assert run.states[-1].cameras["cam"].running == 0
        assert not psutil.pid_exists(caught.pid)


def test_stop_right_after_the_start(sees: str) -> None:
    with PlayedRun(sees, workers=2) as run:
        assert run.stop() == 0
        assert run.states == [] or run.states[-1].cameras["cam"].captured == 0


@pytest.mark.parametrize("busy", [False, True])
def test_the_pool_ends_when_its_supervisor_is_gone(gate: Gate, busy: bool) -> None:
    with PlayedRun(GATED) as run:
        capture = run.capture()
        worker = run.wait_ready().workers[0].pid
        if busy:
            gate.arm("predict", "hang_in_c")
            capture.ready()
            gate.caught()
        run.child.link.close()
        run.closed = True
        assert run.exit_code(5) == 0
        run.until(lambda: not psutil.pid_exists(worker))


def test_nothing_is_left_in_the_folder_but_what_the_next_run_replaces(sees: str) -> None:
    with PlayedRun(sees) as run:
        run.wait_ready()
        run.stop()
        left = {path.name for path in run.folder.iterdir()}
        ours = {"pool", "results", "outcomes", "picture1", "picture2", "picture3"}
        assert left <= ours
        assert all(path.is_socket() for path in run.folder.iterdir())
    assert not psutil.pid_exists(run.child.pid) or run.child.process.poll() is not None


def test_the_ends_of_workers_at_stop_are_no_deaths(sees: str) -> None:
    with PlayedRun(sees, workers=2) as run:
        run.wait_ready()
        assert run.stop() == 0
        assert [each for each in run.statuses if each.reason == "died"] == []
