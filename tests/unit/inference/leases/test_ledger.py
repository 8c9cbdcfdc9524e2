"""The ledger against random lives of frames, and against itself with each guard taken off."""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from ledger_machine import LedgerMachine
from ledger_mutants import MUTANTS
from ledger_world import ONE_GROUP, outcome_of

from framefan.settings.run import CameraSettings
from framefan.settings.secret import SourceText
from framefan_inference.leases.camera_queue import CIRCUIT, CameraQueue, Frame, Freed
from framefan_inference.leases.group import GroupRules
from framefan_inference.leases.ledger import Account, Ledger
from framefan_inference.leases.sequencer import LATE, WORKER_DIED, Sequencer

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
HUNT = settings(
    RUN,
    max_examples=600,
    phases=[Phase.generate],
    derandomize=True,
    report_multiple_bugs=False,  # one is enough: it looks for no other
)


def test_the_ledger_holds_in_any_life() -> None:
    run_state_machine_as_test(LedgerMachine, settings=RUN)  # type: ignore[no-untyped-call]


# ---- the machine can fail: each guard off, and it says so ---------------------------------------


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
    ledger = Ledger(rows, ONE_GROUP, first_lease=7000)
    for worker in range(1, workers + 1):
        ledger.worker_up(worker)
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
    assert ledger.returned(first.worker, first.lease, 1.7)
    assert ledger.take_freed()[-1] == Freed("cam0", 1, 0)


def test_a_lent_frame_does_not_come_back_into_an_open_circuit() -> None:
    row = CameraSettings(name="cam0", source=SourceText("demo"), mode="every")
    ledger, more = Ledger([row], {"": GroupRules(0.5, circuit=(1, 60.0, 5.0))}), frames()
    ledger.worker_up(1)
    ledger.ready("cam0", next(more))
    ledger.assign()
    ledger.ready("cam0", next(more))
    assert ledger.borrow()
    ledger.worker_down(1, WORKER_DIED, 1.0)
    ledger.take_freed()
    ledger.blame({"cam0"}, 1.0)
    assert ledger.take_freed() == []
    ledger.give_back("cam0")
    assert ledger.take_freed() == [Freed("cam0", 1, 1)]
    assert ledger.queue("cam0").superseded_by == {CIRCUIT: 1}


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
    ledger.take_freed()
    ledger.worker_down(grant.worker, WORKER_DIED, 1.1)
    assert ledger.take_freed() == []
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
    ledger.group("").schedule.stateful = True
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
    for _ in range(10):
        ledger.group("").predicted(2.0)
    ledger.tune()
    account = Account(CameraQueue("live"), Sequencer("live", 0.5))
    ledger.add("new", "live")
    ledger.add("back", "every", account)
    assert {each.order_wait_s for each in ledger.sequencers.values()} == {4.0}
    assert ledger.queue("back").mode == account.sequencer.mode == "every"


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
