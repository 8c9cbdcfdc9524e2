"""A log that nobody takes stops nothing: results go on, a stop is heard, what is dropped is told.

Each run has a camera that nobody answers for, of which there is something to log at each try, and a
predictor that prints much.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from runs import Run
from waiting import is_within, slack, wait_until

from framefan.base import clock
from framefan.settings.run import Limits

LONG = 8000
LINES, BURSTS = 90, 4
"""Fewer a second than a worker may print, and more than may wait."""
ALL = LINES * BURSTS
TALKER = f"""
import sys, time
said, due = 0, 0.0

def predict(image):
    global said, due
    if said < {ALL} and time.monotonic() > due:
        for number in range(said, said + {LINES}):
            sys.stdout.write(f"number {{number}} " + "x" * {LONG} + chr(10))
        said, due = said + {LINES}, time.monotonic() + 1.1
    return said
"""
RATE = 15
"""Results a second at least, of 30: a run that froze has none."""


@pytest.fixture
def talker(tmp_path: Path) -> str:
    (tmp_path / "talker.py").write_text(TALKER)
    return f"{tmp_path / 'talker.py'}:predict"


def arguments(talker: str, level: str = "debug") -> list[str]:
    sources = ["demo?size=320x180", "down=http://127.0.0.1:9/x"]
    return [*sources, "--predictor", talker, "--workers", "1", "--log-level", level]


def check_alive(run: Run, seconds: float = 2.0) -> None:
    """Results come at their rate."""
    outcomes = run.results("demo")
    wait_until(outcomes.read, 10, "a result")
    began, count = clock.now(), 0
    while clock.now() - began < seconds:
        count += len(outcomes.read())
        threading.Event().wait(0.05)
    outcomes.close()
    assert count >= RATE * seconds / slack()


def check_stop(run: Run) -> None:
    began = clock.now()
    assert run.stop() == 0
    assert is_within(began, Limits().grace_s + 1.0)


class Reader:
    """Who takes what a run prints, for as long as he likes to."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._takes = threading.Event()
        self._takes.set()
        self.data = b""
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        with contextlib.suppress(OSError):
            while self._takes.wait():
                data = os.read(self._fd, 4096)
                if not data:
                    return
                self.data += data

    def stop(self) -> None:
        self._takes.clear()

    def go_on(self) -> None:
        self._takes.set()

    def told(self) -> int:
        """How many numbered lines were read, or were told as dropped."""
        text = self.data.decode(errors="replace")
        dropped = re.findall(r"(\d+) lines of (?:its stderr|the log) were dropped", text)
        return len(re.findall(r"number \d+ x", text)) + sum(map(int, dropped))


@contextlib.contextmanager
def terminal() -> Iterator[tuple[int, int]]:
    ours, theirs = pty.openpty()
    yield ours, theirs
    os.close(ours)


@contextlib.contextmanager
def pipe() -> Iterator[tuple[int, int]]:
    ours, theirs = os.pipe()
    fcntl.fcntl(theirs, fcntl.F_SETPIPE_SZ, 4096)
    yield ours, theirs
    with contextlib.suppress(OSError):
        os.close(ours)


def test_a_terminal_that_is_stopped(talker: str) -> None:
    with terminal() as (ours, theirs):
        reader = Reader(ours)
        termios.tcflow(theirs, termios.TCOOFF)  # before it starts: nothing is ever taken
        with Run(*arguments(talker), prints_to=theirs) as run:
            check_alive(run, 5.0)
            termios.tcflow(theirs, termios.TCOON)
            wait_until(lambda: reader.told() >= ALL, 20, "all lines, or their number")
            assert b"of the log were dropped" in reader.data
            termios.tcflow(theirs, termios.TCOOFF)
            check_alive(run)
            check_stop(run)
        termios.tcflow(theirs, termios.TCOON)
        os.close(theirs)
    others = reader.told() - ALL
    assert 0 <= others < 40, "a few lines of the run's own may have been dropped with them"


def test_a_pipe_that_is_full_and_one_whose_reader_is_gone(talker: str) -> None:
    with pipe() as (ours, theirs), Run(*arguments(talker), prints_to=theirs) as run:
        check_alive(run)
        os.close(ours)
        check_alive(run)
        check_stop(run)
        os.close(theirs)


@pytest.mark.parametrize("stream", ["closed", "/dev/full"])
def test_a_standard_error_that_takes_nothing(talker: str, stream: str) -> None:
    fd = -1 if stream == "closed" else os.open(stream, os.O_WRONLY)
    with Run(*arguments(talker), prints_to=fd) as run:
        check_alive(run)
        check_stop(run)
    if fd >= 0:
        os.close(fd)
