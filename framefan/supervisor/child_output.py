"""What a child prints, on its way to our log: its own lines, native libraries, people's own code.

Each line is cleaned of the secrets that the child may know, and passed on. What one child may say
is bounded, so that none can fill the log or keep the supervisor busy:

- A line ends at LINE_BYTES. The end of a line that was cut is left out as far as it may hold the
  beginning of a secret: only whole ones are recognised.
- Beyond so many a second lines are dropped, counted, and told by one line of ours.
- After such a flood the pipe is left alone for a moment. That slows down nobody but the writer.
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
"""A second, of a child that runs other people's code."""
OWN_LINES = 1000
"""A second, of one that runs ours alone."""
LINE_BYTES = 8192
_WINDOW_S = 1.0
_PAUSE_S = 0.02
_PIPE_BYTES = 1 << 18
"""A flood of 12 MB/s fits through. Larger pipes for many cameras would use up a user's share."""
_CUT = " [...]"


class LineFilter:
    """Bytes in, lines for people out; pure, the time is passed in."""

    def __init__(self, *secrets: Secret, most: int = LINES) -> None:
        """`most`: so many lines a second."""
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
        """The last line, when nobody ended it."""
        return self.feed(b"\n", now) if self._rest else []

    @property
    def flooded(self) -> bool:
        return not self._left

    def dropped_until(self) -> float:
        """When the number of dropped lines is worth telling; inf: there are none."""
        return self._window_until if self.dropped else float("inf")

    def take_dropped(self) -> int:
        number, self.dropped = self.dropped, 0
        return number

    def _keep(self, data: bytes) -> None:
        room = LINE_BYTES + 1 - len(self._rest)  # one too many tells that it is cut
        self._rest += data[: max(0, room)]

    def _line(self, data: bytes) -> str:
        self._keep(data)
        raw = bytes(self._rest)
        self._rest.clear()
        if len(raw) <= LINE_BYTES:
            return self._redaction.clean(raw.decode(errors="replace").rstrip("\r"))
        return self._shortened(raw[:LINE_BYTES].decode(errors="replace"))

    def _shortened(self, text: str) -> str:
        """Without what may be the beginning of a secret, or of an address with one in it."""
        clean = self._redaction.clean(text)
        clean = clean[: len(clean) - self._margin]
        # Passwords may hold spaces and `@`: no one can tell where the last address ends.
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

        `most`: so many lines a second are passed on.
        """
        self._title = title
        self._selector = selector
        self._lines = LineFilter(*secrets, most=most)
        self._ours, self.theirs = os.pipe()
        os.set_blocking(self._ours, False)
        with contextlib.suppress(OSError, AttributeError):  # a default pipe does, more slowly
            fcntl.fcntl(self._ours, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
        self._listens = False
        self._resume_at = 0.0
        self._listen()

    def fileno(self) -> int:
        return self._ours

    def close_theirs(self) -> None:
        """The child has it, or was never born."""
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
        """Its process is dead: all it has said is in the pipe. Somebody else may still write."""
        left = _PIPE_BYTES
        while left > 0 and (data := self._read()):
            left -= len(data)
            _pass_on(self._lines.feed(data, clock.now()))
        _pass_on(self._lines.end(clock.now()))
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
        if not self._listens:  # its process was buried in the very turn that brought this news
            return
        now = clock.now()
        data = self._read()
        if data == b"":  # it closed its stderr, and lives on or not
            self._ignore()
            self._resume_at = float("inf")
        elif data:
            _pass_on(self._lines.feed(data, now))
            if self._lines.flooded:
                self._ignore()
                self._resume_at = now + _PAUSE_S

    def _read(self) -> bytes | None:
        """What is there; empty at the end, None when there is nothing just now."""
        try:
            return os.read(self._ours, _PIPE_BYTES)
        except BlockingIOError:
            return None

    def _tell_dropped(self) -> None:
        number = self._lines.take_dropped()
        if number:
            logs.warning(f"{self._title}: {number} lines of its stderr were dropped")


def _pass_on(lines: list[str]) -> None:
    for line in lines:
        logs.say(line)
