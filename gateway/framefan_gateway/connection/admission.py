"""Which connections are let in, and when the next one is accepted. Pure: time and counts come in.

A connection is on its way in until it is a client or gone:

    silent -> asked -> a client                  (a WebSocket)
                    -> silent -> a client        (its token is still to come)
                    -> answered                  (plain HTTP, until its connection is closed)

1. Whoever has asked is answered. Nobody is refused for coming at the same moment as others.
2. Above `most_silent` silent connections the oldest is dropped, if it is older than `SILENT_S`.
   So connections that never ask keep nobody out, and a slow newcomer has its second.
3. Above `most` connections on their way in, or without a descriptor to spare, nothing is
   accepted: the kernel's backlog keeps newcomers, without a word to them and without a loss.
4. While half of `most_silent` have asked and are not answered, accepting rests: first those who
   are in get their answer. Silent connections do not count there, or they could hold the rest.
"""

from __future__ import annotations

from typing import Generic, TypeVar

SILENT_S = 1.0
MOST = 1024
"""Connections on their way in at the same time."""

K = TypeVar("K")


class Admission(Generic[K]):
    """The connections on their way in, by where they are."""

    def __init__(self, most_silent: int, most: int = MOST) -> None:
        self._most_silent = most_silent
        self._most = max(most, most_silent)
        self._most_asked = max(1, most_silent // 2)
        self._silent: dict[K, float] = {}
        """Since when, the longest first."""
        self._asked: set[K] = set()
        self._answered: set[K] = set()

    def came(self, who: K, now: float) -> None:
        """It was accepted, or has shaken hands and is still to show its token."""
        self.done(who)
        self._silent[who] = now

    def asked(self, who: K) -> None:
        """Its request is whole."""
        if self._silent.pop(who, None) is not None:
            self._asked.add(who)

    def answered(self, who: K) -> None:
        """It got its answer over HTTP, and its connection is about to be closed."""
        self.done(who)
        self._answered.add(who)

    def done(self, who: K) -> None:
        """It is a client, or gone."""
        self._silent.pop(who, None)
        self._asked.discard(who)
        self._answered.discard(who)

    def surplus(self, now: float) -> K | None:
        """The connection to be dropped for a newcomer, if one is: call `done`, or `came` where it
        turns out to have said something just now.
        """
        if len(self._silent) <= self._most_silent:
            return None
        who, since = next(iter(self._silent.items()))
        return who if now - since > SILENT_S else None

    def accepts(self, room: int) -> bool:
        """Whether one more may be accepted; `room`: how many more there are descriptors for."""
        return room > 0 and len(self) < self._most and len(self._asked) < self._most_asked

    def __len__(self) -> int:
        return len(self._silent) + len(self._asked) + len(self._answered)
