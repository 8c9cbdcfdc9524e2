"""The counts of all gateways of a run, available from each of them.

Each gateway publishes its counts in shared memory (framefan/ipc/gateway_counts.py) once a second,
and right before it answers a request for counts; then it reads those of the others. So whichever
gateway answers, no count is less than in an earlier answer of any gateway. How many clients a
gateway has is read as of now, so that a crowd that has just joined is seen at once.

A gateway that replaces one that died continues the published counts. Results that were pending for
its clients are missed.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import msgspec

from framefan.base import logs
from framefan.ipc.gateway_counts import MOST_GATEWAYS, GatewayCounts
from framefan.ipc.records import GatewayFacts
from framefan_gateway.latency import Counted

if TYPE_CHECKING:
    from framefan.ipc.records import StateRecord
    from framefan_gateway.intake import Intake
    from framefan_gateway.stats import Stats

Changes = list[tuple[str, str, str, int]]


class Published(msgspec.Struct, array_like=True, frozen=True):
    """One gateway's counts, as it publishes them."""

    facts: GatewayFacts
    """No counter is less than in any earlier answer."""
    pending: int
    stages: dict[str, list[Counted]]
    lag: Counted
    changes: Changes
    """Camera, state, reason, and how often the camera entered that state."""
    table: tuple[str, int]
    """Epoch and `n` of the newest state table that this gateway has."""
    table_at: float
    """When that table arrived, on clock.now; -inf: there is none."""
    living: bool = True


class RunStats:
    """The counts of all gateways, read by one of them."""

    def __init__(self, stats: Stats, intake: Intake, counts: GatewayCounts | None = None) -> None:
        """`counts`: the memory that all gateways of the run share; None: there is only this one."""
        self._stats = stats
        self._intake = intake
        self._counts = counts or GatewayCounts(own=stats.gateway)
        self._number = stats.gateway
        self._decoder = msgspec.msgpack.Decoder(Published)
        self._is_mute = False

    def resume(self) -> None:
        """Continue the counts of the previous process with this number, if there was one."""
        before = self._read(self._number)
        if before is None:
            return
        self._stats.resume_from(before.facts, before.pending)
        self._stats.stages.resume_from(before.stages)
        self._stats.lag.histogram.resume_from(before.lag)
        for camera, state, reason, count in before.changes:
            self._intake.changes.setdefault(camera, Counter())[state, reason] += count

    def publish(self) -> Published:
        """Publish this gateway's counts as of now, and return them."""
        own = self._own()
        done = self._counts.publish(msgspec.msgpack.encode(own))
        if not done and not self._is_mute:
            logs.warning(
                "the other gateways do not get this one's counts: no room in shared memory"
            )
        self._is_mute = not done
        return own

    def gateways(self) -> list[Published]:
        """The counts of all gateways that ever ran, this one first."""
        own = self.publish()
        others = (self._read(number) for number in range(1, MOST_GATEWAYS + 1))
        return [own, *(each for each in others if each and each.facts.id != self._number)]

    def is_behind(self) -> bool:
        """Whether another gateway has a newer state table, which will arrive here as well."""
        state = self._intake.state
        for number in range(1, self._counts.gateways + 1):
            other = None if number == self._number else self._read(number)
            if other is None or not other.living:
                continue
            epoch, n = other.table
            if (state is None and epoch) or (state and epoch == state.epoch and n > state.n):
                return True
        return False

    def _own(self) -> Published:
        stats, intake = self._stats, self._intake
        facts = stats.facts()
        return Published(
            facts=facts,
            pending=facts.offered - facts.sent - facts.missed,
            stages=stats.stages.state(),
            lag=stats.lag.histogram.state(),
            changes=[
                (camera, state, reason, count)
                for camera, by_state in intake.changes.items()
                for (state, reason), count in by_state.items()
            ],
            table=_table(intake.state),
            table_at=intake.state_at,
        )

    def _read(self, number: int) -> Published | None:
        text = self._counts.published(number)
        try:
            found = self._decoder.decode(text) if text else None
        except msgspec.DecodeError:
            return None
        if found is None:
            return None
        if not self._counts.lives(number):
            return msgspec.structs.replace(found, living=False)
        facts = msgspec.structs.replace(found.facts, clients=self._counts.clients(number))
        return msgspec.structs.replace(found, facts=facts)


def _table(state: StateRecord | None) -> tuple[str, int]:
    return ("", 0) if state is None else (state.epoch, state.n)
