"""The world around the ledger as the ledger cannot see it, and what must hold in it.

Capture's slots, the workers, the outcomes on their way: each slot of a ring is capture's, waits, or
is leased, and only what the ledger says may move it. After each step the model and the ledger must
agree on every frame, slot and seq.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any, NamedTuple

import msgspec
from hypothesis.stateful import RuleBasedStateMachine, invariant

from framefan.ipc.outcomes import WorkerOutcome
from framefan_inference.leases import sequencer as seqs
from framefan_inference.leases.camera_queue import (
    CIRCUIT,
    NEWER,
    NO_WORKER,
    REMOVED,
    Frame,
    Freed,
    Grant,
)
from framefan_inference.leases.group import GroupRules
from framefan_inference.leases.ledger import Account, Ledger

EPS = 1e-6
ONE_GROUP = {"": GroupRules(0.5)}
"""Of a ledger with one predictor, as most tests have it."""
ORDER_WAIT_S = 0.5
BATCH_WAIT_S = 0.02
CIRCUIT_LIMITS = (2, 1.0, 0.5)


class Ending(NamedTuple):
    """Why a seq may be lost, and from when on."""

    cause: str
    since: float


class PlayedCamera:
    """Capture's side: its slots, and what it has counted."""

    def __init__(self, name: str, mode: str, slots: int) -> None:
        self.name, self.mode, self.slots = name, mode, slots
        self.ring = 0
        self.free = set(range(slots))
        self.waiting: list[Frame] = []
        self.since = 0.0
        """When a frame began to wait while none did."""
        self.lent: Frame | None = None
        self.overtaken = ""
        self.count: Counter[str] = Counter()
        self.frame = 0
        self.left = 0
        """Seqs that have left: the next one to leave has this number."""
        self.turn = 0
        self.account: Account | None = None
        """Its part of the ledger while it is parked."""
        self.is_removed = False

    @property
    def holds(self) -> list[Frame]:
        """What waits, the lent one first."""
        return [*([self.lent] if self.lent else []), *self.waiting]

    @property
    def stands(self) -> bool:
        """Nothing may pass the frame that is lent."""
        return self.lent is not None and self.mode == "every"

    def restarts(self) -> None:
        """A new process with a new ring; what it had handed over stays in the old one."""
        self.ring += 1
        self.free = set(range(self.slots))

    def freed(self, ring: int, slot: int) -> None:
        if ring != self.ring:
            return  # of a retired ring: capture is not told
        assert slot not in self.free, "a slot came back twice"
        self.free.add(slot)


