"""Capture processes that crash or stand still: only their own camera is away, and not for long."""

from __future__ import annotations

import contextlib
import signal
import textwrap
from functools import partial
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

pytestmark = pytest.mark.alone

STANDSTILL_S = 2.5
WAITS = {
    "in-python": "threading.Event().wait()",
    "in-c": "ctypes.PyDLL(None).pause()  # and keeps the interpreter's lock",
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


def start(folder: Path, ends: contextlib.ExitStack, env: dict[str, str]) -> CameraRun:
    """A run of cameras that can be broken, until the stack ends."""
    tables = {}
    for name in ("decoder-1", "decoder-2", "stopped"):
        camera = ends.enter_context(FakeCamera("rtsp", (160, 120)))
        camera.play(Frames(fps=10))
        tables[name] = SOON | {"source": camera.url, "no_progress_s": STANDSTILL_S}
    for name, wait in WAITS.items():
        code = OWN.format(flag=str(folder / name), wait=wait)
        (folder / f"{name}.py").write_text(textwrap.dedent(code))
        source = f"py:{folder / name}.py:it"
        tables[name] = SOON | {"source": source, "no_progress_s": STANDSTILL_S}
    quick = limits(state_every_s=0.1, restart_first_s=0.2)
    return ends.enter_context(CameraRun(folder, tables, env=quick | env))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CameraRun]:
    with contextlib.ExitStack() as ends:
        yield start(tmp_path_factory.mktemp("cameras"), ends, {})


def test_a_crash_of_the_decoder_is_its_cameras_own(run: CameraRun) -> None:
    break_and_heal(
        run,
        "decoder_died",
        {
            name: lambda process, number=number: process.send_signal(number)
            for name, number in CRASHES.items()
        },
    )
    for name, number in CRASHES.items():
        assert f"capture {name} died: killed by {number.name}" in run.log()


def test_a_process_that_hangs_is_killed_and_restarted(run: CameraRun) -> None:
    """Stopped, or in a function that never answers."""
    flags = {name: run.config.parent / name for name in WAITS}
    break_and_heal(
        run,
        "no_progress",
        {"stopped": lambda process: process.suspend()}
        | {name: lambda _, flag=flag: flag.touch() for name, flag in flags.items()},
    )
    assert not any(flag.exists() for flag in flags.values()), "it never waited"
    for name in ("stopped", *flags):
        assert f"capture {name}: no progress for {STANDSTILL_S} s" in run.log()


def break_and_heal(
    run: CameraRun, reason: str, breaks: dict[str, Callable[[psutil.Process], None]]
) -> None:
    """Told with the reason and the time of the next start; then live, with numbers that go on."""
    for name in breaks:
        run.wait_for_results(name)
    before = run.fresh_state().cameras
    for name, breaks_it in breaks.items():
        breaks_it(psutil.Process(before[name].pid))
    for name in breaks:
        found = partial(run.statuses, name, "backoff", reason)
        told = wait_until(found, 15, f"{name}: {reason}")
        assert told[0].next_try_s is not None
        assert 0 < told[0].next_try_s <= 0.2
        run.wait_for(name, "live")
        run.wait_for_results(name)
    after = run.fresh_state().cameras
    for name in after:
        assert after[name].restarts == before[name].restarts + (name in breaks)
        assert (after[name].pid != before[name].pid) == (name in breaks)
    for name in breaks:
        assert not psutil.pid_exists(before[name].pid)
        assert frames_rise(run.outcomes(name))
        assert run.outcomes(name)[-1].seq > before[name].next_seq
    run.assert_good_is_unharmed()


ALARMS = """
    import signal, time
    import numpy as np
    def it():
        signal.signal(signal.SIGALRM, lambda *_: None)
        signal.setitimer(signal.ITIMER_REAL, 0.02, 0.02)
        for number in range(10_000):
            until = time.monotonic() + 1.6
            while time.monotonic() < until:
                time.sleep(0.1)
            yield np.full((24, 32, 3), number % 250, np.uint8)
    """


def test_a_signal_that_the_users_code_handles_ends_nothing_and_costs_nothing(
    tmp_path: Path,
) -> None:
    """Its pictures come more slowly than a stop is waited for."""
    (tmp_path / "alarms.py").write_text(textwrap.dedent(ALARMS))
    tables = {"alarms": SOON | {"source": f"py:{tmp_path / 'alarms.py'}:it"}}
    with CameraRun(tmp_path, tables) as run:
        outcomes = run.results("alarms")
        wait_until(lambda: len(outcomes.read()) >= 1, 20, "a result")
        process = psutil.Process(run.pid_of("capture"))
        before = process.cpu_times()
        seen: list[object] = []
        wait_until(lambda: seen.extend(outcomes.read()) or len(seen) >= 3, 20, "three more")
        after = process.cpu_times()
        outcomes.close()
        assert (after.user + after.system) - (before.user + before.system) < 2.0
        assert "capture alarms died" not in run.log()
