"""Pings to one client: their numbers, and whether the client has become silent."""

from __future__ import annotations

_PINGS = 3
"""How many pings a silent client is sent before it is given up."""


class Keepalive:
    def __init__(self, silence_s: float, now: float) -> None:
        """`silence_s`: after how many seconds without a byte the client is silent."""
        self._silence_s = silence_s
        self._last_ping = self._last_pong = 0
        """The numbers of the last ping sent, and of the last pong received."""
        self._received_at = self._pinged_at = now
        """When bytes last arrived, and when a ping was last sent because none did."""

    def next_number(self) -> int:
        """The number of the next ping."""
        self._last_ping += 1
        return self._last_ping

    def record_pong(self, number: int) -> bool:
        """Record a pong; return whether it answers a ping later than all answered before."""
        if not self._last_pong < number <= self._last_ping:
            return False
        self._last_pong = number
        return True

    def record_bytes(self, now: float) -> None:
        """The client sent something, or its system acknowledged bytes."""
        self._received_at = now

    def is_silent(self, now: float) -> bool:
        return now - self._received_at > self._silence_s

    def needs_ping(self, now: float) -> bool:
        """Whether a ping is due because nothing arrives; the caller then sends it."""
        quiet_s = min(now - self._received_at, now - self._pinged_at)
        if quiet_s <= self._silence_s / _PINGS:
            return False
        self._pinged_at = now
        return True
