"""The state table: one record of all states and counters, each second and after each change."""

from __future__ import annotations

import importlib.metadata
import math
import os
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from framefan.base import clock
from framefan.ipc.messages import Children
from framefan.ipc.records import GatewayFacts, Pid, StateRecord

if TYPE_CHECKING:
    from framefan_inference.leases.ledger import Ledger
    from framefan_inference.pool.capture_links import CaptureLinks
    from framefan_inference.pool.failures import Failures
    from framefan_inference.pool.groups import WorkerGroups
    from framefan_inference.pool.publisher import OutcomeReader, Publisher
    from framefan_inference.pool.supervisor_link import SupervisorLink


class Parts(NamedTuple):
    """The sources of the table."""

    supervisor: SupervisorLink
    ledger: Ledger
    publisher: Publisher
    outcomes: OutcomeReader
    captures: CaptureLinks
    groups: WorkerGroups
    failures: Failures


class Tables:
    """Publishes the table when `publisher.table_due` has passed."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._every_s = parts.supervisor.settings.limits.state_every_s
        self._version = importlib.metadata.version("framefan")
        self._tuned_at = 0.0
        self.children = Children(os.getppid(), "", [])
        self.gateways: dict[int, GatewayFacts] = {}
        self._heard_at: dict[int, float] = {}

    def tick(self, now: float) -> None:
        if now < self._parts.publisher.table_due:
            return
        if now - self._tuned_at >= self._every_s:
            self._tuned_at = now
            self._parts.ledger.tune()
        self.publish(now)

    def publish(self, now: float, last: bool = False) -> None:
        self._parts.publisher.table_due = now + self._every_s
        record = self._record(now)
        record.last = last
        self._parts.publisher.state(record)
        self._parts.supervisor.tell(record, self._all_ended())

    def _all_ended(self) -> bool:
        """Whether every source has ended and all frames are settled."""
        return self._parts.captures.all_ended and self._parts.ledger.idle

    def _record(self, now: float) -> StateRecord:
        parts = self._parts
        settings = parts.supervisor.settings
        return StateRecord(
            epoch=parts.publisher.epoch,
            n=parts.publisher.n,
            ts=clock.wall(),
            version=self._version,
            name=settings.name,
            run_dir=settings.run_dir,
            results_endpoint=settings.results_endpoint,
            publish_endpoint=settings.publish,
            picture_endpoints=list(settings.picture_endpoints),
            url=self.children.url,
            supervisor=Pid(self.children.supervisor_pid),
            pool=Pid(os.getpid(), self._restarts()),
            gateways=self._gateways(),
            workers=parts.groups.measure(now),
            predictors=parts.groups.facts(),
            cameras=parts.captures.measure(parts.failures),
            foreign=parts.outcomes.foreign,
            stale=parts.ledger.stale,
        )

    def _restarts(self) -> int:
        """How often the supervisor has restarted the pool."""
        return sum(child.restarts for child in self.children.children if child.stage == "pool")

    def heard(self, facts: GatewayFacts) -> None:
        """A gateway has reported its facts, about once a second."""
        self.gateways[facts.id] = facts
        self._heard_at[facts.id] = clock.now()

    def _gateways(self) -> list[GatewayFacts]:
        """Each gateway's own report, with the supervisor's facts of its process."""
        known = {
            int(child.role): child for child in self.children.children if child.stage == "gateway"
        }
        rows, silent_s = [], self._parts.supervisor.settings.limits.state_lost_s
        for number in sorted(known.keys() | self.gateways.keys()):
            facts = self.gateways.get(number) or GatewayFacts(id=number, state="starting")
            if clock.now() - self._heard_at.get(number, math.inf) > silent_s:
                facts = replace(facts, state="silent")
            child = known.get(number)
            if child:
                facts.pid, facts.restarts = child.pid, child.restarts
                if number not in self.gateways:
                    facts.state = child.state
            rows.append(facts)
        return rows
