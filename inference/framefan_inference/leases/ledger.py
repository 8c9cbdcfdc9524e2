"""The ledger: schedules and sequencers together; every frame and seq is accounted for.

captured = leased + superseded + bad + waiting, and leased = results + errors + lost + running. A
schedule counts waiting and superseded frames, a sequencer the leased ones. Only this module moves a
frame from one to the other. Pure: no clock, no socket.

There is one ledger in a run, with a group for each predictor (group.py). A camera may change its
group at any time: its queue and its numbers go along, and its sequencer stays. So every seq is
settled once and in order, whichever group's worker has it.
"""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, NamedTuple

from framefan_inference.leases.camera_queue import CIRCUIT, CameraQueue, Freed, Grant
from framefan_inference.leases.group import Group, GroupRules
from framefan_inference.leases.sequencer import Entry, Sequencer

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from framefan.ipc.outcomes import WorkerOutcome
    from framefan.settings.run import CameraSettings, Mode
    from framefan_inference.leases.camera_queue import Frame
    from framefan_inference.leases.circuit import Change, State


class Account(NamedTuple):
    """A camera's counters so far, and the numbers it resumes with."""

    queue: CameraQueue
    sequencer: Sequencer


class Ledger:
    """All frames of a run, from ready until their seq has left."""

    def __init__(
        self,
        cameras: Iterable[CameraSettings],
        groups: Mapping[str, GroupRules],
        first_lease: int = 1,
    ) -> None:
        """`groups`: the rules of each group, by the name of its predictor; one at least.

        `first_lease` differs for each pool, so that no outcome of an earlier pool matches.
        """
        self._numbers = itertools.count(first_lease)
        self.groups: dict[str, Group] = {}
        for name, rules in groups.items():
            self.add_group(name, rules)
        self.sequencers: dict[str, Sequencer] = {}
        self._group_of: dict[str, Group] = {}
        """By camera."""
        self._employer: dict[int, Group] = {}
        """By worker that is up, or still has leases."""
        self._circuit_changes: list[Change] = []
        """Those of groups that were removed."""
        self.freed: list[Freed] = []
        """Slots that became free since the last `take_freed`."""
        self.stale = 0
        """Outcomes and returns of leases that are settled already or never existed."""
        self._leases: dict[int, Grant] = {}
        """Leases whose seq has not left; an outcome may arrive after the return."""
        self._news: set[str] = set()
        """Cameras with an outcome since the last release."""
        self._due = math.inf
        """The earliest time at which the clock alone may settle a seq."""
        for camera in cameras:
            self.add(camera.name, camera.mode, group=camera.predictor)

    # ---- groups -----------------------------------------------------------------------------

    def add_group(self, name: str, rules: GroupRules) -> None:
        self.groups[name] = Group(rules, self._numbers)

    def remove_group(self, name: str) -> None:
        """Drop a group whose cameras and workers are gone."""
        group = self.groups[name]
        assert group.schedule.idle, f"a worker of {name} has a frame"
        assert not group.schedule.cameras, f"{name} has cameras"
        self._circuit_changes += group.circuits.changes
        del self.groups[name]

    def group(self, name: str) -> Group:
        """The group of that name; of a camera that names none, the first."""
        return self.groups[name] if name else next(iter(self.groups.values()))

    def move(self, camera: str, name: str) -> None:
        """Change a camera's group. Its frames at workers of the old group are not affected."""
        old, new = self._group_of[camera], self.group(name)
        if old is new:
            return
        old.circuits.leave(camera)
        queue = old.schedule.take_out(camera)
        queue.served = 0  # the turns of the old group say nothing in the new one
        new.schedule.put_in(camera, queue)
        self._group_of[camera] = new
        self.sequencers[camera].order_wait_s = new.patience_s

    # ---- cameras ----------------------------------------------------------------------------

    def add(self, camera: str, mode: Mode, account: Account | None = None, group: str = "") -> None:
        """Add a camera; with the account it was parked with, it resumes where it left off."""
        home = self.group(group)
        if account is None:
            account = Account(CameraQueue(mode), Sequencer(mode, home.patience_s))
        self._group_of[camera] = home
        home.schedule.put_in(camera, account.queue)
        self.sequencers[camera] = account.sequencer
        account.sequencer.order_wait_s = home.patience_s
        self.set_mode(camera, mode)

    def queue(self, camera: str) -> CameraQueue:
        """What waits of a camera, and its part of the counters."""
        return self._group_of[camera].schedule.cameras[camera]

    def set_mode(self, camera: str, mode: Mode) -> None:
        """Change the mode; it applies to waiting and leased frames too."""
        sequencer = self.sequencers[camera]
        self.queue(camera).mode = sequencer.mode = mode
        self._expect(sequencer.next_due())

    def remove(self, camera: str) -> None:
        """Accept no more frames of a camera; the slots of its waiting frames are free."""
        group = self._group_of[camera]
        group.circuits.drop(camera)
        self.freed += group.schedule.remove(camera)

    def is_settled(self, camera: str) -> bool:
        """Whether all its seqs have left and all its slots are free."""
        return not self.queue(camera).slots_out and not self.sequencers[camera].running

    def park(self, camera: str) -> Account:
        """Take out a removed camera that is settled."""
        schedule = self._group_of.pop(camera).schedule
        return Account(schedule.take_out(camera), self.sequencers.pop(camera))

    def uses(self, camera: str, ring: int) -> bool:
        """Whether a waiting, lent or leased frame is in this ring."""
        leased = any(each.schedule.has_leased(camera, ring) for each in self.groups.values())
        return leased or self.queue(camera).holds(ring)

    def circuit(self, camera: str) -> tuple[State, str]:
        """The state of a camera's circuit, and why it is not closed."""
        return self._group_of[camera].circuits.state(camera)

    def take_circuit_changes(self) -> list[Change]:
        """Return the changes of circuits since the last call."""
        changes, self._circuit_changes = self._circuit_changes, []
        for group in self.groups.values():
            changes += group.circuits.changes
            group.circuits.changes.clear()
        return changes

    # ---- workers ----------------------------------------------------------------------------

    def worker_up(self, worker: int, most: int = 1, group: str = "") -> None:
        """A worker is set up and has no lease; it takes up to `most` frames per call."""
        self._employer[worker] = employer = self.group(group)
        employer.schedule.worker_up(worker, most)

    def retire(self, worker: int) -> None:
        """Make no more grants to a worker; it keeps its leases until it returns them or dies."""
        if employer := self._employer.get(worker):
            employer.schedule.retire(worker)

    def in_hand(self, worker: int) -> set[str]:
        """The cameras of the frames that the worker holds."""
        employer = self._employer.get(worker)
        return employer.schedule.in_hand(worker) if employer else set()

    def worker_down(self, worker: int, cause: str, now: float) -> None:
        """A worker has ended (waitpid): its slots are free, and its seqs are about to be lost.

        That includes seqs whose lease it had returned: their outcome was sent or never will be.
        """
        for grant in self._leases.values():
            if grant.worker == worker:
                self._expect(self.sequencers[grant.camera].worker_died(grant.seq, cause, now))
        if employer := self._employer.pop(worker, None):
            for grant in employer.schedule.worker_down(worker):
                self.freed.append(Freed(grant.camera, grant.frame.ring, grant.frame.slot))

    def blame(self, cameras: Collection[str], now: float, group: str = "") -> None:
        """A worker of the group died with frames of these cameras; slots of those skipped now
        become free. If one of the cameras has left the group, no death is counted, because that
        camera may have caused it.
        """
        home = self.group(group)
        if not home.schedule.cameras.keys() >= set(cameras):
            return
        for camera in home.circuits.died(cameras, now):
            self.freed += home.schedule.leave_out(camera, CIRCUIT)

    def worker_left(self, worker: int) -> None:
        """A retired worker has ended by itself, after it returned all its leases.

        Its last outcomes may still arrive, so its seqs keep the deadline that the return set.
        """
        if employer := self._employer.pop(worker, None):
            had = employer.schedule.worker_down(worker)
            assert not had, "it had a lease"

    def borrow(self, group: str = "") -> tuple[str, Frame] | None:
        """Borrow a frame for a predictor's self-test: it gets no seq and counts as waiting."""
        return self.group(group).schedule.borrow()

    def give_back(self, camera: str) -> None:
        """Return the borrowed frame; its slot is free if it was superseded meanwhile."""
        self.freed += self._group_of[camera].schedule.give_back(camera)

    # ---- frames, leases, outcomes -----------------------------------------------------------

    def ready(self, camera: str, frame: Frame, now: float = 0.0) -> None:
        """A frame is ready: it waits, or is superseded if its camera's circuit is open."""
        group = self._group_of[camera]
        queue = group.schedule.cameras[camera]
        in_line = bool(queue.waits) and queue.mode == "every"
        if not group.circuits.admits(camera, now, in_line):
            self.freed.append(group.schedule.refuse(camera, frame, CIRCUIT))
        else:
            self.freed += group.schedule.ready(camera, frame, now)

    def assign(self, now: float = 0.0) -> list[Grant]:
        """Grant every lease that can be granted now; those of one worker are one call."""
        grants: list[Grant] = []
        for group in self.groups.values():
            made = group.schedule.assign(now, group.circuits.alone(now))
            for grant in made:
                group.circuits.leased(grant.camera, grant.lease)
                self._leases[grant.lease] = grant
                self.sequencers[grant.camera].leased(grant)
            grants += made
        return grants

    @property
    def grants_due(self) -> float:
        """When `assign` may grant more without another event."""
        return min(group.schedule.due for group in self.groups.values())

    def outcome(self, outcome: WorkerOutcome, now: float) -> Grant | None:
        """Record the outcome of a lease; None: the outcome is stale."""
        grant = self._leases.get(outcome.lease)
        if grant is None or not self.sequencers[grant.camera].outcome(grant.seq, outcome, now):
            self.stale += 1
            return None
        if employer := self._employer.get(grant.worker):
            employer.predicted(outcome.finished_at - outcome.started_at)
        self._news.add(grant.camera)
        self._expect(now)
        return grant

    def returned(self, worker: int, lease: int, now: float) -> bool:
        """A worker returned a lease, so its slot is free; False: the return is stale."""
        employer = self._employer.get(worker)
        grant = employer.schedule.returned(worker, lease) if employer else None
        if employer is None or grant is None:
            self.stale += 1
            return False
        employer.circuits.returned(grant.camera, lease)
        self._expect(self.sequencers[grant.camera].returned(grant.seq, now))
        self.freed.append(Freed(grant.camera, grant.frame.ring, grant.frame.slot))
        return True

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
        for group in self.groups.values():
            group.tune()
            for camera in group.schedule.cameras:
                self.sequencers[camera].order_wait_s = group.patience_s

    @property
    def idle(self) -> bool:
        """Whether no frame waits, none is leased and every seq has left."""
        return not self._leases and all(each.schedule.idle for each in self.groups.values())
