"""Capture processes that crash or stand still: only their own camera is away, and not for long."""

from __future__ import annotations

import contextlib
import signal
import textwrap
from typing import TYPE_CHECKING

import psutil
import pytest
from camera_runs import SOON, CameraRun, frames_rise
from fake_camera import FakeCamera, Frames
from faults import limits
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

STANDSTILL_S = 2.5
WAITS = {
    "in Python": "threading.Event().wait()",
    "in C": "ctypes.PyDLL(None).pause()  # and keeps the interpreter's lock",
}
OWN = """
    import ctypes, pathlib, threading, time
    import numpy as np
    STUCK = pathlib.Path({flag!r})
    def it():
        for number in range(10_000):
            if STUCK.exists():
                STUCK.unlink()
                {wait}
            yield np.full((24, 32, 3), number % 250, np.uint8)
            time.sleep(0.1)
    """
CRASHES = {"decoder-1": signal.SIGSEGV, "decoder-2": signal.SIGABRT}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CameraRun]:
    folder = tmp_path_factory.mktemp("cameras")
    with contextlib.ExitStack() as ends:
        tables = {}
        for name in ("decoder-1", "decoder-2", "stopped"):
            camera = ends.enter_context(FakeCamera("rtsp", (160, 120)))
            camera.play(Frames(fps=10))
            tables[name] = SOON | {"source": camera.url, "no_progress_s": STANDSTILL_S}
        for where, wait in WAITS.items():
            name = where.lower().replace(" ", "-")
            code = OWN.format(flag=str(folder / name), wait=wait)
            (folder / f"{name}.py").write_text(textwrap.dedent(code))
            source = f"py:{folder / name}.py:it"
            tables[name] = SOON | {"source": source, "no_progress_s": STANDSTILL_S / 2}
        quick = limits(state_every_s=0.1, restart_first_s=0.2)
        yield ends.enter_context(CameraRun(folder, tables, env=quick))


@pytest.mark.parametrize("name", CRASHES)
def test_a_crash_of_the_decoder_is_its_cameras_own(run: CameraRun, name: str) -> None:
    pid = break_and_heal(run, name, "decoder_died", lambda pid: pid.send_signal(CRASHES[name]))
    assert f"capture {name} died: killed by {CRASHES[name].name}" in run.log()
    assert pid not in psutil.pids()


def test_a_stopped_capture_is_killed_and_started_anew(run: CameraRun) -> None:
    pid = break_and_heal(run, "stopped", "no_progress", lambda process: process.suspend())
    wait_until(lambda: pid not in psutil.pids(), 5, "its end")
    assert "capture stopped: no progress for 2.5 s" in run.log()


@pytest.mark.parametrize("where", WAITS)
def test_a_function_that_never_answers_is_killed_and_called_anew(
    run: CameraRun, where: str
) -> None:
    name = where.lower().replace(" ", "-")
    break_and_heal(run, name, "no_progress", lambda _: flag_of(run, name).touch())
    assert not flag_of(run, name).exists()


def flag_of(run: CameraRun, name: str) -> Path:
    return run.config.parent / name


def break_and_heal(run: CameraRun, name: str, reason: str, breaks: Callable[..., None]) -> int:
    """Told with the reason and the time of the next start; then live, with numbers that go on."""
    run.wait_for_results(name)
    before, others = run.fresh_state().cameras[name], pids(run)
    breaks(psutil.Process(before.pid))
    told = wait_until(lambda: run.statuses(name, "backoff", reason), 15, f"{run.story(name)}")
    assert all(each.next_try_s is not None and 0 < each.next_try_s <= 0.2 for each in told)
    run.wait_for(name, "live")
    run.wait_for_results(name)
    after = run.camera(name)
    assert after.restarts == before.restarts + 1
    assert after.pid != before.pid
    assert pids(run) == others | {name: after.pid}
    outcomes = run.outcomes(name)
    assert frames_rise(outcomes)
    assert outcomes[-1].seq > before.next_seq
    run.assert_good_is_unharmed()
    return before.pid


def pids(run: CameraRun) -> dict[str, int]:
    return {name: facts.pid for name, facts in run.fresh_state().cameras.items()}