class LedgerWorld(RuleBasedStateMachine):
    """The model and its checks; what happens in it is up to the rules of a subclass."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 100.0
        self.ledger: Ledger
        self.stateful = False
        self.most = 1
        """Frames that each worker takes in a call."""
        self.cameras: dict[str, PlayedCamera] = {}
        self.up: set[int] = set()
        self.leased: dict[int, Grant] = {}
        """By lease, until it is returned or its worker dies."""
        self.all_leases: list[Grant] = []
        self.unreported: dict[int, Grant] = {}
        """Leases whose worker has not sent an outcome yet."""
        self.wire: list[WorkerOutcome] = []
        self.accepted: dict[tuple[str, int], tuple[WorkerOutcome, float]] = {}
        self.endings: dict[tuple[str, int], Ending] = {}
        self.returned_by: dict[tuple[str, int], int] = {}
        self.turns = 0
        self.stale = 0

    @property
    def here(self) -> list[PlayedCamera]:
        """Cameras that were not removed."""
        return [camera for camera in self.cameras.values() if not camera.is_removed]

    def camera(self, pick: int) -> PlayedCamera:
        return self.here[pick % len(self.here)]

    def account(self, camera: PlayedCamera) -> Account:
        if camera.account:
            return camera.account
        name = camera.name
        return Account(self.ledger.queue(name), self.ledger.sequencers[name])

    def park_settled(self) -> None:
        for name, camera in self.cameras.items():
            if camera.is_removed and not camera.account:
                leased = any(grant.camera == name for grant in self.leased.values())
                settled = not leased and not camera.lent and camera.left == camera.count["leased"]
                assert self.ledger.is_settled(name) == settled
                if settled:
                    camera.account = self.ledger.park(name)

    # ---- grants -----------------------------------------------------------------------------

    def check_turn(self, grant: Grant, call: list[Grant], alone: frozenset[str]) -> None:
        """No camera that could have had it had fewer frames in the call, or in flight."""
        together = {each.camera for each in [*call, grant]}
        assert len(call) == 0 or not together & alone, "in company, though it must go alone"
        chosen = self.rank(grant.camera, call)
        for name, camera in self.cameras.items():
            usable = camera.waiting and not camera.stands and self.could_use(name, grant)
            if usable and not (call and name in alone):
                assert chosen <= self.rank(name, call), f"{name} was passed over"

    def rank(self, name: str, call: list[Grant]) -> tuple[int, int, int]:
        in_flight = sum(grant.camera == name for grant in self.leased.values())
        return sum(each.camera == name for each in call), in_flight, self.cameras[name].turn

    def could_use(self, name: str, grant: Grant) -> bool:
        return not self.stateful or self.ledger.queue(name).pinned == grant.worker

    def check_home(self, grant: Grant) -> None:
        if self.stateful:
            at = {each.worker for each in self.leased.values() if each.camera == grant.camera}
            assert at <= {grant.worker}, "a stateful camera is in two workers at once"

    def check_nobody_starves(self, idle: set[int], alone: frozenset[str]) -> None:
        """A frame waits only for a worker, or for company, and then not for long."""
        for name, camera in self.cameras.items():
            if not camera.waiting or camera.stands or self.waits_for_company(camera, alone):
                continue
            if self.stateful:
                home = self.ledger.queue(name).pinned
                assert home not in idle, f"{name} waits though its worker is idle"
                assert home in self.up or not idle, f"{name} has no worker to be in"
            else:
                assert not idle, f"{name} waits though a worker is idle"

    def waits_for_company(self, camera: PlayedCamera, alone: frozenset[str]) -> bool:
        due = self.ledger.grants_due
        others = [each for each in self.here if not each.waiting and each.name not in alone]
        if self.most == 1 or not others or camera.name in alone or not self.now < due < math.inf:
            return False
        assert due <= self.now + BATCH_WAIT_S
        return self.now < camera.since + BATCH_WAIT_S

    # ---- leaving ----------------------------------------------------------------------------

    def check_leaving(self, entries: list[Any]) -> None:
        for index, entry in enumerate(entries):
            grant = entry.grant
            camera = self.cameras[grant.camera]
            assert grant.seq == camera.left, "a seq left out of order, twice or never"
            camera.left += 1
            outcome, heard_at = self.accepted.get(key_of(grant), (None, 0.0))
            assert entry.outcome is outcome, "what left is not what its worker sent first"
            if outcome is not None:
                assert entry.settled_at == heard_at
                camera.count["errors" if outcome.kind == "error" else "results"] += 1
            else:
                camera.count["lost"] += 1
                self.check_loss(entry, entries[index + 1 :])

    def check_loss(self, entry: Any, after: list[Any]) -> None:
        grant, cause = entry.grant, entry.cause
        if cause == seqs.LATE:
            assert self.cameras[grant.camera].mode == "live", "late in `every`"
            assert any(
                each.grant.camera == grant.camera
                and each.cause != seqs.LATE
                and self.now - each.settled_at >= ORDER_WAIT_S - EPS
                for each in after
            ), "late, though nobody has waited for it that long"
            return
        ending = self.endings.get(key_of(grant))
        assert ending is not None, f"lost as {cause} while its worker still has it"
        assert cause == ending.cause
        assert self.now >= ending.since - EPS, f"lost as {cause} too early"

    def check_leaving_at_stop(self, entries: list[Any]) -> None:
        """The same order and counts; what had a deadline need not wait for it."""
        for key, ending in self.endings.items():
            self.endings[key] = ending._replace(since=self.now)
        self.check_leaving(entries)

    # ---- what must hold after every step ------------------------------------------------------

    @invariant()
    def frames_are_answered_for(self) -> None:
        for name, camera in self.cameras.items():
            queue, sequencer = self.account(camera)
            count = camera.count
            superseded = queue.superseded_by.total() + count["no_slot"]
            assert queue.superseded_by == keep(count, NEWER, NO_WORKER, REMOVED, CIRCUIT)
            assert list(queue.waiting) == camera.waiting
            assert queue.lent == camera.lent
            waiting = queue.waits
            assert waiting == len(camera.holds)
            assert count["captured"] == queue.next_seq + superseded + count["bad"] + waiting
            left = sequencer.left
            assert left == keep(count, "results", "errors", "lost")
            assert sequencer.lost_by.total() == left["lost"]
            assert queue.next_seq == left.total() + sequencer.running
            assert not camera.is_removed or not camera.waiting, "a removed camera's frame waits"
            assert not camera.account or sequencer.running == 0, f"{name} was parked too early"

    @invariant()
    def slots_are_in_one_place(self) -> None:
        for name, camera in self.cameras.items():
            ours = [frame.slot for frame in camera.holds if frame.ring == camera.ring]
            leased = [g for g in self.leased.values() if g.camera == name]
            lent = [g.frame.slot for g in leased if g.frame.ring == camera.ring]
            places = sorted([*camera.free, *ours, *lent])
            assert places == list(range(camera.slots)), "a slot is lost, or in two places"
            assert self.account(camera).queue.in_flight == len(leased)
            if camera.account:
                continue
            assert self.ledger.queue(name).slots_out == len(camera.holds) + len(leased)
            for ring in range(camera.ring + 1):
                stands = [*camera.holds, *(g.frame for g in leased)]
                in_use = any(frame.ring == ring for frame in stands)
                assert self.ledger.uses(name, ring) == in_use

    @invariant()
    def a_worker_has_no_more_than_it_takes(self) -> None:
        at_work = Counter(grant.worker for grant in self.leased.values())
        assert not at_work or max(at_work.values()) <= self.most

    @invariant()
    def what_is_open_does_not_wait(self) -> None:
        for name, camera in self.cameras.items():
            if camera.account:
                continue
            state, _ = self.ledger.circuit(name)
            assert not camera.waiting or state != "open"
            assert len(camera.waiting) <= 1 or state != "half_open", "one is tried, not two"

    @invariant()
    def stale_is_counted(self) -> None:
        if self.cameras:
            assert self.ledger.stale == self.stale


def key_of(grant: Grant) -> tuple[str, int]:
    return grant.camera, grant.seq


def freed_by(grant: Grant) -> Freed:
    return Freed(grant.camera, grant.frame.ring, grant.frame.slot)


def outcome_of(lease: int, kind: Any, now: float) -> WorkerOutcome:
    return WorkerOutcome(lease, kind, now - 0.01, now, msgspec.Raw(b"\x90"))


def keep(count: Counter[str], *names: str) -> Counter[str]:
    return Counter({name: count[name] for name in names if count[name]})
