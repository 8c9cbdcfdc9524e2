"""What is printed while nobody takes it waits, is dropped, is counted and told; nobody waits."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from waiting import is_within, wait_until

from framefan.base import clock, output
from framefan.base.output import Backlog, Direct, Queued


def told(lines: int) -> str:
    return f"-{lines}"


@given(
    steps=st.lists(st.one_of(st.integers(1, 3), st.sampled_from(["write", "fail"])), max_size=60),
    most=st.integers(1, 9),
)
def test_each_line_is_written_or_counted_in_its_place(steps: list[int | str], most: int) -> None:
    """Written lines keep their order, and each gap between two of them is told as what it is."""
    backlog, number, out = Backlog(most, 1 << 20), 0, []
    for step in [*steps, *["write"] * 100]:
        if isinstance(step, int):
            backlog.put(b"".join(b"%d\n" % (number + n) for n in range(step)))
            number += step
        elif backlog.has_news:
            dropped, data = backlog.take()
            if step == "fail":
                backlog.failed(dropped, data)
            else:
                out += [-dropped] if dropped else []
                out += [int(line) for line in data.split()]
    expected = 0
    for each in out:
        if each < 0:
            expected -= each
        else:
            assert each == expected
            expected += 1
    assert expected == number
    assert not backlog.has_news


def test_what_waits_is_bounded_in_lines_and_bytes() -> None:
    backlog = Backlog(most_lines=3, most_bytes=100)
    for data in (b"a\nb\n", b"c\n", b"d\n"):
        backlog.put(data)
    assert [backlog.take() for _ in range(3)] == [(0, b"a\nb\n"), (0, b"c\n"), (1, b"")]
    backlog.put(b"x" * 99 + b"\n")
    backlog.put(b"y\n")
    assert backlog.take()[0] == 0
    assert backlog.take() == (1, b"")


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    yield reader, writer
    os.close(reader)
    os.close(writer)


def lines_of(reader: int, count: int) -> list[str]:
    data = b""
    while data.count(b"\n") < count:
        data += os.read(reader, 65536)
    return data.decode().splitlines()


def check(lines: list[str]) -> int:
    """How many were written or told of, each in its place."""
    expected = 0
    for line in lines:
        if line.startswith("-"):
            expected -= int(line)
        else:
            assert int(line.strip("x")) == expected
            expected += 1
    return expected


def test_nobody_waits_for_a_full_pipe_and_what_was_dropped_is_told(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    queue, began = Queued(told, writer, most_lines=50), clock.now()
    for number in range(500):
        queue.put(f"{number}" + "x" * 100)
    assert is_within(began, 1.0)
    seen: list[str] = []
    while check(seen) < 500:
        seen += lines_of(reader, 1)
    assert any(line.startswith("-") for line in seen)
    queue.put("500")
    assert lines_of(reader, 1) == ["500"]
    queue.close(5.0)


def test_the_end_does_not_wait_for_a_full_pipe(pipe: tuple[int, int]) -> None:
    queue, began = Queued(told, pipe[1]), clock.now()
    for _ in range(100):
        queue.put("x" * 100)
    queue.close(0.1)
    assert is_within(began, 2.0)
    lines_of(pipe[0], 100)
    queue.close(5.0)


def test_at_the_end_all_that_waits_is_written(pipe: tuple[int, int]) -> None:
    queue = Queued(told, pipe[1])
    for number in range(20):
        queue.put(f"{number}")
    queue.close(5.0)
    assert check(lines_of(pipe[0], 20)) == 20


def test_a_stopped_terminal_stops_nobody() -> None:
    reader, writer = pty.openpty()
    queue = Queued(told, writer)
    queue.put("before")
    assert lines_of(reader, 1) == ["before"]
    termios.tcflow(writer, termios.TCOOFF)
    began = clock.now()
    for _ in range(3000):
        queue.put("x" * 40)
    assert is_within(began, 1.0)
    direct = Direct(told, fd=writer)
    direct.put("now or never")
    assert is_within(began, 1.0)
    queue.close(0.1)
    termios.tcflow(writer, termios.TCOON)
    drain = threading.Thread(target=lines_of, args=(reader, 2000), daemon=True)
    drain.start()
    queue.close(5.0)
    drain.join(5.0)
    os.close(reader)
    os.close(writer)


def test_writing_that_fails_is_no_error_and_is_told_when_it_works_again(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk, a reader that is gone."""
    reader, writer = pipe
    full, tries, write = [True], [], os.write

    def write_or_not(fd: int, data: bytes) -> int:
        if fd == writer and full[0]:
            tries.append(data)
            raise OSError(errno.ENOSPC, "no space left on the device")
        return write(fd, data)

    monkeypatch.setattr(output.os, "write", write_or_not)
    queue, direct = Queued(told, writer), Direct(told, fd=writer)
    queue.put("0\n1")
    wait_until(lambda: tries, 5)
    queue.put("2")
    wait_until(lambda: len(tries) > 1, 5)
    assert len(tries) < 5, "trying again and again would burn a core"
    direct.put("0\n1")
    full[0] = False
    queue.put("3")
    assert lines_of(reader, 2) == ["-3", "3"]
    direct.put("2")
    assert lines_of(reader, 2) == ["-2", "2"]
    queue.close(5.0)


def test_a_pipe_that_its_owner_made_non_blocking_is_waited_for(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    os.set_blocking(writer, False)
    queue = Queued(told, writer)
    for number in range(100):
        queue.put(f"{number}" + "x" * 100)
    seen: list[str] = []
    while check(seen) < 100:
        seen += lines_of(reader, 1)
    assert not any(line.startswith("-") for line in seen)
    queue.close(5.0)


def test_a_child_writes_at_once_or_never(pipe: tuple[int, int]) -> None:
    reader, writer = pipe
    direct, began, number = Direct(told, fd=writer), clock.now(), 0
    for number in range(100):
        direct.put(f"{number}" + "x" * 100)
    assert is_within(began, 1.0)
    seen = lines_of(reader, 1)
    direct.put("100")
    seen += lines_of(reader, 2)
    assert check(seen) == 101


def test_what_no_encoding_has_is_written_all_the_same(pipe: tuple[int, int]) -> None:
    direct = Direct(told, fd=pipe[1])
    direct.put("caf\udce9")
    assert lines_of(pipe[0], 1) == ["caf\\udce9"]


ENDS = """
import sys, threading
from framefan.base import output
threading.Thread(target=threading.Event().wait).start()
sys.stdout.write("said")
output.end_at_once(7)
"""


def test_an_end_at_once_waits_for_no_thread_and_says_what_was_said() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ENDS], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (7, "said", "")
