"""The lifecycle of one child: when it is overdue, and when it may start again.

This module does no I/O; callers pass the time.

    starting -> running -> (death) backoff -> starting ...
                           (too many deaths) failed -> starting after `restarts_within_s`
    any -> stopping -> (renewed) backoff, due at once

A child reports *progress* with messages from the loop that does its work. A live child that
reports none for `no_progress_s` is overdue, even if it has never reported any.
"""

from __future__ import annotations

import enum
import math
from typing import TYPE_CHECKING

from framefan.ipc.messages import ChildFacts
from framefan.settings.restart import RestartPolicy

if TYPE_CHECKING:
    from framefan.settings.run import Limits


FIRST_SUM_S, LAST_SUM_S = 300.0, 3600.0


class State(enum.Enum):
    STARTING = "starting"
    RUNNING = "running"
    BACKOFF = "backoff"
    FAILED = "failed"
    STOPPING = "stopping"


class RepeatedDeaths:
    """Limits how often a child's deaths are logged.

    The first death is logged, then at most one in 5 minutes, in 10, 20 and so on up to an hour;
    each line includes the number of deaths that were not logged. After a whole such interval
    without a death, the next death counts as the first.
    """

    def __init__(self) -> None:
        self._told_at = self._died_at = -math.inf
        self._rest_s = FIRST_SUM_S
        self._untold = 0

    def told(self, now: float) -> int | None:
        """How many deaths were left out of the log before this one; None: leave this one out."""
        if now - self._died_at >= self._rest_s:
            self._told_at, self._rest_s = -math.inf, FIRST_SUM_S
        is_first = math.isinf(self._told_at)
        self._died_at = now
        if now - self._told_at < self._rest_s:
            self._untold += 1
            return None
        self._rest_s = FIRST_SUM_S if is_first else min(2 * self._rest_s, LAST_SUM_S)
        self._told_at, untold, self._untold = now, self._untold, 0
        return untold


class ChildLifecycle:
    """The state of one child in the process tree, as the supervisor knows it."""

    def __init__(self, stage: str, role: str, no_progress_s: float, limits: Limits) -> None:
        self.stage = stage
        self.role = role
        self.no_progress_s = no_progress_s
        self.pid = 0
        self.state = State.BACKOFF
        self.due_at = 0.0
        """When a child in backoff or failed is to be started."""
        self._reason = ""
        self._verdict = ""
        self._heard_at = 0.0
        self._policy = RestartPolicy(limits)

    @property
    def title(self) -> str:
        return f"{self.stage} {self.role}".strip()

    @property
    def alive(self) -> bool:
        return self.state in (State.STARTING, State.RUNNING)

    def started(self, now: float, pid: int) -> None:
        self.state = State.STARTING
        self.pid = pid
        self._heard_at = now

    def progressed(self, now: float) -> bool:
        """Record progress. True for the first progress, which turns starting into running."""
        self._heard_at = now
        first = self.state is State.STARTING
        if first:
            self.state = State.RUNNING
        return first

    def spare(self, now: float) -> None:
        """Treat the child as not overdue, because there is a known reason for its silence."""
        self._heard_at = now

    def forgive(self, seconds: float) -> None:
        """Do not count the time in which the supervisor itself did not run."""
        self._heard_at += seconds

    def died(self, now: float, reason: str = "", verdict: str = "") -> float:
        """Record a death, and return the seconds until the next start.

        `verdict`: why the child reported that it can never work, or empty.
        """
        wait = self._policy.died(now, hopeless=bool(verdict))
        self.state = State.FAILED if verdict or self._policy.failed else State.BACKOFF
        self.due_at = now + wait
        self.pid = 0
        self._reason = "unplayable" if verdict else reason
        self._verdict = verdict
        return wait

    def pardon(self) -> None:
        """Forget its deaths so far, because it makes progress in spite of them."""
        self._policy.pardon()

    def stop(self) -> None:
        self.state = State.STOPPING

    def renew(self, now: float, no_progress_s: float) -> None:
        """Make it due now, as a new child: earlier deaths no longer count."""
        self.no_progress_s = no_progress_s
        self.state = State.BACKOFF
        self.due_at = now
        self.pid = 0
        self._reason = self._verdict = ""
        self._policy.pardon()

    def due(self, now: float) -> bool:
        return self.state in (State.BACKOFF, State.FAILED) and now >= self.due_at

    def overdue(self, now: float) -> bool:
        return self.alive and now - self._heard_at > self.no_progress_s

    def next_event(self) -> float:
        """When this child next needs attention."""
        if self.alive:
            return self._heard_at + self.no_progress_s
        return self.due_at if self.state is not State.STOPPING else float("inf")

    @property
    def restarts(self) -> int:
        return self._policy.restarts

    def facts(self, now: float) -> ChildFacts:
        waits = self.state in (State.BACKOFF, State.FAILED) and self._reason
        return ChildFacts(
            self.stage,
            self.role,
            self.pid,
            self.state.value,
            self.restarts,
            reason=self._reason if waits else "",
            next_start_s=max(0.0, self.due_at - now) if waits else None,
            message=self._verdict if waits else "",
        )
