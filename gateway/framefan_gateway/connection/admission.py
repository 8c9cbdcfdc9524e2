"""Admission: when the next connection is accepted, and which one is dropped. No I/O.

A connection is pending until it is a client or closed:

    silent -> requested -> a client              (a WebSocket)
                        -> silent -> a client    (a WebSocket that has not sent its token yet)
                        -> answered              (plain HTTP, until its connection is closed)

1. Every connection that has sent its request is answered, however many come at once.
2. Above `most_silent` silent connections the oldest is dropped, if it is older than `SILENT_S`. So
   connections that never send a request keep no other out, and a slow client has one second.
3. Above `most` pending connections, or without a free descriptor, nothing is accepted. New
   connections wait in the kernel's backlog, and none is lost.
4. While half of `most_silent` have sent a request and are not answered, nothing is accepted: they
   get their answers first. Silent connections do not count here; they could block all others.
"""

from __future__ import annotations

from typing import Generic, TypeVar

SILENT_S = 1.0
MOST = 1024
"""The most pending connections at a time."""

K = TypeVar("K")


class Admission(Generic[K]):
    """The pending connections, by their state."""

    def __init__(self, most_silent: int, most: int = MOST) -> None:
        self._most_silent = most_silent
        self._most = max(most, most_silent)
        self._most_requested = max(1, most_silent // 2)
        self._silent: dict[K, float] = {}
        """Each silent connection and since when, the oldest first."""
        self._requested: set[K] = set()
        self._answered: set[K] = set()

    def add_silent(self, connection: K, now: float) -> None:
        """The connection was accepted, or its handshake is complete and its token is missing."""
        self.remove(connection)
        self._silent[connection] = now

    def mark_requested(self, connection: K) -> None:
        """The connection's request is complete."""
        if self._silent.pop(connection, None) is not None:
            self._requested.add(connection)

    def mark_answered(self, connection: K) -> None:
        """The connection got an HTTP answer and is about to be closed."""
        self.remove(connection)
        self._answered.add(connection)

    def remove(self, connection: K) -> None:
        """The connection has become a client, or is closed."""
        self._silent.pop(connection, None)
        self._requested.discard(connection)
        self._answered.discard(connection)

    def find_surplus(self, now: float) -> K | None:
        """The connection to drop for new ones, if any.

        Call `remove` for it, or `add_silent` if it has sent bytes by now.
        """
        if len(self._silent) <= self._most_silent:
            return None
        connection, since = next(iter(self._silent.items()))
        return connection if now - since > SILENT_S else None

    def accepts(self, room: int) -> bool:
        """Whether one more may be accepted; `room`: how many more the descriptors allow."""
        return room > 0 and len(self) < self._most and len(self._requested) < self._most_requested

    def __len__(self) -> int:
        return len(self._silent) + len(self._requested) + len(self._answered)
