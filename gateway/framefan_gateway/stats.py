"""What one gateway counts of itself, for the pool's table, `/api/status` and `/metrics` alike.

A gateway that takes the place of one that died counts on from there.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

from msgspec.structs import replace

from framefan.ipc.records import GatewayFacts
from framefan_gateway.latency import Lag, StageLatencies

if TYPE_CHECKING:
    from framefan_gateway.delivery.hub import Hub
    from framefan_gateway.intake import Intake

_MOST_ENDS = 50
"""Ends that are told each by itself: a client may close with any of thousands of codes."""


LEFT_WAITING = "history"
"""The cause by which a client missed what waited for its line when it left or its gateway died: no
client can be sent it there any more, and what it gets when it comes back is counted then."""


class Monotonic:
    """Facts of a gateway of which no counter ever falls, and which still add up.

    A client that comes back takes out of its account what it turns out to have had before. To
    whoever reads a counter, one that falls looks like a restart. So what is taken out stays here.
    """

    def __init__(self, gateway: int) -> None:
        self._last = self._shown = GatewayFacts(id=gateway)
        self._taken_out: Counter[str] = Counter()
        self._taken_out_sent = 0

    def of(self, facts: GatewayFacts) -> GatewayFacts:
        """`facts`: as the accounts of now are."""
        last, self._last = self._last, facts
        pending = facts.offered - facts.sent - facts.missed
        for cause, count in last.missed_by.items():
            self._taken_out[cause] += max(count - facts.missed_by.get(cause, 0), 0)
        self._taken_out_sent += max(last.sent - facts.sent, 0)
        sent = facts.sent + self._taken_out_sent
        missed = self._missed(facts)
        unseen = self._shown.offered - sent - pending - sum(missed.values())
        if unseen > 0:  # as much came to a cause meanwhile as was taken out of it
            self._taken_out[LEFT_WAITING] += unseen
            missed = self._missed(facts)
        total = sum(missed.values())
        self._shown = replace(
            facts,
            offered=sent + total + pending,
            sent=sent,
            missed=total,
            missed_by=dict(missed),
            bytes=max(facts.bytes, self._shown.bytes),
        )
        return self._shown

    def _missed(self, facts: GatewayFacts) -> Counter[str]:
        return Counter(facts.missed_by) + self._taken_out


class Stats:
    def __init__(self, gateway: int, hub: Hub, intake: Intake) -> None:
        self.gateway = gateway
        self._before = GatewayFacts(id=gateway)
        self._monotonic = Monotonic(gateway)
        self._hub = hub
        self._intake = intake
        self.closed_by: Counter[str] = Counter()
        """By close code or reason, how connections of clients ended."""
        self.stages = StageLatencies()
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
        missed_by[LEFT_WAITING] += pending
        self._before = replace(
            before, missed=before.missed + pending, missed_by=dict(missed_by), closed_by={}
        )
        self.closed_by.update(before.closed_by)

    def facts(self) -> GatewayFacts:
        """Everything as of now, no counter less than before; the supervisor's part, the restarts,
        is not known here.
        """
        totals, before = self._hub.totals(), self._before
        missed_by = Counter(before.missed_by)
        missed_by.update(totals.missed_by.by_cause())
        counted = GatewayFacts(
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
        return self._monotonic.of(counted)
