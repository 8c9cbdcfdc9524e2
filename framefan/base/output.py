"""Output of a process to stderr that a slow or stuck reader cannot block.

A stopped terminal, a full pipe or a hung disk would block a process that writes to it. Two classes
avoid that:

    Direct    for a child, whose stderr is a pipe that the supervisor reads at once: a line is
              written now, or dropped if the pipe is full
    Queued    for the supervisor, which writes for all processes: lines wait in a bounded queue, and
              a dedicated thread writes them

Dropped lines are counted. Once writing works again, their number is printed where they are missing.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
from collections import deque
from typing import TYPE_CHECKING, NoReturn, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable

STDERR = 2
MOST_LINES = 2000
MOST_BYTES = 1 << 20
_CHUNK = 4096
"""A pipe that polls as writable accepts this many bytes without blocking."""


class Sink(Protocol):
    """A destination for lines."""

    def put(self, text: str) -> None:
        """Print one line or several. Never blocks for long, and never raises."""


class Backlog:
    """The texts still to be written, in order, and how many lines were dropped before each."""

    def __init__(self, most_lines: int = MOST_LINES, most_bytes: int = MOST_BYTES) -> None:
        self._most_lines = most_lines
        self._most_bytes = most_bytes
        self._waiting: deque[tuple[int, bytes]] = deque()
        """Each text with the number of lines dropped directly before it."""
        self._lines = self._bytes = 0
        self._dropped = 0
        """Lines dropped after the last waiting text."""

    @property
    def has_text(self) -> bool:
        return bool(self._waiting)

    @property
    def has_news(self) -> bool:
        """Whether `take` has a text, or a number of dropped lines to report."""
        return bool(self._waiting) or self._dropped > 0

    def put(self, data: bytes) -> None:
        lines = data.count(b"\n")
        if self._lines + lines > self._most_lines or self._bytes + len(data) > self._most_bytes:
            self._dropped += lines
            return
        self._waiting.append((self._dropped, data))
        self._dropped = 0
        self._lines += lines
        self._bytes += len(data)

    def take(self) -> tuple[int, bytes]:
        """How many lines were dropped before the oldest text, and the text, which may be empty."""
        if not self._waiting:
            dropped, self._dropped = self._dropped, 0
            return dropped, b""
        dropped, data = self._waiting.popleft()
        self._lines -= data.count(b"\n")
        self._bytes -= len(data)
        return dropped, data

    def failed(self, dropped: int, data: bytes) -> None:
        """Count a text from `take` that could not be written as dropped before the next text."""
        lost = dropped + data.count(b"\n")
        if self._waiting:
            before, oldest = self._waiting[0]
            self._waiting[0] = before + lost, oldest
        else:
            self._dropped += lost


class Direct:
    """Writes at once, or drops."""

    def __init__(
        self, told: Callable[[int], str], patience_s: float = 0.0, fd: int = STDERR
    ) -> None:
        """`told` makes the text that reports a number of dropped lines; `patience_s` is how long
        to wait until the descriptor is writable.
        """
        self._told = told
        self._patience_s = patience_s
        self._fd = fd
        self._dropped = 0

    def put(self, text: str) -> None:
        data = _encoded(text)
        told = _encoded(self._told(self._dropped)) if self._dropped else b""
        self._dropped = 0 if self._write(told + data) else self._dropped + data.count(b"\n")

    def _write(self, data: bytes) -> bool:
        for start in range(0, len(data), _CHUNK):
            try:
                if not _has_room(self._fd, self._patience_s):
                    return False
                os.write(self._fd, data[start : start + _CHUNK])
            except OSError:  # the reader is gone, or the disk is full
                return False
        return True


class Queued:
    """Queues lines, which a thread writes. Call `close` at the end."""

    def __init__(
        self,
        told: Callable[[int], str],
        fd: int = STDERR,
        most_lines: int = MOST_LINES,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._told = told
        self._fd = fd
        self._backlog = Backlog(most_lines, most_bytes)
        self._changed = threading.Condition()
        self._closed = False
        # A daemon thread: a write may block forever, and the process must still be able to exit.
        self._thread = threading.Thread(target=self._run, name="output", daemon=True)
        self._thread.start()

    def put(self, text: str) -> None:
        with self._changed:
            self._backlog.put(_encoded(text))
            self._changed.notify_all()

    def close(self, patience_s: float) -> None:
        """Wait up to `patience_s` until everything is written; what remains is lost."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(patience_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._backlog.has_news or self._closed)
                if not self._backlog.has_news:
                    return
                dropped, data = self._backlog.take()
            told = _encoded(self._told(dropped)) if dropped else b""
            if not self._write(told + data):
                with self._changed:
                    self._backlog.failed(dropped, data)
                    # An immediate retry would use a whole core: try again with the next text.
                    self._changed.wait_for(lambda: self._backlog.has_text or self._closed)
                    if not self._backlog.has_text:
                        return

    def _write(self, data: bytes) -> bool:
        while data:
            try:
                data = data[os.write(self._fd, data) :]
            except BlockingIOError:  # another process that shares it made it non-blocking
                _has_room(self._fd, None)
            except OSError:
                return False
        return True


def _encoded(text: str) -> bytes:
    return text.encode(errors="backslashreplace") + b"\n"


def _has_room(fd: int, patience_s: float | None) -> bool:
    poll = select.poll()
    poll.register(fd, select.POLLOUT)
    with contextlib.suppress(InterruptedError):
        return bool(poll.poll(None if patience_s is None else patience_s * 1000))
    return False


def end_at_once(code: int = 0) -> NoReturn:
    """Exit at once, without Python's clean-up.

    Python would first wait for threads and then tear down every loaded module, which takes a tenth
    as long as a start.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # the reader may be gone
            stream.flush()
    os._exit(code)
