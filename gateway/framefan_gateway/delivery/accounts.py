"""Accounts: per client, how many results were offered, sent and missed, by cause.

At every moment, per client: offered = sent + missed (by cause) + pending. The counters of a camera
only grow, so what a client missed is the difference of two offsets.
"""

from __future__ import annotations

from operator import add, sub
from typing import Literal, NamedTuple

LossCause = Literal["lost", "bus"]
Cause = Literal["lost", "bus", "filtered", "max_fps", "history"]


class Missed(NamedTuple):
    """How many results of a camera a client missed since its last message of it, by cause.

    `framefan.ipc.protocol.CAUSES` explains the causes.
    """

    conflated: int = 0
    lost: int = 0
    bus: int = 0
    filtered: int = 0
    max_fps: int = 0
    history: int = 0

    def plus(self, other: Missed) -> Missed:
        return Missed(*map(add, self, other))

    def minus(self, other: Missed) -> Missed:
        return Missed(*map(sub, self, other))

    def by_cause(self) -> dict[str, int]:
        return {cause: n for cause, n in zip(self._fields, self, strict=True) if n}

    @classmethod
    def of(cls, cause: Cause, count: int) -> Missed:
        return NOTHING._replace(**{cause: count})


NOTHING = Missed()


class Offset(NamedTuple):
    """A camera's counters at one moment: results due, and seqs not due, by cause."""

    results: int = 0
    lost: int = 0
    bus: int = 0
    filtered: int = 0
    max_fps: int = 0

    def plus(self, cause: Cause, count: int) -> Offset:
        return self._replace(**{cause: getattr(self, cause) + count})

    def skipped_until(self, later: Offset) -> Missed:
        """What was not due between this offset and `later`, and so was missed by every client."""
        return Missed(
            0,
            later.lost - self.lost,
            later.bus - self.bus,
            later.filtered - self.filtered,
            later.max_fps - self.max_fps,
        )

    def missed_until(self, later: Offset) -> Missed:
        """What a client at this offset missed if the result at `later` is the next one sent."""
        passed = self.skipped_until(later)
        return passed._replace(conflated=later.results - self.results - 1)


class Totals(NamedTuple):
    """The counters of a stream or a client. offered = sent + missed + pending."""

    offered: int = 0
    sent: int = 0
    conflated: int = 0
    lost: int = 0
    bus: int = 0
    filtered: int = 0
    max_fps: int = 0
    history: int = 0
    messages: int = 0
    """Messages of any type that were sent."""
    bytes: int = 0

    @classmethod
    def of(cls, missed: Missed) -> Totals:
        """Results that were offered and missed at once."""
        return cls(sum(missed), 0, *missed)

    def plus(self, other: Totals) -> Totals:
        return Totals(*map(add, self, other))

    def minus(self, other: Totals) -> Totals:
        return Totals(*map(sub, self, other))

    def times(self, n: int) -> Totals:
        return Totals(*(each * n for each in self))

    @property
    def missed_by(self) -> Missed:
        return Missed(*self[2:8])

    @property
    def missed(self) -> int:
        return sum(self[2:8])

    @property
    def pending(self) -> int:
        return self.offered - self.sent - self.missed

    def closed(self) -> Totals:
        """The totals of a client that has left: what was pending is missed as `history`."""
        return self._replace(history=self.history + self.pending)


class Loss(NamedTuple):
    """A run of seqs of one camera for which there is no result to send."""

    camera: str
    epoch: str
    first_seq: int
    last_seq: int
    cause: LossCause

    @property
    def seqs(self) -> int:
        return self.last_seq - self.first_seq + 1

    @property
    def missed(self) -> Missed:
        return Missed.of(self.cause, self.seqs)
