"""Passes the output of a child to our log: its log lines, and output of libraries and user code.

Each line is passed on without the secrets that the child may know. The output of a child is
limited, so that no child can fill the log or keep the supervisor busy:

- A line is cut at LINE_BYTES. Only complete secrets are recognised, so the end of a cut line is
  left out if it may be the beginning of a secret.
- Lines above a rate limit are dropped and counted; one line of ours reports the number.
- After such a flood the pipe is not read for a moment. This slows down only the writer.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import selectors
from typing import TYPE_CHECKING

from framefan.base import clock, logs
from framefan.settings.secret import Redaction

if TYPE_CHECKING:
    from framefan.settings.secret import Secret

LINES = 100
"""Lines per second from a child that runs user code."""
OWN_LINES = 1000
"""Lines per second from a child that runs only framefan's code."""
LINE_BYTES = 8192
_WINDOW_S = 1.0
_PAUSE_S = 0.02
_PIPE_BYTES = 1 << 18
"""A flood of 12 MB/s fits through. Larger pipes for many cameras would use up a user's share."""
_CUT = " [...]"


class LineFilter:
    """Turns a child's output into lines for the log. No I/O; callers pass the time."""

    def __init__(self, *secrets: Secret, most: int = LINES) -> None:
        """`most`: the limit of lines per second."""
        self._most = most
        self._redaction = Redaction(*secrets)
        longest = max((len(word) for secret in secrets for word in secret.words()), default=0)
        self._margin = longest
        self._rest = bytearray()
        self._window_until = 0.0
        self._left = most
        self.dropped = 0
        """Lines not passed on since `take_dropped` was last called."""

    def feed(self, data: bytes, now: float) -> list[str]:
        """The lines that `data` completes, without their ends."""
        if now >= self._window_until:
            self._window_until, self._left = now + _WINDOW_S, self._most
        lines, start = [], 0
        while self._left and (end := data.find(b"\n", start)) >= 0:
            lines.append(self._line(data[start:end]))
            start, self._left = end + 1, self._left - 1
        if not self._left and (more := data.count(b"\n", start)):
            self.dropped += more
            start = data.rfind(b"\n") + 1
            self._rest.clear()
        self._keep(data[start:])
        return lines

    def end(self, now: float) -> list[str]:
        """The last line, if it has no line end."""
        return self.feed(b"\n", now) if self._rest else []

    @property
    def flooded(self) -> bool:
        return not self._left

    def dropped_until(self) -> float:
        """When the number of dropped lines must be reported; inf if there are none."""
        return self._window_until if self.dropped else float("inf")

    def take_dropped(self) -> int:
        number, self.dropped = self.dropped, 0
        return number

    def _keep(self, data: bytes) -> None:
        room = LINE_BYTES + 1 - len(self._rest)  # one byte more shows that the line is too long
        self._rest += data[: max(0, room)]

    def _line(self, data: bytes) -> str:
        self._keep(data)
        raw = bytes(self._rest)
        self._rest.clear()
        if len(raw) <= LINE_BYTES:
            return self._redaction.clean(raw.decode(errors="replace").rstrip("\r"))
        return self._shortened(raw[:LINE_BYTES].decode(errors="replace"))

    def _shortened(self, text: str) -> str:
        """The text without an end that may begin a secret or an address with a secret."""
        clean = self._redaction.clean(text)
        clean = clean[: len(clean) - self._margin]
        # Passwords may contain spaces and `@`, so the end of the last address is unknown.
        before, separator, _ = clean.rpartition("://")
        return (before if separator else clean) + _CUT


class ChildOutput:
    """The reading end of one child's pipe, served by the supervisor's selector."""

    def __init__(
        self,
        title: str,
        selector: selectors.BaseSelector,
        *secrets: Secret,
        most: int = LINES,
    ) -> None:
        """`theirs` is the writing end: give it to the child, then call `close_theirs`.

        `most`: how many lines per second are passed on.
        """
        self._title = title
        self._selector = selector
        self._lines = LineFilter(*secrets, most=most)
        self._ours, self.theirs = os.pipe()
        os.set_blocking(self._ours, False)
        with contextlib.suppress(
            OSError, AttributeError
        ):  # the default size works too, but more slowly
            fcntl.fcntl(self._ours, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._listens = False
        self._resume_at = 0.0
        self._listen()

    def fileno(self) -> int:
        return self._ours

    def close_theirs(self) -> None:
        """Close our copy of `theirs`: the child has inherited it, or did not start."""
        os.close(self.theirs)

    def next_event(self) -> float:
        """When `tick` has something to do."""
        resume = float("inf") if self._listens else self._resume_at
        return min(resume, self._lines.dropped_until())

    def tick(self, now: float) -> None:
        if not self._listens and now >= self._resume_at:
            self._listen()
        if now >= self._lines.dropped_until():
            self._tell_dropped()

    def finish(self) -> None:
        """Read the remaining output of a dead process. Another process may still hold the pipe."""
        left = _PIPE_BYTES
        while left > 0 and (data := self._read()):
            left -= len(data)
            self._pass_on(self._lines.feed(data, clock.now()))
        self._pass_on(self._lines.end(clock.now()))
        self._tell_dropped()
        self._ignore()
        os.close(self._ours)

    # ---- the pipe ----------------------------------------------------------------------------

    def _listen(self) -> None:
        self._selector.register(self._ours, selectors.EVENT_READ, self._on_news)
        self._listens = True

    def _ignore(self) -> None:
        if self._listens:
            self._selector.unregister(self._ours)
        self._listens = False

    def _on_news(self) -> None:
        if not self._listens:  # its process was cleaned up in the turn that reported these bytes
            return
        now = clock.now()
        data = self._read()
        if data == b"":  # the child closed its stderr; it may still run
            self._ignore()
            self._resume_at = float("inf")
        elif data:
            self._pass_on(self._lines.feed(data, now))
            if self._lines.flooded:
                self._ignore()
                self._resume_at = now + _PAUSE_S

    def _read(self) -> bytes | None:
        """The available bytes; empty at the end of the stream, None if there are none now."""
        try:
            return os.read(self._ours, _PIPE_BYTES)
        except BlockingIOError:
            return None

    def _pass_on(self, lines: list[str]) -> None:
        for line in lines:
            logs.pass_on(line, self._title)

    def _tell_dropped(self) -> None:
        number = self._lines.take_dropped()
        if number:
            logs.warning(f"{self._title}: {number} lines of its stderr were dropped")
