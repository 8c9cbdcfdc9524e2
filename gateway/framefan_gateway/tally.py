"""What one gateway counts of itself, for the pool's table, `/api/status` and `/metrics` alike.

A gateway that takes the place of one that died counts on from there.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

from msgspec.structs import replace

from framefan.records import GatewayFacts
from framefan_gateway.stages import Lag, Stages

if TYPE_CHECKING:
    from framefan_gateway.hub import Hub
    from framefan_gateway.intake import Intake

_MOST_ENDS = 50
"""Ends that are told each by itself: a client may close with any of thousands of codes."""


_LOST_WITH_IT = "history"
"""The cause by which what a dead gateway still had to send is missed: no client can be sent it
there any more, and what it gets at another is counted there."""


class Tally:
    def __init__(self, gateway: int, hub: Hub, intake: Intake) -> None:
        self.gateway = gateway
        self._before = GatewayFacts(id=gateway)
        self._hub = hub
        self._intake = intake
        self.closed_by: Counter[str] = Counter()
        """By close code or reason, how connections of clients ended."""
        self.stages = Stages()
        self.lag = Lag()

    def ended(self, how: str) -> None:
        """A client's connection ended, by this close code or for this reason of ours."""
        known = how in self.closed_by or len(self.closed_by) < _MOST_ENDS
        self.closed_by[how if known else "other"] += 1

    def go_on_from(self, before: GatewayFacts, pending: int) -> None:
        """`before`: what an earlier process of this gateway had counted. What waited for its
        clients then was lost with it.
        """
        missed_by = Counter(before.missed_by)
        missed_by[_LOST_WITH_IT] += pending
        self._before = replace(
            before, missed=before.missed + pending, missed_by=dict(missed_by), closed_by={}
        )
        self.closed_by.update(before.closed_by)

    def facts(self) -> GatewayFacts:
        """Everything as of now; the supervisor's part, the restarts, is not known here."""
        totals, before = self._hub.totals(), self._before
        missed_by = Counter(before.missed_by)
        missed_by.update(totals.missed_by.by_cause())
        return GatewayFacts(
            id=self.gateway,
            pid=os.getpid(),
            clients=self._hub.clients,
            offered=before.offered + totals.offered,
            sent=before.sent + totals.sent,
            missed=before.missed + totals.missed,
            missed_by=dict(missed_by),
            bytes=before.bytes + totals.bytes,
            closed_by=dict(self.closed_by),
            foreign=before.foreign + self._intake.foreign,
            stale=before.stale + self._intake.stale,
            bus_gaps=before.bus_gaps + self._intake.bus_gaps,
            lag_s=round(self.lag.worst_s, 4),
        )
