"""The ledger with one guard taken off at a time: the machine has to say so for each of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from framefan_inference.leases.batching import Batching
from framefan_inference.leases.camera_queue import CameraQueue, Frame, Freed
from framefan_inference.leases.circuit import CircuitBreaker
from framefan_inference.leases.ledger import Ledger
from framefan_inference.leases.schedule import Schedule
from framefan_inference.leases.sequencer import Entry, Sequencer

if TYPE_CHECKING:
    import pytest


def outcome_settles_again(patch: pytest.MonkeyPatch) -> None:
    def outcome(self: Sequencer, seq: int, outcome: Any, now: float) -> bool:
        entry = self._open.get(seq)
        if entry is None:
            return False
        entry.outcome, entry.settled_at = outcome, now
        return True

    patch.setattr(Sequencer, "outcome", outcome)


def slot_freed_before_return(patch: pytest.MonkeyPatch) -> None:
    original = Schedule.ready

    def ready(self: Schedule, camera: str, frame: Frame, now: float) -> list[Freed]:
        mine = [grant.frame for grant in self._grants.values() if grant.camera == camera]
        freed = original(self, camera, frame, now)
        return freed + [Freed(camera, each.ring, each.slot) for each in mine]

    patch.setattr(Schedule, "ready", ready)


def slot_of_the_dead_lost(patch: pytest.MonkeyPatch) -> None:
    original = Schedule.worker_down
    patch.setattr(Schedule, "worker_down", lambda self, worker: original(self, worker)[1:])


def rest_of_a_dead_call_lost(patch: pytest.MonkeyPatch) -> None:
    original = Schedule.worker_down
    patch.setattr(Schedule, "worker_down", lambda self, worker: original(self, worker)[:1])


def idle_before_the_whole_call_is_back(patch: pytest.MonkeyPatch) -> None:
    original = Schedule._settle

    def _settle(self: Schedule, grant: Any) -> None:
        original(self, grant)
        self._out[grant.worker] = 0

    patch.setattr(Schedule, "_settle", _settle)


def calls_of_one_more(patch: pytest.MonkeyPatch) -> None:
    original = Schedule.worker_up
    patch.setattr(
        Schedule, "worker_up", lambda self, worker, most=1: original(self, worker, most + 1)
    )


def company_for_those_who_go_alone(patch: pytest.MonkeyPatch) -> None:
    original = Schedule.assign
    patch.setattr(Schedule, "assign", lambda self, now, alone: original(self, now))


def one_camera_fills_the_call(patch: pytest.MonkeyPatch) -> None:
    original = Schedule._company

    def _company(self: Schedule, worker: int, alone: Any) -> Any:
        return dict(list(original(self, worker, alone).items())[:1])

    patch.setattr(Schedule, "_company", _company)


def waits_for_company_for_ever(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Batching, "until", lambda self, since, room, others, now: now + 0.01)


def left_out_but_still_waiting(patch: pytest.MonkeyPatch) -> None:
    original = Ledger.blame

    def blame(self: Ledger, cameras: Any, now: float) -> None:
        patch.setattr(Schedule, "supersede", lambda self, camera, cause: [])
        original(self, cameras, now)

    patch.setattr(Ledger, "blame", blame)


def an_open_circuit_admits(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(CircuitBreaker, "admits", lambda self, camera, now, in_line: True)


def company_though_its_frame_is_lent(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(CameraQueue, "may_go", property(lambda self: bool(self.waiting)))


def superseded_slot_lost(patch: pytest.MonkeyPatch) -> None:
    original = Schedule.ready
    patch.setattr(
        Schedule,
        "ready",
        lambda self, camera, frame, now: original(self, camera, frame, now)[1:],
    )


def return_not_checked(patch: pytest.MonkeyPatch) -> None:
    original = Schedule.returned

    def returned(self: Schedule, worker: int, lease: int) -> Any:
        grant = self._grants.get(lease)
        return original(self, grant.worker if grant else worker, lease)

    patch.setattr(Schedule, "returned", returned)


def every_supersedes(patch: pytest.MonkeyPatch) -> None:
    original = Schedule.ready

    def ready(self: Schedule, camera: str, frame: Frame, now: float) -> list[Freed]:
        self.cameras[camera].mode = "live"
        return original(self, camera, frame, now)

    patch.setattr(Schedule, "ready", ready)


def first_camera_always_first(patch: pytest.MonkeyPatch) -> None:
    def _next(self: Schedule) -> Any:
        for name, queue in self.cameras.items():
            if queue.may_go and (worker := self._worker_for(queue)) is not None:
                return name, queue, worker
        return None

    patch.setattr(Schedule, "_next", _next)


def pins_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Schedule, "_worker_for", lambda self, queue: next(iter(self._idle)))


def moves_in_predict(patch: pytest.MonkeyPatch) -> None:
    def _rebalance(self: Schedule, newcomer: int) -> None:
        for queue in self.cameras.values():
            queue.pinned = newcomer

    patch.setattr(Schedule, "_rebalance", _rebalance)


def an_idle_worker_forgotten(patch: pytest.MonkeyPatch) -> None:
    original = Schedule.returned

    def returned(self: Schedule, worker: int, lease: int) -> Any:
        grant = original(self, worker, lease)
        self._idle.pop(worker, None)
        return grant

    patch.setattr(Schedule, "returned", returned)


def no_patience(patch: pytest.MonkeyPatch) -> None:
    def _overdue(self: Sequencer, now: float) -> int:
        settled = [seq for seq, entry in self._open.items() if entry.settled_at is not None]
        return settled[-1] if settled else -1

    patch.setattr(Sequencer, "_overdue", _overdue)


def endless_patience(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Sequencer, "_overdue", lambda self, now: -1)


def late_in_every(patch: pytest.MonkeyPatch) -> None:
    live = property(lambda self: "live", lambda self, mode: None)
    patch.setattr(Sequencer, "mode", live, raising=False)


def order_ignored(patch: pytest.MonkeyPatch) -> None:
    original = Sequencer.release

    def release(self: Sequencer, now: float) -> list[Entry]:
        out = original(self, now)
        for entry in [e for e in self._open.values() if e.settled_at is not None]:
            del self._open[entry.grant.seq]
            self._count(entry)
            out.append(entry)
        return out

    patch.setattr(Sequencer, "release", release)


def no_silence(patch: pytest.MonkeyPatch) -> None:
    def _expect(self: Sequencer, seq: int, cause: str, due: float) -> None:
        entry = self._open.get(seq)
        if entry is not None and entry.settled_at is None:
            entry.cause, entry.due = cause, 0.0

    patch.setattr(Sequencer, "_expect", _expect)


def death_never_settles(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Sequencer, "worker_died", lambda self, seq, cause, now: None)


def return_never_settles(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Sequencer, "returned", lambda self, seq, now: None)


def removed_slot_lost(patch: pytest.MonkeyPatch) -> None:
    original = Schedule.remove
    patch.setattr(Schedule, "remove", lambda self, camera: original(self, camera)[1:])


def removed_frames_still_wait(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Schedule, "remove", lambda self, camera: [])


def parked_in_predict(patch: pytest.MonkeyPatch) -> None:
    def is_settled(self: Ledger, camera: str) -> bool:
        return not self.queue(camera).waiting

    patch.setattr(Ledger, "is_settled", is_settled)


def a_return_begins_anew(patch: pytest.MonkeyPatch) -> None:
    original = Ledger.add
    patch.setattr(
        Ledger,
        "add",
        lambda self, camera, mode, account=None, group="": original(
            self, camera, mode, None, group
        ),
    )


def mode_of_the_schedule_only(patch: pytest.MonkeyPatch) -> None:
    def set_mode(self: Ledger, camera: str, mode: Any) -> None:
        self.queue(camera).mode = mode

    patch.setattr(Ledger, "set_mode", set_mode)


MUTANTS = [
    outcome_settles_again,
    slot_freed_before_return,
    slot_of_the_dead_lost,
    rest_of_a_dead_call_lost,
    idle_before_the_whole_call_is_back,
    calls_of_one_more,
    company_for_those_who_go_alone,
    one_camera_fills_the_call,
    waits_for_company_for_ever,
    left_out_but_still_waiting,
    an_open_circuit_admits,
    company_though_its_frame_is_lent,
    superseded_slot_lost,
    return_not_checked,
    every_supersedes,
    first_camera_always_first,
    pins_ignored,
    moves_in_predict,
    an_idle_worker_forgotten,
    no_patience,
    endless_patience,
    late_in_every,
    order_ignored,
    no_silence,
    death_never_settles,
    return_never_settles,
    removed_slot_lost,
    removed_frames_still_wait,
    parked_in_predict,
    a_return_begins_anew,
    mode_of_the_schedule_only,
]
