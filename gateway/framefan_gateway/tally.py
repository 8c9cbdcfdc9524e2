"""What one gateway counts of itself, for the pool's table, `/api/status` and `/metrics` alike."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

from framefan.records import GatewayFacts
from framefan_gateway.stages import Lag, Stages

if TYPE_CHECKING:
    from framefan_gateway.hub import Hub
    from framefan_gateway.intake import Intake

_MOST_ENDS = 50
"""Ends that are told each by itself: a client may close with any of thousands of codes."""


class Tally:
    def __init__(self, gateway: int, hub: Hub, intake: Intake) -> None:
        self._gateway = gateway
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

    def facts(self) -> GatewayFacts:
        """Everything as of now; the supervisor's part, the restarts, is not known here."""
        totals = self._hub.totals()
        return GatewayFacts(
            id=self._gateway,
            pid=os.getpid(),
            clients=self._hub.clients,
            offered=totals.offered,
            sent=totals.sent,
            missed=totals.missed,
            missed_by=totals.missed_by.by_cause(),
            bytes=totals.bytes,
            closed_by=dict(self.closed_by),
            foreign=self._intake.foreign,
            stale=self._intake.stale,
            bus_gaps=self._intake.bus_gaps,
            lag_s=round(self.lag.worst_s, 4),
        )
