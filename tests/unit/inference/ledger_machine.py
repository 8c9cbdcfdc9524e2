"""Random lives of frames, played against the ledger with a model of everything around it."""

from __future__ import annotations

import math
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule
from ledger_loans import LedgerLoans
from ledger_world import (
    BATCH_WAIT_S,
    CIRCUIT_LIMITS,
    EPS,
    ORDER_WAIT_S,
    Ending,
    PlayedCamera,
    freed_by,
    key_of,
    outcome_of,
)

from framefan.ipc.outcomes import WorkerOutcome
from framefan.settings.run import CameraSettings
from framefan.settings.secret import SourceText
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
from framefan_inference.leases.ledger import Ledger

MODES = st.sampled_from(["live", "live", "every"])
KINDS = st.sampled_from(["detections", "value", "error"])
SECONDS = st.sampled_from([0.51, 0.001, 0.05, 0.3, 1.0])
CAUSES = st.sampled_from([seqs.WORKER_DIED, seqs.PREDICT_TIMEOUT])
PICK = st.integers(0, 10_000)


class LedgerMachine(LedgerLoans):
    @initialize(
        modes=st.sampled_from([3, 2, 4, 1]).flatmap(
            lambda size: st.lists(MODES, min_size=size, max_size=size)
        ),
        workers=st.sampled_from([3, 2, 4, 1]),
        stateful=st.booleans(),
        most=st.sampled_from([1, 3, 2, 8]),
    )
    def begin(self, modes: list[Any], workers: int, stateful: bool, most: int) -> None:
        names = [f"cam{n}" for n in range(len(modes))]
        rows = [
            CameraSettings(name=name, source=SourceText("demo"), mode=mode)
            for name, mode in zip(names, modes, strict=True)
        ]
        rules = GroupRules(ORDER_WAIT_S, BATCH_WAIT_S, CIRCUIT_LIMITS)
        self.ledger = Ledger(rows, {"": rules}, 1000)
        self.ledger.group("").schedule.stateful = stateful
        self.ledger.group("").schedule.window.took(1.0)  # as long as it takes to be waited for
        self.most = most
        self.stateful = stateful
        self.workers = range(1, workers + 1)
        self.cameras = {row.name: PlayedCamera(row.name, row.mode, workers + 3) for row in rows}
        for worker in self.workers:
            self.worker_up(worker)

    # ---- capture ----------------------------------------------------------------------------

    @rule(pick=PICK, frames=st.integers(1, 4), at_once=st.booleans())
    def capture(self, pick: int, frames: int, at_once: bool) -> None:
        """Frames of one camera or of several, leased one by one or not yet."""
        for n in range(frames):
            self.capture_on(self.camera(pick if at_once else pick + n))
            if not at_once:
                self.assign()

    def capture_on(self, camera: PlayedCamera) -> None:
        if not camera.free:
            if camera.mode == "live":
                camera.count["captured"] += 1
                camera.count["no_slot"] += 1
            return  # in `every`, capture waits
        slot = camera.free.pop()
        camera.count["captured"] += 1
        camera.frame += 1
        frame = Frame(camera.ring, slot, camera.frame, self.now, self.now, 8, 8)
        self.ledger.ready(camera.name, frame, self.now)
        freed = self.ledger.take_freed()
        state, _ = self.ledger.circuit(camera.name)
        if freed == [Freed(camera.name, frame.ring, frame.slot)]:
            assert state != "closed", "a frame was refused without a reason"
            camera.count[CIRCUIT] += 1
            camera.freed(frame.ring, frame.slot)
            return
        assert state != "open", "a frame may wait though the circuit is open"
        if not camera.waiting:
            camera.since = self.now
        expected = camera.waiting if camera.mode == "live" else []
        assert freed == [Freed(camera.name, each.ring, each.slot) for each in expected]
        for each in expected:
            camera.freed(each.ring, each.slot)
            camera.waiting = []
            camera.count[NEWER if self.up else NO_WORKER] += 1
        camera.waiting.append(frame)

    @rule(pick=PICK)
    def capture_restarts(self, pick: int) -> None:
        """A new process with a new ring; the frames it had handed over stay in the old one."""
        camera = self.camera(pick)
        camera.restarts()

    # ---- cameras ----------------------------------------------------------------------------

    @rule(which=st.sampled_from(["remove", "add", "change"]), pick=PICK, mode=MODES)
    def reload(self, which: str, pick: int, mode: Any) -> None:
        """One rule for all of it, or there would be few frames between two of them."""
        if which == "remove" and len(self.here) > 1:
            self.remove_camera(self.camera(pick))
        elif which == "add" and len(self.here) < 5:
            self.add_camera(pick, mode)
        elif which == "change":
            camera = self.camera(pick)
            self.ledger.set_mode(camera.name, mode)
            camera.mode = mode

    def remove_camera(self, camera: PlayedCamera) -> None:
        """What waits is superseded and its slots are free; what is leased goes on."""
        self.ledger.remove(camera.name)
        freed = self.ledger.take_freed()
        assert freed == [Freed(camera.name, each.ring, each.slot) for each in camera.waiting]
        camera.count[REMOVED] += len(camera.waiting)
        for each in camera.waiting:
            camera.freed(each.ring, each.slot)
        camera.waiting = []
        camera.overtaken = REMOVED
        camera.is_removed = True
        self.park_settled()

    def add_camera(self, pick: int, mode: Any) -> None:
        """A new one, or one that was removed and may still be leaving."""
        gone = [camera for camera in self.cameras.values() if camera.is_removed]
        if not gone or (pick % 4 == 0 and len(self.cameras) < 8):
            name = f"cam{len(self.cameras)}"
            self.cameras[name] = PlayedCamera(name, mode, len(self.workers) + 3)
            self.ledger.add(name, mode)
            return
        camera = gone[pick % len(gone)]
        if camera.account:
            self.ledger.add(camera.name, mode, camera.account)
        else:
            self.ledger.set_mode(camera.name, mode)
        camera.account, camera.is_removed, camera.mode = None, False, mode
        camera.restarts()

    # ---- grants -----------------------------------------------------------------------------

    def assign(self) -> None:
        idle = self.up - {grant.worker for grant in self.leased.values()}
        alone = self.ledger.group("").circuits.alone(self.now)
        call: list[Grant] = []
        """What the worker of the last grant has been given now."""
        for grant in self.ledger.assign(self.now):
            if not call or grant.worker != call[0].worker:
                assert grant.worker in idle, "a worker has two calls, or is down"
                idle.discard(grant.worker)
                call = []
            self.check_turn(grant, call, alone)
            self.check_home(grant)
            camera = self.cameras[grant.camera]
            assert grant.frame == camera.waiting.pop(0), "out of order, or not the one that waits"
            assert grant.seq == camera.count["leased"], "a seq was skipped or given twice"
            assert grant.lease not in self.leased
            camera.count["leased"] += 1
            assert not camera.stands, "a camera whose frame is lent was passed over it"
            camera.overtaken = camera.overtaken or NEWER
            self.turns += 1
            camera.turn = self.turns
            call.append(grant)
            assert len(call) <= self.most, "more than the predictor takes"
            self.leased[grant.lease] = self.unreported[grant.lease] = grant
            self.all_leases.append(grant)
        self.check_nobody_starves(idle, alone)

    # ---- workers ----------------------------------------------------------------------------

    @precondition(lambda self: len(self.up) < len(self.workers))
    @rule()
    def restart_workers(self) -> None:
        for worker in self.workers:
            if worker not in self.up:
                self.worker_up(worker)

    def worker_up(self, worker: int) -> None:
        self.up.add(worker)
        self.ledger.worker_up(worker, self.most)

    @precondition(lambda self: self.up)
    @rule(
        pick=PICK,
        cause=st.sampled_from([seqs.WORKER_DIED, seqs.PREDICT_TIMEOUT]),
        back=st.booleans(),
    )
    def kill_worker(self, pick: int, cause: str, back: bool) -> None:
        worker = sorted(self.up)[pick % len(self.up)]
        self.bury(worker, cause)
        self.assign()
        if back:
            self.worker_up(worker)

    def bury(self, worker: int, cause: str) -> None:
        """It dies in whatever phase it is: idle, in predict, before or after publishing."""
        self.up.discard(worker)
        had = [grant for grant in self.leased.values() if grant.worker == worker]
        self.ledger.worker_down(worker, cause, self.now)
        freed = self.ledger.take_freed()
        assert freed == [freed_by(grant) for grant in had]
        died = Ending(cause, self.now + seqs.SILENCE_S)
        for key, returner in self.returned_by.items():
            if returner == worker and died.since < self.endings[key].since:
                self.endings[key] = died
        for grant in had:
            self.endings.setdefault(key_of(grant), died)
            self.unreported.pop(grant.lease, None)
            self.take_back(grant)
        self.blame({grant.camera for grant in had})

    def blame(self, cameras: set[str]) -> None:
        """Who alone was in the hands of the dead too often has no frame that waits any more."""
        open_before = {name for name in cameras if self.is_open(name)}
        self.ledger.blame(cameras, self.now)
        freed = self.ledger.take_freed()
        for name in cameras:
            camera = self.cameras[name]
            if not self.is_open(name) or name in open_before:
                continue
            assert len(cameras) == 1, "found guilty in company"
            assert freed == [Freed(name, each.ring, each.slot) for each in camera.waiting]
            camera.count[CIRCUIT] += len(camera.waiting)
            for each in camera.waiting:
                camera.freed(each.ring, each.slot)
            camera.waiting = []
            camera.overtaken = CIRCUIT

    def is_open(self, name: str) -> bool:
        return self.ledger.circuit(name)[0] == "open"

    @precondition(lambda self: self.unreported)
    @rule(pick=PICK, kind=KINDS, copies=st.sampled_from([0, 1, 2]), at_once=st.booleans())
    def publish(self, pick: int, kind: Any, copies: int, at_once: bool) -> None:
        """A worker sends its outcome, which may be lost, take its time, or come twice."""
        lease = list(self.unreported)[pick % len(self.unreported)]
        del self.unreported[lease]
        self.wire += [outcome_of(lease, kind, self.now + n) for n in range(copies)]
        if at_once:
            for outcome in self.wire:
                self.hear(outcome)
            self.wire.clear()

    @precondition(lambda self: self.leased)
    @rule(pick=PICK)
    def return_lease(self, pick: int) -> None:
        lease = list(self.leased)[pick % len(self.leased)]
        self.give_back(self.leased[lease])

    def give_back(self, grant: Grant) -> None:
        assert self.ledger.returned(grant.worker, grant.lease, self.now)
        assert self.ledger.take_freed() == [freed_by(grant)]
        ending = Ending(seqs.NO_OUTCOME, self.now + seqs.RETURN_S)
        self.endings.setdefault(key_of(grant), ending)
        self.returned_by[key_of(grant)] = grant.worker
        self.unreported.pop(grant.lease, None)
        self.take_back(grant)

    def may_end(self, grant: Grant, ending: Ending) -> None:
        """From now on its seq may be lost: the ending that comes first is the one that counts."""
        key = key_of(grant)
        known = self.endings.get(key)
        if known is None or ending.since < known.since:
            self.endings[key] = ending

    def take_back(self, grant: Grant) -> None:
        del self.leased[grant.lease]
        self.cameras[grant.camera].freed(grant.frame.ring, grant.frame.slot)

    # ---- outcomes ---------------------------------------------------------------------------

    @precondition(lambda self: self.wire)
    @rule(pick=PICK)
    def deliver(self, pick: int) -> None:
        """Any of those on their way: they overtake one another, and returns."""
        self.hear(self.wire.pop(pick % len(self.wire)))

    @precondition(lambda self: self.leased)
    @rule(pick=PICK, kind=KINDS, then=SECONDS)
    def predict_well(self, pick: int, kind: Any, then: float) -> None:
        """The usual course: outcome, then return; what it overtook waits for a while."""
        grant = list(self.leased.values())[-1 - pick % len(self.leased)]
        self.answer(grant, kind)
        if pick % 2:  # the whole call
            for each in [each for each in self.leased.values() if each.worker == grant.worker]:
                self.answer(each, kind)
        self.tick(then)

    def answer(self, grant: Grant, kind: Any) -> None:
        if self.unreported.pop(grant.lease, None):
            self.hear(outcome_of(grant.lease, kind, self.now))
        self.give_back(grant)

    @rule(which=st.sampled_from(["bad frame", "forged", "not leased"]), pick=PICK)
    def noise(self, which: str, pick: int) -> None:
        if which == "bad frame":
            self.camera(pick).count.update(captured=1, bad=1)
        elif which == "forged":
            lease = pick if pick < 1000 else 10**6 + pick
            self.hear(outcome_of(lease, "value", self.now))
        elif self.all_leases:
            self.return_what_it_has_not(self.all_leases[pick % len(self.all_leases)], pick % 5 + 1)

    def return_what_it_has_not(self, grant: Grant, worker: int) -> None:
        """A second return, a late one of a worker that was buried, or one of another's lease."""
        if grant.lease in self.leased and grant.worker == worker:
            return
        assert not self.ledger.returned(worker, grant.lease, self.now)
        assert self.ledger.take_freed() == []
        self.stale += 1

    def hear(self, outcome: WorkerOutcome) -> None:
        grant = self.ledger.outcome(outcome, self.now)
        if grant is None:
            self.stale += 1
            return
        assert grant.lease == outcome.lease
        key = key_of(grant)
        assert grant.seq >= self.cameras[grant.camera].left, "accepted for a seq that has left"
        assert key not in self.accepted, "two outcomes for one seq"
        self.accepted[key] = (outcome, self.now)

    # ---- time -------------------------------------------------------------------------------

    @rule(seconds=SECONDS)
    def wait(self, seconds: float) -> None:
        self.assign()
        self.tick(seconds)

    def tick(self, seconds: float) -> None:
        due = self.ledger.next_due()
        self.now += seconds
        entries = self.ledger.release(self.now)
        self.check_leaving(entries)
        self.park_settled()
        if any(entry.outcome is None and entry.settled_at == self.now for entry in entries):
            assert due < math.inf, "lost without a deadline that the loop could wake up for"
            assert due <= self.now + EPS
        for (name, seq), (_, heard_at) in self.accepted.items():
            camera = self.cameras[name]
            if camera.mode == "live" and seq >= camera.left:
                assert self.now - heard_at < ORDER_WAIT_S + EPS, "an outcome waited too long"

    # ---- the end ------------------------------------------------------------------------------

    def teardown(self) -> None:
        if not self.cameras:
            return
        self.give_borrowed_back()
        for worker in sorted(self.up):
            self.bury(worker, seqs.WORKER_DIED)
        if self.turns % 2:  # by stopping, or by nothing more than time
            self.check_leaving_at_stop(self.ledger.stop(self.now))
        else:
            self.tick(seqs.RETURN_S + 0.01)
        for outcome in self.wire:
            self.hear(outcome)
        for name, camera in self.cameras.items():
            assert self.account(camera).sequencer.running == 0, name
            assert camera.left == camera.count["leased"]
        assert self.ledger.idle == (not any(c.waiting for c in self.cameras.values()))
        assert self.ledger.stop(self.now) == []
        self.frames_are_answered_for()
        self.slots_are_in_one_place()
        self.stale_is_counted()
