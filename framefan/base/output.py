"""What a process prints, on its way to standard error. Nobody waits for who does not read it.

A terminal that is stopped, a pipe that is full, a disk that hangs: each would stop whoever writes
to it. There are two ways around that:

    Direct    for a child: its standard error is a pipe that the supervisor reads at once, so a line
              leaves now or, where the pipe is full, never
    Queued    for the supervisor, which writes for all: lines wait in a queue with a bound, and a
              thread that does nothing else writes them

What is dropped is counted in lines, and told as soon as writing works again, in its place.
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
"""So much a pipe that polls as writable takes at once."""


class Sink(Protocol):
    """Where lines go."""

    def put(self, text: str) -> None:
        """Print it, one line or several. Never waits for long, and never raises."""


class Backlog:
    """Texts that wait to be written, in order, and how many lines were dropped where. Pure."""

    def __init__(self, most_lines: int = MOST_LINES, most_bytes: int = MOST_BYTES) -> None:
        self._most_lines = most_lines
        self._most_bytes = most_bytes
        self._waiting: deque[tuple[int, bytes]] = deque()
        """Each with the number of lines that were dropped right before it."""
        self._lines = self._bytes = 0
        self._dropped = 0
        """Lines dropped behind all that waits."""

    @property
    def has_text(self) -> bool:
        return bool(self._waiting)

    @property
    def has_news(self) -> bool:
        """Whether `take` has anything: a text, or a number to tell."""
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
        """How many lines were dropped before the oldest text, and that; it may be empty."""
        if not self._waiting:
            dropped, self._dropped = self._dropped, 0
            return dropped, b""
        dropped, data = self._waiting.popleft()
        self._lines -= data.count(b"\n")
        self._bytes -= len(data)
        return dropped, data

    def failed(self, dropped: int, data: bytes) -> None:
        """What `take` gave could not be written: it counts among what comes next."""
        lost = dropped + data.count(b"\n")
        if self._waiting:
            before, oldest = self._waiting[0]
            self._waiting[0] = before + lost, oldest
        else:
            self._dropped += lost


class Direct:
    """Writes at once what can be written at once."""

    def __init__(
        self, told: Callable[[int], str], patience_s: float = 0.0, fd: int = STDERR
    ) -> None:
        """`told` makes the text about so many dropped lines; `patience_s`: how long to wait for
        room.
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
            except OSError:  # its reader is gone, the disk is full
                return False
        return True


class Queued:
    """Lines wait here, and a thread writes them. Call `close` at the end."""

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
        # A daemon: it may stay in a write for ever, and the process must end all the same.
        self._thread = threading.Thread(target=self._run, name="output", daemon=True)
        self._thread.start()

    def put(self, text: str) -> None:
        with self._changed:
            self._backlog.put(_encoded(text))
            self._changed.notify_all()

    def close(self, patience_s: float) -> None:
        """Have all that waits written, for so long at most; the rest is lost."""
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
                    # Trying again at once would burn a core: the next text is the next try.
                    self._changed.wait_for(lambda: self._backlog.has_text or self._closed)
                    if not self._backlog.has_text:
                        return

    def _write(self, data: bytes) -> bool:
        while data:
            try:
                data = data[os.write(self._fd, data) :]
            except BlockingIOError:  # somebody shares it with us and made it so
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
    """End this process, whose work is done.

    Python would first wait for threads, and then take every loaded module apart: a tenth of what
    a start costs.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # nobody may be there to read it
            stream.flush()
    os._exit(code)
