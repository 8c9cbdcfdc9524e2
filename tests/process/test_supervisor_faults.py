"""Captures, pool, gateway and supervisor killed or stopped; second runs, signals, clocks."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
import shutil
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from faults import GATED, limits, sabotage
from runs import Run, assert_balanced, assert_exactly_once, framefan
from waiting import SCALE, is_within, slack, wait_until
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

import framefan as package
from framefan.base.clock import now

if TYPE_CHECKING:
    from collections.abc import Iterator

    from faults import Gate
    from runs import Outcomes

    from framefan.ipc.records import OutcomeRecord

pytestmark = pytest.mark.alone

TWO = ("a=demo?size=320x240&fps=20", "b=demo?size=160x120&fps=20&seed=2")
OFTEN = limits(state_every_s=0.1)
BACK_S = 3.0
TREE = ("pool", "gateway", "capture", "worker")


@contextlib.contextmanager
def _two_cameras(*arguments: str, **env: str) -> Iterator[tuple[Run, Outcomes]]:
    with Run(*TWO, *arguments, env=OFTEN | env) as run:
        with contextlib.closing(run.results()) as outcomes:
            wait_until(lambda: {each.camera for each in outcomes.read()} == {"a", "b"}, 10, "both")
            yield run, outcomes
        state = run.fresh_state()
        assert_balanced(state)


def _kill(pid: int) -> None:
    process = psutil.Process(pid)
    process.kill()
    wait_until(lambda: not process.is_running() or process.status() == "zombie", 5, "the death")


def _pids(run: Run) -> dict[str, int]:
    """Everything in the tree by its name."""
    state = run.fresh_state()
    captures = {f"capture {name}": facts.pid for name, facts in state.cameras.items()}
    workers = {f"worker {worker.id}": worker.pid for worker in state.workers}
    gateways = {"gateway": state.gateways[0].pid}
    return {"pool": state.pool.pid} | captures | workers | gateways


def _next(outcomes: Outcomes, camera: str, after: int, epoch: str = "") -> OutcomeRecord | None:
    """The first outcome of a camera later than the `after`th of all, not of that epoch."""
    news = (each for each in outcomes.read()[after:] if each.camera == camera)
    return next((each for each in news if each.epoch != epoch and each.kind != "lost"), None)


# ---- kill -9 ---------------------------------------------------------------------------------


def test_a_killed_capture_comes_back_and_its_frame_numbers_go_on() -> None:
    with _two_cameras() as (run, outcomes):
        before = _pids(run)
        _kill(before["capture a"])
        died_at, seen = now(), len(outcomes.read())
        last = [each for each in outcomes.all if each.camera == "a"][-1]
        again = wait_until(lambda: _next(outcomes, "a", seen + 1), BACK_S, "results again")
        assert is_within(died_at, BACK_S)
        assert again.frame > last.frame
        assert again.epoch == last.epoch
        after = wait_until(
            lambda: (
                (p := _pids(run))
                and all(p.values())
                and p["capture a"] != before["capture a"]
                and p
            ),
            5,
            "all pids",
        )
        changed = {name for name in before if after[name] != before[name]}
        assert changed == {"capture a"}
        wait_until(lambda: run.camera("a").state == "live", 2, "live")
        frames = [each.frame for each in outcomes.read() if each.camera == "a"]
        assert frames == sorted(set(frames)), "a frame number was used twice"
        assert_exactly_once(outcomes.all)
        assert max(_pauses(outcomes, "b")) < slack(), "the other camera stood still"


def _pauses(outcomes: Outcomes, camera: str) -> list[float]:
    times = [each.finished_at for each in outcomes.all if each.camera == camera]
    return [later - earlier for earlier, later in itertools.pairwise(times)]


def test_a_killed_pool_comes_back_with_a_new_epoch() -> None:
    with _two_cameras() as (run, outcomes):
        before = _pids(run)
        old = run.fresh_state().epoch
        wait_until(lambda: outcomes.read() and _last_frame(outcomes, "b") > 40, 10, "frame 40")
        _kill(before["pool"])
        died_at, seen = now(), len(outcomes.read())
        last = {camera: _last_frame(outcomes, camera) for camera in "ab"}
        first = {
            camera: wait_until(lambda c=camera: _next(outcomes, c, seen, old), BACK_S, camera)
            for camera in "ab"
        }
        assert is_within(died_at, BACK_S)
        wait_until(lambda: not any(map(_lives, _workers(before))), 2, "the end of its workers")
        for camera, outcome in first.items():
            assert outcome.frame > last[camera], "frame numbers did not go on"
        state = run.fresh_state()
        assert state.epoch != old
        assert all(facts.state == "live" for facts in state.cameras.values())
        after = _pids(run)
        assert {name: after[name] for name in ("gateway", "capture a", "capture b")} == {
            name: before[name] for name in ("gateway", "capture a", "capture b")
        }
        assert_exactly_once(outcomes.read())


def _last_frame(outcomes: Outcomes, camera: str) -> int:
    return max(each.frame for each in outcomes.all if each.camera == camera)


def _workers(pids: dict[str, int]) -> list[int]:
    return [pid for name, pid in pids.items() if name.startswith("worker")]


def _lives(pid: int) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def _client(run: Run) -> ClientConnection:
    return connect(run.ws, proxy=None, open_timeout=10 * SCALE)


def _results(client: ClientConnection) -> Iterator[dict[str, Any]]:
    while True:
        message = json.loads(client.recv(timeout=10 * SCALE))
        if message["type"] == "result":
            yield message


def test_a_killed_gateway_causes_no_refusal_and_affects_nothing_else() -> None:
    with _two_cameras() as (run, outcomes), _client(run) as client:
        before = _pids(run)
        list(zip(range(10), _results(client), strict=False))
        _kill(before["gateway"])
        died_at = now()
        with _client(run) as meanwhile:  # in the backlog of the supervisor's socket until then
            next(_results(meanwhile))
            assert is_within(died_at, BACK_S)
            with pytest.raises(ConnectionClosed):
                list(_results(client))
        after = wait_until(lambda: (p := _pids(run)) and all(p.values()) and p, 5, "all pids")
        assert {name for name in before if after[name] != before[name]} == {"gateway"}
        outcomes.read()
        assert_exactly_once(outcomes.all)
        assert max(_pauses(outcomes, "a")) < slack(), "the bus stood still"


@pytest.mark.parametrize("action", ["wait", "hang_in_c"])
def test_a_killed_supervisor_takes_all_with_it_and_the_next_start_works(
    action: str, gate: Gate
) -> None:
    """Their end is the kernel's doing, so one that holds the interpreter's lock ends too."""
    first = Run(TWO[0], "-p", GATED, env=OFTEN | gate.env, stop=False).start()
    with first.killed_at_exit():
        first.wait_ready()
        gate.arm("predict", action)
        gate.caught()
        pids = [*_pids(first).values()]
        assert len(pids) == 5
        assert all(map(_lives, pids))
        first.process.kill()
        first.process.wait()
        wait_until(lambda: not any(map(_lives, pids)), 2, "the end of all children")
        left = {path.name for path in first.dir.iterdir()}
        assert {"lock", "results", "pool"} <= left, "there was nothing to stumble over"
        (first.dir / "of-another-version").mkdir()
        (first.dir / "of-another-version" / "control").write_text("?")
    with Run(TWO[0], "-p", GATED, env=OFTEN | gate.env, after=first) as second:
        assert second.camera("a").results >= 0
        assert not (second.dir / "of-another-version").exists()


def test_without_that_signal_a_child_holding_the_lock_would_stay(
    gate: Gate, tmp_path: Path
) -> None:
    """Without PR_SET_PDEATHSIG only the end of the link tells, and that worker hears nothing."""
    broken = sabotage(
        tmp_path,
        "framefan_inference.worker.worker",
        "import framefan.base.host as m\nm.die_with_parent = lambda _: None",
    )
    run = Run(TWO[0], "-p", GATED, env=OFTEN | gate.env | broken, stop=False).start()
    with run.killed_at_exit():
        run.wait_ready()
        # A worker that still loads hears of the end of its link only when it is up.
        wait_until(lambda: all(each.state == "ready" for each in run.fresh_state().workers), 30)
        gate.arm("predict", "hang_in_c")
        stuck = gate.caught()
        others = [pid for pid in _pids(run).values() if pid != stuck.pid]
        run.process.kill()
        run.process.wait()
        wait_until(lambda: not any(map(_lives, others)), 2, "the end of the others")
        assert _lives(stuck.pid)


# ---- other runs, other signals ---------------------------------------------------------------


def test_a_second_run_of_the_same_name_is_refused_and_the_first_unharmed() -> None:
    with _two_cameras() as (run, outcomes):
        before = _pids(run)
        second = framefan(
            "run", "--name", run.name, "--port", "0", env={"XDG_RUNTIME_DIR": str(run.runtime)}
        )
        assert second.returncode == 3, second.stderr
        assert f"pid {run.process.pid}" in second.stderr
        assert re.search(r"^framefan: .*\n  why: .*\n  do:  .*\n$", second.stderr), second.stderr
        seen = len(outcomes.read())
        wait_until(lambda: len(outcomes.read()) > seen + 20, 5, "results as before")
        assert _pids(run) == before
        assert run.dir.exists()


def _stopped(run: Run, seconds: float) -> int:
    """The exit code after SIGTERM, in this many seconds at most."""
    began = now()
    code = run.stop(signal.SIGTERM)
    assert is_within(began, seconds)
    return code


@pytest.mark.parametrize("when", ["folder", "pool", "capture"])
def test_sigterm_while_it_starts_is_a_clean_end(when: str) -> None:
    run = Run(TWO[0], stop=False).start()
    with run.taking_over():
        if when == "folder":
            wait_until((run.dir / "lock").exists, 10, "its folder")
        else:
            wait_until(lambda: any(when in name for name in _names(run)), 10, when)
        assert _stopped(run, seconds=5) == 0, run.log()
        for trouble in ("error:", "warning:", "Traceback"):
            assert trouble not in run.log(), run.log()


def _names(run: Run) -> list[str]:
    names = []
    for process in run.descendants():
        with contextlib.suppress(psutil.NoSuchProcess):
            names.append(" ".join(process.cmdline()))
    return names


def test_sigterm_while_a_predictor_is_set_up(gate: Gate) -> None:
    """It holds no frame, so nobody waits for it."""
    gate.arm("setup", "hang_in_c")
    run = Run(TWO[0], "-p", GATED, "-w", "1", env=gate.env, stop=False).start()
    with run.taking_over():
        gate.caught()
        assert _stopped(run, seconds=2) == 0, run.log()


def test_a_second_sigterm_ends_it_now(gate: Gate) -> None:
    """A worker in predict gets half the grace, unless somebody is in a hurry."""
    env = gate.env | limits(grace_s=40, predict_s=40)
    with Run(TWO[0], "-p", GATED, "-w", "1", env=env, stop=False) as run:
        gate.arm("predict", "hang_in_c")
        stuck = gate.caught()
        captures = [process for process in run.descendants() if _is(process, "capture")]
        assert captures
        run.process.terminate()
        wait_until(lambda: not any(_lives(p.pid) for p in captures), 5, "the others to stop")
        until = now() + 0.3  # closer together two signals count as one
        wait_until(lambda: now() > until, 1, "a moment")
        assert _lives(stuck.pid)
        assert _stopped(run, seconds=3) == 130, run.log()


def _is(process: psutil.Process, stage: str) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return stage in " ".join(process.cmdline())
    return False


def test_ctrl_c_in_a_terminal_reaches_the_whole_group() -> None:
    run = Run(*TWO, stop=False)
    with run:
        run.descendants()
        os.killpg(run.process.pid, signal.SIGINT)
        assert run.process.wait(10 * SCALE) == 0, run.log()
        assert "died" not in run.log()
        assert "Traceback" not in run.log()


def test_sighup_stops_it_in_order() -> None:
    run = Run(TWO[0], stop=False)
    with run:
        assert run.stop(signal.SIGHUP) == 0, run.log()
        assert "died" not in run.log()


# ---- clocks ----------------------------------------------------------------------------------

JUMPING_CLOCK = """
import os, time
real, mark = time.time, {mark!r}
time.time = lambda: real() + (3600 if os.path.exists(mark) else 0)
"""


def test_the_wall_clock_jumps_an_hour_and_no_process_is_killed(tmp_path: Path) -> None:
    """Every process believes it; nothing but the stamps changes."""
    mark = tmp_path / "jumped"
    env = sabotage(tmp_path, "-m", JUMPING_CLOCK.format(mark=str(mark)))
    with _two_cameras(**env) as (run, outcomes), _client(run) as client:
        before, real = _pids(run), outcomes.read()[-1].ts
        mark.touch()
        ahead = wait_until(lambda: (m := next(_results(client)))["ts"] > real + 3000 and m, 5, "it")
        for _ in range(40):
            ahead = next(_results(client))
            assert 0 <= ahead["latency_ms"]["total"] < 1000 * SCALE, ahead
        mark.unlink()
        wait_until(lambda: next(_results(client))["ts"] < real + 600, 5, "the way back")
        latency = next(_results(client))["latency_ms"]
        assert 0 <= latency["total"] < 1000 * SCALE
        assert _pids(run) == before


def test_with_deadlines_of_the_wall_clock_the_jump_ends_all(tmp_path: Path) -> None:
    mark = tmp_path / "jumped"
    code = JUMPING_CLOCK.format(mark=str(mark)) + "\nimport framefan.base.clock\n"
    env = sabotage(tmp_path, "-m", code + "framefan.base.clock.now = time.time")
    run = Run(TWO[0], env=OFTEN | env, stop=False)  # for a duration of 600 s at most
    with run:
        mark.touch()
        assert run.process.wait(10 * SCALE) == 0, run.log()
    assert "stopping: after " in run.log()


def test_deadlines_never_read_the_wall_clock() -> None:
    """framefan.base.clock is the only place that names it."""
    folder = Path(package.__file__).parent.parent
    sources = [
        path
        for part in ("framefan", "capture", "inference", "gateway")
        for path in (folder / part).rglob("*.py")
    ]
    assert len(sources) > 40
    named = re.compile(r"\btime\.time\b|\bfrom time import\b|datetime\.now")
    users = {path.name for path in sources if named.search(path.read_text())}
    assert users == {"clock.py"}


def test_a_folder_that_is_removed_under_a_run_is_made_again() -> None:
    with Run("demo?size=320x240") as run:
        mine = {"XDG_RUNTIME_DIR": str(run.runtime)}
        scaled = framefan("scale", "--gateways", "2", "--name", run.name, env=mine)
        assert scaled.returncode == 0, scaled.stderr
        url, pool = run.url, run.fresh_state().pool.pid
        shutil.rmtree(run.dir)
        os.kill(pool, signal.SIGKILL)
        wait_until(lambda: run.get("/readyz")[0] != 200 or "the run restarts" in run.log(), 10)
        wait_until(lambda: run.fresh_state().pool.pid != pool, 30, "another pool")
        run.wait_ready()
        assert run.url == url, "clients come back to where they were"
        outcomes = run.results("demo")
        wait_until(outcomes.read, 10, "a result")
        outcomes.close()
        assert "was removed: the run restarts" in run.log()
        assert len(run.fresh_state().gateways) == 2, "it stays scaled"
        second = framefan("run", "demo", "--name", run.name, env=mine)
        assert second.returncode == 3
        assert "is already running" in second.stderr
