"""How often a client may send: so many messages a second, and a few seconds' worth in one go."""

from __future__ import annotations

_BURST_S = 3.0
"""How many seconds' worth of messages may come at once."""


class Credit:
    __slots__ = ("_at", "_left", "_per_s")

    def __init__(self, per_s: float, now: float) -> None:
        self._per_s = per_s
        self._left = per_s * _BURST_S
        self._at = now

    def spend(self, now: float) -> bool:
        """One message came; whether it may."""
        earned = (now - self._at) * self._per_s
        self._left = min(self._left + earned, self._per_s * _BURST_S)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
