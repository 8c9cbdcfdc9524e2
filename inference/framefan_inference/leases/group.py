"""A worker group in the ledger: one predictor's schedule, its circuits and the pace of its calls.

Each predictor of a run has a group. A camera is in one group at a time, and so is a worker. No
decision in a group depends on another one: frames of a group wait for its own workers only, and its
workers' deaths and slow calls count for its own cameras only. Pure: times are arguments.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from framefan_inference.leases.circuit import CircuitBreaker
from framefan_inference.leases.schedule import Schedule

if TYPE_CHECKING:
    from collections.abc import Iterator

_P95_OF = 100
"""How many of the latest predictions set how long an outcome may wait for its turn."""


class GroupRules(NamedTuple):
    """The limits of a group."""

    order_wait_s: float
    batch_wait_s: float = 0.0
    circuit: tuple[int, float, float] = (0, 0.0, 0.0)
    """Deaths, within_s and retry_s of the circuit breaker; without deaths none ever opens."""


class Group:
    """The cameras and workers of one predictor."""

    def __init__(self, rules: GroupRules, leases: Iterator[int]) -> None:
        """`leases`: the numbers of the next leases, which all groups of a ledger share."""
        self.schedule = Schedule((), leases, rules.batch_wait_s)
        self.circuits = CircuitBreaker(*rules.circuit)
        self.patience_s = rules.order_wait_s
        """How long an outcome may wait for its turn."""
        self._order_wait_s = rules.order_wait_s
        self._predict_s: deque[float] = deque(maxlen=_P95_OF)

    def predicted(self, seconds: float) -> None:
        """A call has lasted this long."""
        self._predict_s.append(seconds)
        self.schedule.window.took(seconds)

    def tune(self) -> None:
        """Set the patience: twice the p95 of predict, if longer than the limit."""
        if self._predict_s:
            recent = sorted(self._predict_s)
            p95 = recent[int(0.95 * (len(recent) - 1))]
            self.patience_s = max(self._order_wait_s, 2 * p95)
