"""How much a client may send: so many messages a second, and so many bytes that wait.

A command waits while its client's past is replayed. Acknowledgements and pongs come on the same
connection and have to be read meanwhile, or the replay would wait for them and they for it. So what
waits is bounded here, and never by reading no more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from websockets.frames import DATA_OPCODES

if TYPE_CHECKING:
    from websockets.frames import Frame

_BURST_S = 3.0
"""How many seconds' worth of messages may come at once."""
_MESSAGES = 4
"""So many of the longest messages may wait."""
_FRAME_BYTES = 256
"""About what a frame takes besides its content."""


class TokenBucket:
    """What one client may still send."""

    __slots__ = ("_at", "_left", "_most", "_per_s", "_sizes", "_started", "_waiting")

    def __init__(self, per_s: float, longest: int, now: float) -> None:
        """`longest`: a message in bytes."""
        self._per_s = per_s
        self._left = per_s * _BURST_S
        self._at = now
        self._most = _MESSAGES * (longest + _FRAME_BYTES)
        self._waiting = self._started = 0
        """Bytes of all messages that wait, and of the one whose end has not come."""
        self._sizes: list[int] = []  # an empty deque would take half a KiB

    def affords(self, frame: Frame, now: float) -> bool:
        """A frame came that is no echo; whether it may, and may wait for its turn."""
        waits = frame.opcode in DATA_OPCODES
        return self._spend(now) and (not waits or self._keep(len(frame.data), last=frame.fin))

    def _spend(self, now: float) -> bool:
        earned = (now - self._at) * self._per_s
        self._left = min(self._left + earned, self._per_s * _BURST_S)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def _keep(self, size: int, *, last: bool) -> bool:
        self._started += size + _FRAME_BYTES
        self._waiting += size + _FRAME_BYTES
        if last:
            self._sizes.append(self._started)
            self._started = 0
        return self._waiting <= self._most

    def took(self) -> None:
        """The oldest message waits no more."""
        if self._sizes:
            self._waiting -= self._sizes.pop(0)
