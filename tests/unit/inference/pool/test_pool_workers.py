"""Workers that die, hang, start slowly or answer late cost the pool at most a frame."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import onnx_bytes
import pytest
from faults import GATED, Gate
from peers import payload
from played_run import PlayedRun, kinds

from framefan.errors import EXIT_START
from framefan.ipc.messages import Fatal
from framefan_inference.leases import sequencer


@pytest.mark.parametrize("point", ["leased", "predict", "publish", "published"])
def test_a_worker_killed_anywhere_costs_at_most_its_frame(gate: Gate, point: str) -> None:
    with PlayedRun(GATED) as run:
        capture = run.capture()
        run.wait_ready()
        gate.arm(point)
        slot = capture.ready()
        caught = gate.caught()
        run.listen(0.1)
        assert slot in capture.lent, "freed while its worker may still read it"
        caught.kill()
        run.until(lambda: slot in capture.freed, 2)
        record = run.outcome(0, seconds=2)
        if point == "published":
            assert record.kind == "value"
        else:
            assert (record.kind, payload(record)) == ("lost", sequencer.WORKER_DIED)
        run.state(lambda state: state.workers[0].state == "ready", 2)
        capture.ready()
        assert payload(run.outcome(1))["pid"] != caught.pid
        state = run.settled()
        assert state.workers[0].restarts == 1
        assert state.cameras["cam"].leased == 2
        died = next(each for each in run.statuses if each.reason == "died")
        assert (died.subject, died.worker) == ("worker", 1)
        assert "SIGKILL" in died.message


@pytest.mark.parametrize("how", ["hang_in_python", "hang_in_c"])
def test_a_predictor_that_hangs_is_killed_with_its_stack_told(
    gate: Gate, how: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with PlayedRun(GATED, workers=2, predict_s=0.5, order_wait_s=9.0) as run:
        capture = run.capture()
        run.wait_ready()
        gate.arm("predict", how)
        slot = capture.ready()
        gate.caught()
        capture.ready()  # the other worker goes on
        record = run.outcome(0, seconds=4)
        assert (record.kind, payload(record)) == ("lost", sequencer.PREDICT_TIMEOUT)
        assert run.outcome(1).kind == "value"
        run.until(lambda: slot in capture.freed)
        run.wait_ready()
        died = next(each for each in run.statuses if each.reason == "died")
        assert "predict deadline" in died.message
        run.settled()
    assert f"in _{how}" in capfd.readouterr().err


def test_a_stopped_worker_is_killed_at_the_deadline(gate: Gate) -> None:
    with PlayedRun(GATED, predict_s=0.5) as run:
        capture = run.capture()
        run.wait_ready()
        gate.arm("predict")
        capture.ready()
        gate.caught().kill(signal.SIGSTOP)
        assert payload(run.outcome(0, seconds=4)) == sequencer.PREDICT_TIMEOUT
        run.wait_ready()
        run.settled()


def test_a_slow_setup_is_not_killed_before_its_deadline_and_then_is(gate: Gate) -> None:
    gate.arm("setup", "hang_in_python")
    with PlayedRun(GATED, worker_start_s=1.5, predict_s=0.1) as run:
        gate.caught()
        assert run.until(lambda: run.states)[0].workers[0].state == "starting"
        died = run.until(lambda: [each for each in run.statuses if each.reason == "died"])[0]
        assert "start deadline" in died.message
        run.wait_ready()


def test_live_waits_its_patience_and_then_calls_it_late(gate: Gate) -> None:
    with PlayedRun(GATED, workers=2, order_wait_s=0.2) as run:
        capture = run.capture()
        run.wait_ready()
        gate.arm("predict")
        slot = capture.ready()
        caught = gate.caught()
        capture.ready()
        late, good = run.outcome(0), run.outcome(1)
        assert (late.kind, payload(late)) == ("lost", sequencer.LATE)
        assert good.kind == "value"
        assert late.finished_at - good.finished_at >= 0.2
        assert slot in capture.lent, "late, but its worker still reads it"
        caught.release()
        run.until(lambda: slot in capture.freed)
        state = run.state(lambda state: state.stale)
        assert state.stale == 1
        assert state.cameras["cam"].lost_by == {sequencer.LATE: 1}
        assert len(run.outcomes["cam"]) == 2


def test_every_waits_as_long_as_the_lease_lives(gate: Gate) -> None:
    with PlayedRun(GATED, "every", workers=2, order_wait_s=0.1) as run:
        capture = run.capture("every")
        run.wait_ready()
        gate.arm("predict")
        capture.ready()
        caught = gate.caught()
        for _ in range(3):
            capture.ready()
        run.listen(0.4)
        assert run.outcomes["every"] == []
        caught.release()
        run.outcome(3, "every")
        assert kinds(run.outcomes["every"]) == ["value"] * 4


def test_a_worker_that_keeps_dying_fails_and_the_rest_goes_on(written: Any) -> None:
    code = """
    import os

    class Model:
        def setup(self):
            pass

        def predict(self, image, frame):
            if frame.camera == "bad":
                os.abort()
            return "fine"
    """
    with PlayedRun(written(code), "good", "bad", restarts=2, circuit_deaths=0) as run:
        good, bad = run.capture("good"), run.capture("bad")
        for round_ in (1, 2):
            run.wait_ready()
            bad.ready()
            run.state(lambda state, n=round_: state.workers[0].restarts == n)
        failed = run.state(lambda state: state.workers[0].state == "failed")
        assert "SIGABRT" in failed.workers[0].reason
        assert "cv2.imshow" in failed.workers[0].reason
        good.ready()
        waits = run.state(lambda state: state.cameras["good"].waiting)
        assert waits.cameras["bad"].lost == 2


def test_a_predictor_that_cannot_start_ends_the_run(written: Any) -> None:
    with PlayedRun(written("class Other: pass")) as run:
        fatal = run.until(lambda: run.heard(Fatal))[0]
        assert fatal.exit_code == EXIT_START
        assert 'has no "Model"' in fatal.what
        assert fatal.fix


def test_what_a_model_gives_and_nobody_gets_is_told_by_a_notice(tmp_path: Path) -> None:
    output = np.zeros((1, 37, 84), np.float32)
    output[0, :5, 0] = 30, 30, 10, 10, 0.9
    said = {"names": "{0: 'person'}", "task": "segment"}
    (tmp_path / "masks.onnx").write_bytes(onnx_bytes.answering({"out": output}, said))
    with PlayedRun(f"onnx:{tmp_path}/masks.onnx") as run:
        capture = run.capture()
        run.wait_ready()
        capture.ready()
        assert run.outcome(0).kind == "detections"
        (notice,) = [each for each in run.statuses if each.state == "notice"]
        assert notice.reason == "dropped_output"
        assert "prototypes" in notice.message


def test_a_predictor_that_kills_its_process_in_setup_ends_the_run(written: Any) -> None:
    code = """
    import os, signal

    class Model:
        def setup(self):
            os.kill(os.getpid(), signal.SIGFPE)

        def predict(self, image):
            return []
    """
    with PlayedRun(written(code), restarts=2) as run:
        fatal = run.until(lambda: run.heard(Fatal))[0]
        assert fatal.exit_code == EXIT_START
        assert "ended its process while it was set up" in fatal.what
        assert "SIGFPE" in fatal.why
        assert "by itself" in fatal.fix


def test_a_predictor_that_fails_later_does_not(tmp_path: Path, written: Any) -> None:
    flag = tmp_path / "flag"
    code = f"""
    import os
    assert not os.path.exists({str(flag)!r}), "gone bad"

    class Model:
        def predict(self, image): return 1
    """
    with PlayedRun(written(code)) as run:
        state = run.wait_ready()
        flag.touch()
        os.kill(state.workers[0].pid, signal.SIGKILL)
        state = run.state(lambda state: "gone bad" in state.workers[0].reason)
        assert run.heard(Fatal) == []
        flag.unlink()
        run.wait_ready()


def test_a_predictor_that_keeps_the_image_is_told_to_clients(written: Any) -> None:
    code = """
    class Model:
        def predict(self, image):
            self.kept = image
            return 1
    """
    with PlayedRun(written(code)) as run:
        capture = run.capture()
        run.wait_ready()
        for _ in range(3):
            capture.ready()
            run.until(lambda: not capture.lent)
        run.outcome(2)
        assert kinds(run.outcomes["cam"]) == ["value"] * 3
        (notice,) = [each for each in run.statuses if each.state == "notice"]
        assert (notice.reason, notice.worker) == ("kept_image", 1)
        camera = run.settled().cameras["cam"]
        assert (camera.errors, camera.results) == (0, 3)


def test_a_worker_that_leaks_is_replaced_and_loses_nothing(written: Any) -> None:
    code = """
    class Model:
        def predict(self, image, frame):
            if frame.seq == 0:
                self.leak = b"x" * (200 << 20)
            return frame.seq
    """
    with PlayedRun(written(code), worker_memory_bytes=150 << 20) as run:
        capture = run.capture()
        run.wait_ready()
        capture.ready()
        first = run.state(lambda state: state.workers[0].results == 1).workers[0]
        gone = run.until(lambda: [each for each in run.statuses if each.state == "retired"])[0]
        assert gone.worker == first.id
        capture.ready()
        run.outcome(1)
        assert kinds(run.outcomes["cam"]) == ["value", "value"]
        (second,) = run.settled().workers
        assert (second.pid != first.pid, second.restarts) == (True, 0)
