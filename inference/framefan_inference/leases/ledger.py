"""The ledger: the schedule and the sequencers together; every frame and seq is accounted for.

captured = leased + superseded + bad + waiting, and leased = results + errors + lost + running. The
schedule counts waiting and superseded frames, a sequencer the leased ones. Only this module moves a
frame from one to the other. Pure: no clock, no socket.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from framefan_inference.leases.circuit import CircuitBreaker
from framefan_inference.leases.schedule import CIRCUIT, CameraQueue, Freed, Grant, Schedule
from framefan_inference.leases.sequencer import Entry, Sequencer

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from framefan.ipc.messages import WorkerOutcome
    from framefan.settings.run import CameraSettings, Mode
    from framefan_inference.leases.schedule import Frame

_P95_OF = 100
"""How many of the latest predictions set how long an outcome may wait for its turn."""


class Account(NamedTuple):
    """A camera's counters so far, and the numbers it resumes with."""

    queue: CameraQueue
    sequencer: Sequencer


class Ledger:
    """All frames of a run, from ready until their seq has left."""

    def __init__(
        self,
        cameras: Iterable[CameraSettings],
        order_wait_s: float,
        first_lease: int = 1,
        batch_wait_s: float = 0.0,
        circuits: CircuitBreaker | None = None,
    ) -> None:
        """`first_lease` differs for each pool, so that no outcome of an earlier pool matches.

        Without `circuits` no camera is ever skipped.
        """
        rows = [(camera.name, camera.mode) for camera in cameras]
        self.schedule = Schedule(rows, first_lease, batch_wait_s)
        self.circuits = circuits or CircuitBreaker(0, 0.0, 0.0)
        self.sequencers = {name: Sequencer(mode, order_wait_s) for name, mode in rows}
        self.freed: list[Freed] = []
        """Slots that became free since the last `take_freed`."""
        self.stale = 0
        """Outcomes and returns of leases that are settled already or never existed."""
        self._order_wait_s = self._patience_s = order_wait_s
        self._leases: dict[int, Grant] = {}
        """Leases whose seq has not left; an outcome may arrive after the return."""
        self._news: set[str] = set()
        """Cameras with an outcome since the last release."""
        self._due = math.inf
        """The earliest time at which the clock alone may settle a seq."""
        self._predict_s: deque[float] = deque(maxlen=_P95_OF)

    # ---- cameras ----------------------------------------------------------------------------

    def add(self, camera: str, mode: Mode, account: Account | None = None) -> None:
        """Add a camera; with the account it was parked with, it resumes where it left off."""
        if account is None:
            account = Account(CameraQueue(mode), Sequencer(mode, self._patience_s))
        self.schedule.cameras[camera], self.sequencers[camera] = account
        account.sequencer.order_wait_s = self._patience_s
        self.set_mode(camera, mode)

    def set_mode(self, camera: str, mode: Mode) -> None:
        """Change the mode; it applies to waiting and leased frames too."""
        sequencer = self.sequencers[camera]
        self.schedule.cameras[camera].mode = sequencer.mode = mode
        self._expect(sequencer.next_due())

    def remove(self, camera: str) -> None:
        """Accept no more frames of a camera; the slots of its waiting frames are free."""
        self.circuits.drop(camera)
        self.freed += self.schedule.remove(camera)

    def is_settled(self, camera: str) -> bool:
        """Whether all its seqs have left and all its slots are free."""
        return not self.schedule.slots_out(camera) and not self.sequencers[camera].running

    def park(self, camera: str) -> Account:
        """Take out a removed camera that is settled."""
        return Account(self.schedule.park(camera), self.sequencers.pop(camera))

    # ---- frames, leases, outcomes -----------------------------------------------------------

    def ready(self, camera: str, frame: Frame, now: float = 0.0) -> None:
        """A frame is ready: it waits, or is superseded if its camera's circuit is open."""
        queue = self.schedule.cameras[camera]
        in_line = bool(queue.waits) and queue.mode == "every"
        if not self.circuits.admits(camera, now, in_line):
            self.freed.append(self.schedule.refuse(camera, frame, CIRCUIT))
        else:
            self.freed += self.schedule.ready(camera, frame, now)

    def assign(self, now: float = 0.0) -> list[Grant]:
        """Grant every lease that can be granted now; those of one worker are one call."""
        grants = self.schedule.assign(now, self.circuits.alone(now))
        for grant in grants:
            self.circuits.leased(grant.camera, grant.lease)
            self._leases[grant.lease] = grant
            self.sequencers[grant.camera].leased(grant)
        return grants

    def outcome(self, outcome: WorkerOutcome, now: float) -> Grant | None:
        """Record the outcome of a lease; None: the outcome is stale."""
        grant = self._leases.get(outcome.lease)
        if grant is None or not self.sequencers[grant.camera].outcome(grant.seq, outcome, now):
            self.stale += 1
            return None
        seconds = outcome.finished_at - outcome.started_at
        self._predict_s.append(seconds)
        self.schedule.window.took(seconds)
        self._news.add(grant.camera)
        self._expect(now)
        return grant

    def returned(self, worker: int, lease: int, now: float) -> bool:
        """A worker returned a lease, so its slot is free; False: the return is stale."""
        grant = self.schedule.returned(worker, lease)
        if grant is None:
            self.stale += 1
            return False
        self.circuits.returned(grant.camera, lease)
        self._expect(self.sequencers[grant.camera].returned(grant.seq, now))
        self.freed.append(Freed(grant.camera, grant.frame.ring, grant.frame.slot))
        return True

    def worker_down(self, worker: int, cause: str, now: float) -> None:
        """A worker has ended (waitpid): its slots are free, and its seqs are about to be lost.

        That includes seqs whose lease it had returned: their outcome was sent or never will be.
        """
        for grant in self._leases.values():
            if grant.worker == worker:
                self._expect(self.sequencers[grant.camera].worker_died(grant.seq, cause, now))
        for grant in self.schedule.worker_down(worker):
            self.freed.append(Freed(grant.camera, grant.frame.ring, grant.frame.slot))

    def blame(self, cameras: Collection[str], now: float) -> None:
        """A worker died with frames of these cameras; slots of those skipped now become free."""
        for camera in self.circuits.died(cameras, now):
            self.freed += self.schedule.leave_out(camera, CIRCUIT)

    def worker_left(self, worker: int) -> None:
        """A retired worker has ended by itself, after it returned all its leases.

        Its last outcomes may still arrive, so its seqs keep the deadline that the return set.
        """
        had = self.schedule.worker_down(worker)
        assert not had, "it had a lease"

    def borrow(self) -> tuple[str, Frame] | None:
        """Borrow a frame for a predictor's self-test: it gets no seq and counts as waiting."""
        return self.schedule.borrow()

    def give_back(self, camera: str) -> None:
        """Return the borrowed frame; its slot is free if it was superseded meanwhile."""
        self.freed += self.schedule.give_back(camera)

    def take_freed(self) -> list[Freed]:
        """Return the slots that became free since the last call."""
        freed, self.freed = self.freed, []
        return freed

    def release(self, now: float) -> list[Entry]:
        """Return every seq that leaves now, in order within its camera."""
        if now < self._due:
            return []
        left: list[Entry] = []
        dues = [math.inf]
        for name, each in self.sequencers.items():
            if not each.running:
                continue
            due = each.next_due()
            if name in self._news or (due is not None and due <= now):
                left += each.release(now)
                due = each.next_due()
            if due is not None:
                dues.append(due)
        for entry in left:
            del self._leases[entry.grant.lease]
        self._news.clear()
        self._due = min(dues)
        return left

    def stop(self, now: float) -> list[Entry]:
        """No more outcomes will arrive: open seqs are lost. Returns all that had not left."""
        for name, each in self.sequencers.items():
            each.stop(now)
            self._news.add(name)
        self._expect(now)
        return self.release(now)

    def is_open(self, lease: int) -> bool:
        """Whether the seq of this lease has not left yet."""
        return lease in self._leases

    def next_due(self) -> float:
        """When `release` may return something without another event; inf: never."""
        return self._due

    def _expect(self, due: float | None) -> None:
        if due is not None:
            self._due = min(self._due, due)

    def tune(self) -> None:
        """Set how long an outcome may wait for its turn: twice the p95 of predict, if longer."""
        if self._predict_s:
            recent = sorted(self._predict_s)
            p95 = recent[int(0.95 * (len(recent) - 1))]
            self._patience_s = max(self._order_wait_s, 2 * p95)
            for each in self.sequencers.values():
                each.order_wait_s = self._patience_s

    @property
    def idle(self) -> bool:
        """Whether no frame waits, none is leased and every seq has left."""
        return self.schedule.idle and not self._leases
