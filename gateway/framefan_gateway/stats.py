"""The counters of one gateway, for the pool's table, `/api/status` and `/metrics`.

A gateway that replaces one that died continues its counters.
"""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING

from msgspec.structs import replace

from framefan.ipc.records import GatewayFacts
from framefan_gateway.delivery.news import Removed
from framefan_gateway.delivery.wire import Outcome
from framefan_gateway.latency import Lag, StageLatencies

if TYPE_CHECKING:
    from collections.abc import Iterable

    from framefan_gateway.delivery.hub import Hub
    from framefan_gateway.delivery.news import News
    from framefan_gateway.intake import Intake

_MOST_ENDS = 50
"""How many close codes and reasons are counted separately; clients may use thousands."""


LEFT_WAITING = "history"
"""The cause of results that were pending when a client left or its gateway died. If the client
reconnects, results are counted when they are sent."""


class Monotonic:
    """Facts of a gateway whose counters never decrease and still add up.

    A reconnecting client's account is reduced by results that it turns out to have had before. To
    Prometheus a decreasing counter looks like a restart. So what was subtracted is added back here.
    """

    def __init__(self, gateway: int) -> None:
        self._last = self._shown = GatewayFacts(id=gateway)
        self._taken_out: Counter[str] = Counter()
        self._taken_out_sent = 0

    def start_from(self, facts: GatewayFacts) -> None:
        """Take these for what was shown last, by an earlier process of this gateway."""
        self._last = self._shown = facts

    def of(self, facts: GatewayFacts) -> GatewayFacts:
        """`facts`, corrected so that no counter is less than in an earlier call."""
        last, self._last = self._last, facts
        pending = facts.offered - facts.sent - facts.missed
        for cause, count in last.missed_by.items():
            self._taken_out[cause] += max(count - facts.missed_by.get(cause, 0), 0)
        self._taken_out_sent += max(last.sent - facts.sent, 0)
        sent = facts.sent + self._taken_out_sent
        missed = self._missed(facts)
        unseen = self._shown.offered - sent - pending - sum(missed.values())
        if unseen > 0:  # a cause grew by as much as was subtracted from it
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
        """How many connections of clients ended, by close code or reason."""
        self.stages = StageLatencies()
        self.lag = Lag()

    def on_delivered(self, news: Iterable[News], now: float) -> None:
        """Count the results and errors that the hub delivered at `now`, in order."""
        for item in news:
            if isinstance(item, Outcome):
                self.stages.observe(item.record, now)
            elif isinstance(item, Removed):
                self.stages.forget(item.camera)

    def ended(self, how: str) -> None:
        """Count the end of a client's connection, by close code or by the gateway's reason."""
        known = how in self.closed_by or len(self.closed_by) < _MOST_ENDS
        self.closed_by[how if known else "other"] += 1

    def resume_from(self, before: GatewayFacts, pending: int) -> None:
        """Continue the counts of an earlier process of this gateway.

        `pending`: the results that were pending there; they are missed.
        """
        missed_by = Counter(before.missed_by)
        missed_by[LEFT_WAITING] += pending
        self._before = replace(
            before, missed=before.missed + pending, missed_by=dict(missed_by), closed_by={}
        )
        self._monotonic.start_from(self._before)
        self.closed_by.update(before.closed_by)

    def facts(self) -> GatewayFacts:
        """All counters as of now, none less than before. Restarts, which the supervisor counts, are
        not included.
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
