"""A token bucket: how many messages per second a client may send, and how many bytes may wait.

A command waits while its client's replay is unfinished. Acknowledgements and pongs arrive on the
same connection and must be read meanwhile, otherwise the replay and they would wait for each other.
So waiting commands are limited here, not by pausing reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from websockets.frames import DATA_OPCODES

if TYPE_CHECKING:
    from websockets.frames import Frame

_BURST_S = 3.0
"""The burst: how many seconds' worth of messages may arrive at once."""
_MESSAGES = 4
"""How many messages of the greatest length may wait."""
_FRAME_BYTES = 256
"""Roughly the memory that a frame takes besides its content."""


class TokenBucket:
    """The tokens of one client, and the size of its waiting messages."""

    __slots__ = ("_at", "_left", "_most", "_per_s", "_sizes", "_started", "_waiting")

    def __init__(self, per_s: float, longest: int, now: float) -> None:
        """`longest`: the greatest length of a message in bytes."""
        self._per_s = per_s
        self._left = per_s * _BURST_S
        self._at = now
        self._most = _MESSAGES * (longest + _FRAME_BYTES)
        self._waiting = self._started = 0
        """The bytes of all waiting messages, and of the one that is still incomplete."""
        self._sizes: list[int] = []  # an empty deque would take half a KiB

    def spend(self, frame: Frame, now: float) -> bool:
        """Count a frame that is not an echo; return whether it is within both limits."""
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

    def release(self) -> None:
        """The oldest waiting message has been read."""
        if self._sizes:
            self._waiting -= self._sizes.pop(0)
