"""A crowd: many clients that join at about the same time. No I/O: times, in seconds, are arguments.

Each joined client costs time per result, and that delays the clients that still wait to join. So
while a crowd joins, a newcomer is written to twice and then once per `EACH_S`, until it has been a
client for `NEWCOMER_S`. (The first write may contain only statuses.) Results that it is not sent
meanwhile are counted as for any blocked client. Clients that joined earlier are not affected.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

Held = TypeVar("Held")

LEAST, WITHIN_S = 32, 1.0
"""At least `LEAST` joins within `WITHIN_S` seconds are a crowd."""
GAP_S = 0.25
"""The crowd has joined when this much time has passed since its last join."""
NEWCOMER_S = 10.0
AT_ONCE, EACH_S = 2, 0.9
"""A newcomer gets `AT_ONCE` writes without waiting, then one per `EACH_S`. This is below a second,
so that a camera with one result per second is not held back."""
FREED = 1000
"""How many clients are freed at a time once the crowd has joined."""


class Crowd:
    """Whether many clients are joining now."""

    def __init__(self) -> None:
        self._joins: deque[float] = deque([-math.inf], maxlen=LEAST)

    def join(self, now: float) -> None:
        self._joins.append(now)

    def is_joining(self, now: float) -> bool:
        joins = self._joins
        return joins[-1] - joins[0] <= WITHIN_S and now - joins[-1] <= GAP_S


class Newcomer:
    """When a client that joined lately may be written to."""

    __slots__ = ("_crowd", "_until", "_writes", "_written_at")

    def __init__(self, crowd: Crowd, now: float) -> None:
        """`now`: when the client joined."""
        self._crowd = crowd
        self._until = now + NEWCOMER_S
        self._writes = 0
        self._written_at = -math.inf

    def record_write(self, now: float) -> None:
        self._writes += 1
        self._written_at = now

    def must_wait(self, now: float) -> bool:
        """Whether the client gets nothing now."""
        if now >= self._until or self._writes < AT_ONCE or now >= self._written_at + EACH_S:
            return False
        return self._crowd.is_joining(now)


class HeldBack(Generic[Held]):
    """The clients that a crowd held back: they are freed, some at a time, once it has joined."""

    def __init__(self, crowd: Crowd) -> None:
        self._crowd = crowd
        self._joining = False
        self._left: list[Held] = []

    def take(self, now: float, blocked: Iterable[Held]) -> list[Held]:
        """The next ones to be freed, at most `FREED`. `blocked`: all that are blocked now.

        Call it several times within `GAP_S`, so that no crowd is overlooked.
        """
        joining, before = self._crowd.is_joining(now), self._joining
        self._joining = joining
        if before and not joining:
            self._left = list(blocked)
        some, self._left = self._left[:FREED], self._left[FREED:]
        return some
