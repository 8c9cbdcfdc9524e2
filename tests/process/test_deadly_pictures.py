"""Pictures that crash the decoder: each costs its process, and the rest is worked through."""

from __future__ import annotations

import contextlib
import os
import signal
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from camera_runs import write_config
from faults import limits, sabotage
from runs import Run, assert_exactly_once
from waiting import wait_until

if TYPE_CHECKING:
    from pathlib import Path

PICTURES = 12
BAD = 3
DEADLY = (4, 5, 9, 10, 11)
"""More than the deaths after which a process is `failed`, if it did not get on."""
DECODER = """
import os, signal
import cv2

real = cv2.imread

def imread(name, flags):
    if open(name, "rb").read() == b"deadly":
        os.kill(os.getpid(), signal.SIGSEGV)
    return real(name, flags)

cv2.imread = imread
"""


def make_pictures(folder: Path, bad: tuple[int, ...], deadly: tuple[int, ...]) -> str:
    for number in range(PICTURES):
        path = folder / f"img_{number:02}.png"
        cv2.imwrite(str(path), np.full((24, 32, 3), number, np.uint8))
        if number in bad or number in deadly:
            path.write_bytes(b"deadly" if number in deadly else b"bad")
    return str(folder / "img_*.png")


@pytest.mark.parametrize("options", [{"mode": "every", "fast": True}, {"max_fps": 15}], ids=repr)
def test_deadly_pictures_are_bad_and_the_rest_follows(
    options: dict[str, Any], tmp_path: Path
) -> None:
    source = make_pictures(tmp_path, (BAD,), DEADLY)
    config = write_config(tmp_path, {"cam1": {"source": source} | options})
    env = sabotage(tmp_path, "framefan_capture.main", DECODER)
    env |= limits(restart_first_s=0.05, state_every_s=0.1)
    run = Run("--config", str(config), "-w", "1", env=env).start()
    with run.taking_over(), contextlib.closing(run.results()) as outcomes:
        assert run.process.wait(60) == 0, run.log()
        seen = outcomes.read()
    assert_exactly_once(seen)
    good = {*range(PICTURES)} - {BAD, *DEADLY}
    frames = {each.frame for each in seen}
    if "fast" in options:
        assert frames == good
    assert frames <= good
    assert f"cam1: {PICTURES} frames captured" in run.log()
    assert "crash_loop" not in run.log()
    deaths = run.log().count("capture cam1 died: killed by SIGSEGV")
    assert deaths == 1, "the first is told, the others are summed up"
    assert run.log().count("crashes the decoder") <= len(DEADLY)


def test_a_picture_is_not_bad_because_its_process_was_killed(tmp_path: Path) -> None:
    source = make_pictures(tmp_path, (), ())
    options = {"source": source, "mode": "every", "max_fps": 6}
    config = write_config(tmp_path, {"cam1": options})
    env = limits(restart_first_s=0.05, state_every_s=0.1)
    run = Run("--config", str(config), "-w", "1", env=env).start()
    with run.taking_over(), contextlib.closing(run.results()) as outcomes:
        killed: set[int] = set()
        for count in (3, 6):
            wait_until(lambda count=count: len(outcomes.read()) >= count, 15)
            pid = wait_until(lambda: {run.camera("cam1").pid} - {0, *killed}, 15).pop()
            os.kill(pid, signal.SIGKILL)
            killed.add(pid)
        assert run.process.wait(60) == 0, run.log()
        assert sorted(each.frame for each in outcomes.read()) == list(range(PICTURES))


def test_without_skipping_the_rest_is_never_reached(tmp_path: Path) -> None:
    source = make_pictures(tmp_path, (), DEADLY)
    unaware = "import framefan.ipc.processes\n"
    unaware += (
        "framefan.ipc.processes.Parent.after_crash = property(lambda s: False, lambda s, v: None)\n"
    )
    env = sabotage(tmp_path, "framefan_capture.main", unaware + DECODER)
    env |= limits(restart_first_s=0.05, state_every_s=0.1)
    run = Run(source, "--mode", "every", "--fast", "-w", "1", env=env).start()
    with run.taking_over(), contextlib.closing(run.results()) as outcomes:
        wait_until(lambda: run.fresh_state().cameras["cam1"].restarts >= 4, 30)
        assert max(each.frame for each in outcomes.read()) < DEADLY[0]
