"""The ledger against random lives of frames, and against itself with each guard taken off."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from ledger_machine import LedgerMachine
from ledger_world import outcome_of

from framefan.secret import SourceText
from framefan.settings import CameraSettings
from framefan_inference.circuit import Circuits
from framefan_inference.ledger import Account, Ledger
from framefan_inference.schedule import CameraQueue, Frame, Freed, Schedule
from framefan_inference.sequencer import LATE, WORKER_DIED, Entry, Sequencer
from framefan_inference.window import Window

if TYPE_CHECKING:
    from collections.abc import Callable

RUN = settings(
    max_examples=120,
    stateful_step_count=60,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],  # explaining a failure would outlast the time allowed
)
HUNT = settings(RUN, max_examples=600, phases=[Phase.generate], derandomize=True)


def test_the_ledger_holds_in_any_life() -> None:
    run_state_machine_as_test(LedgerMachine, settings=RUN)  # type: ignore[no-untyped-call]


# ---- the machine can fail: each guard off, and it says so ---------------------------------------


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
    patch.setattr(Window, "until", lambda self, since, room, others, now: now + 0.01)


def left_out_but_still_waiting(patch: pytest.MonkeyPatch) -> None:
    original = Ledger.blame

    def blame(self: Ledger, cameras: Any, now: float) -> list[Freed]:
        patch.setattr(Schedule, "supersede", lambda self, camera, cause: [])
        return original(self, cameras, now)

    patch.setattr(Ledger, "blame", blame)


def an_open_circuit_admits(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Circuits, "admits", lambda self, camera, now, in_line: True)


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
            if queue.lent is not None and queue.mode == "every":
                continue
            if queue.waiting and (worker := self._worker_for(queue)) is not None:
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
    original = Sequencer.__init__
    patch.setattr(Sequencer, "__init__", lambda self, mode, wait: original(self, "live", wait))


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
        return not self.schedule.cameras[camera].waiting

    patch.setattr(Ledger, "is_settled", is_settled)


def a_return_begins_anew(patch: pytest.MonkeyPatch) -> None:
    original = Ledger.add
    patch.setattr(
        Ledger, "add", lambda self, camera, mode, account=None: original(self, camera, mode)
    )


def mode_of_the_schedule_only(patch: pytest.MonkeyPatch) -> None:
    def set_mode(self: Ledger, camera: str, mode: Any) -> None:
        self.schedule.cameras[camera].mode = mode

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


@pytest.mark.parametrize("mutate", MUTANTS, ids=lambda mutate: mutate.__name__)
def test_without_the_guard_the_machine_says_so(
    mutate: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    mutate(monkeypatch)
    with pytest.raises(AssertionError):
        run_state_machine_as_test(LedgerMachine, settings=HUNT)  # type: ignore[no-untyped-call]


# ---- what the machine leaves open ---------------------------------------------------------------


def ledger_with(*modes: Any, workers: int = 2) -> Ledger:
    rows = [
        CameraSettings(name=f"cam{n}", source=SourceText("demo"), mode=mode)
        for n, mode in enumerate(modes)
    ]
    ledger = Ledger(rows, 0.5, first_lease=7000)
    for worker in range(1, workers + 1):
        ledger.schedule.worker_up(worker)
    return ledger


def frames() -> Any:
    return (Frame(1, n, n, 0.0, 0.0, 8, 8) for n in count())


def test_leases_begin_where_they_are_told_and_never_repeat() -> None:
    ledger, more = ledger_with("live"), frames()
    leases = []
    for _ in range(5):
        ledger.ready("cam0", next(more))
        (grant,) = ledger.assign()
        leases.append(grant.lease)
        ledger.returned(grant.worker, grant.lease, 0.0)
    assert leases == [7000, 7001, 7002, 7003, 7004]


def test_patience_is_twice_the_recent_p95_when_that_is_longer() -> None:
    ledger, more = ledger_with("live", "live"), frames()
    ledger.tune()
    assert [each.order_wait_s for each in ledger.sequencers.values()] == [0.5, 0.5]
    for seconds in [0.1] * 90 + [2.0] * 10:
        ledger.ready("cam0", next(more))
        (grant,) = ledger.assign()
        outcome = outcome_of(grant.lease, "value", 100.0)
        ledger.outcome(
            type(outcome)(grant.lease, "value", 100.0 - seconds, 100.0, outcome.payload), 100.0
        )
        ledger.returned(grant.worker, grant.lease, 100.0)
        ledger.release(100.0)
    ledger.tune()
    assert [each.order_wait_s for each in ledger.sequencers.values()] == [4.0, 4.0]


def test_one_camera_waits_for_nobody_elses_order() -> None:
    ledger, more = ledger_with("live", "live"), frames()
    ledger.ready("cam0", next(more))
    ledger.ready("cam1", next(more))
    _, second = ledger.assign()
    ledger.outcome(outcome_of(second.lease, "value", 1.0), 1.0)
    assert [entry.grant.camera for entry in ledger.release(1.0)] == [second.camera]


def test_an_outcome_after_its_seq_has_left_is_stale() -> None:
    ledger, more = ledger_with("live"), frames()
    for _ in range(2):
        ledger.ready("cam0", next(more))
        ledger.assign()
    first, second = ledger._leases.values()
    ledger.outcome(outcome_of(second.lease, "value", 1.0), 1.0)
    assert ledger.release(1.2) == []
    assert ledger.next_due() == 1.5
    assert [entry.cause for entry in ledger.release(1.5)] == [LATE, ""]
    assert ledger.outcome(outcome_of(first.lease, "value", 1.6), 1.6) is None
    assert ledger.stale == 1
    assert ledger.returned(first.worker, first.lease, 1.7) == Freed("cam0", 1, 0)


def test_idle_means_that_nothing_is_to_come() -> None:
    ledger, more = ledger_with("live"), frames()
    assert ledger.idle
    ledger.ready("cam0", next(more))
    assert not ledger.idle
    (grant,) = ledger.assign()
    assert not ledger.idle
    ledger.worker_down(grant.worker, WORKER_DIED, 1.0)
    assert not ledger.idle
    ledger.release(1.06)
    assert ledger.idle


def test_a_death_after_the_return_settles_what_never_left_the_worker() -> None:
    ledger, more = ledger_with("live"), frames()
    ledger.ready("cam0", next(more))
    (grant,) = ledger.assign()
    ledger.returned(grant.worker, grant.lease, 1.0)
    assert ledger.worker_down(grant.worker, WORKER_DIED, 1.1) == []
    assert ledger.release(1.1) == []
    assert [entry.cause for entry in ledger.release(1.16)] == [WORKER_DIED]
    assert ledger.idle


def test_a_removed_camera_is_settled_when_its_slot_is_back_too() -> None:
    ledger, more = ledger_with("live"), frames()
    ledger.ready("cam0", next(more))
    (grant,) = ledger.assign()
    ledger.outcome(outcome_of(grant.lease, "value", 1.0), 1.0)
    ledger.remove("cam0")
    assert not ledger.is_settled("cam0"), "its seq has not left"
    ledger.release(1.0)
    assert not ledger.is_settled("cam0"), "its worker still reads it"
    ledger.returned(grant.worker, grant.lease, 1.1)
    assert ledger.is_settled("cam0")


def test_a_stateful_camera_that_comes_back_in_predict_stays_in_its_worker() -> None:
    ledger, more = ledger_with("every"), frames()
    ledger.schedule.stateful = True
    ledger.ready("cam0", next(more))
    (grant,) = ledger.assign()
    ledger.remove("cam0")
    ledger.set_mode("cam0", "every")
    ledger.ready("cam0", next(more))
    assert ledger.assign() == [], "the other worker is idle, and not its own"
    ledger.returned(grant.worker, grant.lease, 1.0)
    assert [each.worker for each in ledger.assign()] == [grant.worker]


def test_a_camera_added_later_has_the_patience_of_the_others() -> None:
    ledger = ledger_with("live")
    ledger._predict_s.extend([2.0] * 10)
    ledger.tune()
    account = Account(CameraQueue("live"), Sequencer("live", 0.5))
    ledger.add("new", "live")
    ledger.add("back", "every", account)
    assert {each.order_wait_s for each in ledger.sequencers.values()} == {4.0}
    assert ledger.schedule.cameras["back"].mode == account.sequencer.mode == "every"


def test_what_waits_behind_another_leaves_once_the_mode_is_live() -> None:
    ledger, more = ledger_with("every"), frames()
    ledger.ready("cam0", next(more))
    ledger.ready("cam0", next(more))
    first, second = ledger.assign()
    ledger.outcome(outcome_of(second.lease, "value", 1.0), 1.0)
    assert ledger.release(9.0) == []
    ledger.set_mode("cam0", "live")
    assert ledger.next_due() == 1.5
    assert [entry.cause for entry in ledger.release(9.0)] == [LATE, ""]
    assert ledger.returned(first.worker, first.lease, 9.0)
