"""The sequencer: settles every seq of one camera exactly once and releases them in order.

1. `leased` opens a seq. The first of these settles it: an outcome from its worker; 50 ms after the
   death of its worker, since an outcome sent before may still arrive; one second after the lease
   was returned without an outcome; in `live`, rule 2.
2. Settled seqs leave in order, so a settled seq waits for earlier ones that are still open. In
   `live` no seq waits longer than `order_wait_s` for another: when the oldest waiting outcome has
   waited that long, every open seq before it is lost, cause `late`. In `every` it waits until they
   are settled.
3. An outcome for a settled seq is stale and changes nothing.

Pure: times are arguments, in seconds of one monotonic clock.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from framefan.settings.run import Mode
    from framefan_inference.leases.camera_queue import Grant

LATE = "late"
NO_OUTCOME = "no_outcome"
WORKER_DIED = "worker_died"
PREDICT_TIMEOUT = "predict_timeout"
STOPPED = "stopped"

SILENCE_S = 0.05
"""How long after its worker's death an outcome may still arrive."""
RETURN_S = 1.0
"""How long after the return of its lease an outcome may still arrive."""


class Entry:
    """A seq that has not left yet."""

    __slots__ = ("cause", "due", "grant", "outcome", "settled_at")

    def __init__(self, grant: Grant) -> None:
        self.grant = grant
        self.outcome: Any = None
        self.cause = ""
        """Why it was lost; empty while it is open or when it has an outcome."""
        self.due: float | None = None
        """When it will be lost, with `cause`, unless an outcome comes first."""
        self.settled_at: float | None = None


class Sequencer:
    """One camera's seqs, from lease to publication."""

    def __init__(self, mode: Mode, order_wait_s: float) -> None:
        self.order_wait_s = order_wait_s
        self.mode = mode
        self._open: OrderedDict[int, Entry] = OrderedDict()
        self.left = Counter[str]()
        """How many seqs have left as `results`, `errors` and `lost`."""
        self.lost_by: Counter[str] = Counter()

    @property
    def running(self) -> int:
        """How many seqs were leased and have not left."""
        return len(self._open)

    def leased(self, grant: Grant) -> None:
        self._open[grant.seq] = Entry(grant)

    def outcome(self, seq: int, outcome: Any, now: float) -> bool:
        """Settle a seq by its outcome; False: it is settled already, so this outcome is stale."""
        entry = self._open.get(seq)
        if entry is None or entry.settled_at is not None:
            return False
        entry.outcome = outcome
        entry.settled_at = now
        return True

    def returned(self, seq: int, now: float) -> float | None:
        """The lease was returned, so its outcome was sent or never will be.

        Returns when the seq will be lost; None: it is settled.
        """
        return self._expect(seq, NO_OUTCOME, now + RETURN_S)

    def worker_died(self, seq: int, cause: str, now: float) -> float | None:
        """The worker is dead; an outcome sent before may still arrive.

        Returns when the seq will be lost; None: it is settled.
        """
        return self._expect(seq, cause, now + SILENCE_S)

    def _expect(self, seq: int, cause: str, due: float) -> float | None:
        entry = self._open.get(seq)
        if entry is None or entry.settled_at is not None:
            return None
        if entry.due is None or due < entry.due:  # a death after the return settles it earlier
            entry.cause = cause
            entry.due = due
        return entry.due

    def stop(self, now: float) -> None:
        """No more outcomes will arrive: open seqs are lost."""
        for entry in self._open.values():
            self._lose(entry, entry.cause or STOPPED, now)

    def release(self, now: float) -> list[Entry]:
        """Settle what is due, then return every seq that may leave now, in order."""
        out: list[Entry] = []
        overdue: int | None = None
        while self._open:
            entry = next(iter(self._open.values()))
            if entry.settled_at is None:
                if overdue is None:
                    overdue = self._settle_due(now)
                if entry.settled_at is None:
                    if entry.grant.seq > overdue:
                        break
                    self._lose(entry, LATE, now)
            del self._open[entry.grant.seq]
            self._count(entry)
            out.append(entry)
        return out

    def _settle_due(self, now: float) -> int:
        """Settle what is due as lost; returns the last seq that has waited long enough, or -1."""
        for entry in self._open.values():
            if entry.due is not None and entry.due <= now:
                self._lose(entry, entry.cause, now)
        return self._overdue(now)

    def _overdue(self, now: float) -> int:
        if self.mode == "every":
            return -1
        limit = now - self.order_wait_s
        waited = [
            seq
            for seq, entry in self._open.items()
            if entry.settled_at is not None and entry.settled_at <= limit
        ]
        return waited[-1] if waited else -1

    def next_due(self) -> float | None:
        """When `release` may return something without another event; None: never."""
        if not self._open:
            return None
        times = [
            entry.due
            for entry in self._open.values()
            if entry.due is not None and entry.settled_at is None
        ]
        if self.mode == "live":
            times += [
                entry.settled_at + self.order_wait_s
                for entry in self._open.values()
                if entry.settled_at is not None
            ]
        return min(times, default=None)

    @staticmethod
    def _lose(entry: Entry, cause: str, now: float) -> None:
        if entry.settled_at is None:
            entry.cause = cause
            entry.settled_at = now

    def _count(self, entry: Entry) -> None:
        if entry.outcome is None:
            self.left["lost"] += 1
            self.lost_by[entry.cause] += 1
        elif entry.outcome.kind == "error":
            self.left["errors"] += 1
        else:
            self.left["results"] += 1
