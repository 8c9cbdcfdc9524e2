"""The state table: one record of everything, every second and whenever something changed."""

from __future__ import annotations

import importlib.metadata
import math
import os
from typing import TYPE_CHECKING

from msgspec.structs import replace

from framefan.base import clock
from framefan.ipc.messages import Children
from framefan.ipc.records import GatewayFacts, Pid, StateRecord

if TYPE_CHECKING:
    from framefan_inference.pool.pool import Pool


class Tables:
    """Publishes the pool's table when it is due; `due` may be brought forward by anyone."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._every_s = pool.settings.limits.state_every_s
        self._version = importlib.metadata.version("framefan")
        self._tuned_at = 0.0
        self.due = clock.now()
        self.children = Children(os.getppid(), "", [])
        self.gateways: dict[int, GatewayFacts] = {}
        self._heard_at: dict[int, float] = {}

    def tick(self, now: float) -> None:
        if now < self.due:
            return
        if now - self._tuned_at >= self._every_s:
            self._tuned_at = now
            self._pool.ledger.tune()
        self.publish(now)

    def publish(self, now: float, last: bool = False) -> None:
        self.due = now + self._every_s
        record = self._record(now)
        record.last = last
        self._pool.publisher.state(record)
        self._pool.tell_supervisor(record, self._all_ended())

    def _all_ended(self) -> bool:
        """Every source has come to its end and every frame of it is settled."""
        return self._pool.captures.all_ended and self._pool.ledger.idle

    def _record(self, now: float) -> StateRecord:
        pool = self._pool
        settings = pool.settings
        return StateRecord(
            epoch=pool.publisher.epoch,
            n=pool.publisher.n,
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
            workers=pool.crew.measure(now),
            cameras=pool.captures.measure(),
            foreign=pool.outcomes.foreign,
            stale=pool.ledger.stale,
        )

    def _restarts(self) -> int:
        """How often the supervisor has started a pool anew."""
        return sum(child.restarts for child in self.children.children if child.stage == "pool")

    def heard(self, facts: GatewayFacts) -> None:
        """A gateway says how it is, about once a second."""
        self.gateways[facts.id] = facts
        self._heard_at[facts.id] = clock.now()

    def _gateways(self) -> list[GatewayFacts]:
        """What each gateway says of itself, with what the supervisor knows of its process."""
        known = {
            int(child.role): child for child in self.children.children if child.stage == "gateway"
        }
        rows, silent_s = [], self._pool.settings.limits.state_lost_s
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
