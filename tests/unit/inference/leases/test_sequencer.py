"""Every seq once and in order: one test per rule of the sequencer's text, then random lives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledger_world import outcome_of

from framefan_inference.leases.camera_queue import Frame, Grant
from framefan_inference.leases.sequencer import (
    LATE,
    NO_OUTCOME,
    RETURN_S,
    SILENCE_S,
    STOPPED,
    WORKER_DIED,
    Sequencer,
)

if TYPE_CHECKING:
    from framefan.settings.run import Mode

WAIT_S = 0.5


def sequencer(mode: Mode, seqs: int) -> Sequencer:
    it = Sequencer(mode, WAIT_S)
    for seq in range(seqs):
        it.leased(Grant(seq, 1, "a", seq, Frame(1, seq, seq, 0.0, 0.0, 8, 8)))
    return it


def result(it: Sequencer, seq: int, now: float, kind: Any = "value") -> bool:
    return it.outcome(seq, outcome_of(seq, kind, now), now)


def leave(it: Sequencer, now: float) -> list[tuple[int, str]]:
    """What leaves, each with its cause or the kind of its outcome."""
    return [
        (entry.grant.seq, entry.outcome.kind if entry.outcome else entry.cause)
        for entry in it.release(now)
    ]


# ---- 1. what settles a seq -----------------------------------------------------------------------


def test_an_outcome_settles_it() -> None:
    it = sequencer("live", 1)
    assert leave(it, 1.0) == []
    assert result(it, 0, 1.0)
    assert leave(it, 1.0) == [(0, "value")]
    assert it.running == 0


def test_death_settles_it_after_the_silence() -> None:
    it = sequencer("live", 1)
    it.worker_died(0, WORKER_DIED, 1.0)
    assert it.next_due() == 1.0 + SILENCE_S
    assert leave(it, 1.0 + SILENCE_S - 0.001) == []
    assert leave(it, 1.0 + SILENCE_S) == [(0, WORKER_DIED)]


def test_an_outcome_within_the_silence_is_the_one_that_counts() -> None:
    it = sequencer("live", 1)
    it.worker_died(0, WORKER_DIED, 1.0)
    assert result(it, 0, 1.0 + SILENCE_S / 2)
    assert leave(it, 2.0) == [(0, "value")]
    assert it.lost_by == {}


def test_a_return_without_an_outcome_settles_it_after_a_second() -> None:
    it = sequencer("every", 1)
    it.returned(0, 1.0)
    assert leave(it, 1.0 + RETURN_S - 0.001) == []
    assert leave(it, 1.0 + RETURN_S) == [(0, NO_OUTCOME)]


# ---- 2. the order --------------------------------------------------------------------------------


def test_one_that_is_done_waits_for_those_before_it() -> None:
    it = sequencer("live", 3)
    result(it, 2, 1.0)
    result(it, 1, 1.1)
    assert leave(it, 1.1) == []
    result(it, 0, 1.2)
    assert leave(it, 1.2) == [(0, "value"), (1, "value"), (2, "value")]


def test_live_waits_no_longer_than_its_patience() -> None:
    it = sequencer("live", 4)
    result(it, 2, 1.0)
    result(it, 3, 1.4)
    assert it.next_due() == 1.0 + WAIT_S
    assert leave(it, 1.0 + WAIT_S - 0.001) == []
    assert leave(it, 1.0 + WAIT_S) == [(0, LATE), (1, LATE), (2, "value"), (3, "value")]


def test_what_comes_after_the_one_that_waited_may_go_on() -> None:
    it = sequencer("live", 4)
    result(it, 1, 1.0)
    result(it, 3, 1.2)
    assert leave(it, 1.0 + WAIT_S) == [(0, LATE), (1, "value")]
    assert it.running == 2
    result(it, 2, 1.6)
    assert leave(it, 1.6) == [(2, "value"), (3, "value")]


def test_every_waits_as_long_as_the_lease_lives() -> None:
    it = sequencer("every", 2)
    result(it, 1, 1.0)
    assert it.next_due() is None
    assert leave(it, 1000.0) == []
    result(it, 0, 1000.0)
    assert leave(it, 1000.0) == [(0, "value"), (1, "value")]


def test_what_waits_for_nobody_has_no_patience_to_lose() -> None:
    it = sequencer("live", 2)
    assert leave(it, 1000.0) == [], "nobody waits for seq 0, so it is not late"


# ---- 3. stale ------------------------------------------------------------------------------------


def settle_by_outcome(it: Sequencer) -> None:
    result(it, 0, 1.0)


def settle_by_death(it: Sequencer) -> None:
    it.worker_died(0, WORKER_DIED, 0.5)
    it.release(0.9)


def settle_by_patience(it: Sequencer) -> None:
    result(it, 1, 0.1)
    it.release(0.1 + WAIT_S)


@pytest.mark.parametrize("settle", [settle_by_outcome, settle_by_death, settle_by_patience])
def test_a_settled_seq_is_not_settled_again(settle: Any) -> None:
    it = sequencer("live", 2)
    settle(it)
    it.release(1.0)
    assert not result(it, 0, 1.1, "error")
    it.worker_died(0, WORKER_DIED, 1.2)
    it.returned(0, 1.2)
    it.release(9.0)
    assert it.left.total() + it.running == 2
    assert it.left["errors"] == 0


def test_a_death_does_not_undo_an_outcome_that_waits_for_others() -> None:
    it = sequencer("every", 2)
    result(it, 1, 1.0)
    it.worker_died(1, WORKER_DIED, 1.0)
    result(it, 0, 5.0)
    assert leave(it, 5.0) == [(0, "value"), (1, "value")]


def test_a_seq_nobody_leased_is_stale() -> None:
    assert not result(sequencer("live", 1), 7, 1.0)


# ---- the rest ------------------------------------------------------------------------------------


def test_stop_loses_what_is_open_and_keeps_what_is_done() -> None:
    it = sequencer("every", 4)
    result(it, 2, 1.0)
    it.worker_died(1, WORKER_DIED, 1.0)
    it.stop(1.01)
    assert leave(it, 1.01) == [(0, STOPPED), (1, WORKER_DIED), (2, "value"), (3, STOPPED)]


def test_it_counts_what_left_by_kind_and_cause() -> None:
    it = sequencer("live", 4)
    result(it, 0, 1.0, "detections")
    result(it, 1, 1.0, "error")
    result(it, 2, 1.0, "value")
    it.worker_died(3, WORKER_DIED, 1.0)
    leave(it, 2.0)
    assert it.left == {"results": 2, "errors": 1, "lost": 1}
    assert it.lost_by == {WORKER_DIED: 1}


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["lease", "outcome", "return", "die", "release"]),
        st.integers(0, 15),
        st.sampled_from([0.0, 0.02, 0.05, 0.2, 0.5, 1.0]),
    ),
    max_size=80,
)


@given(st.sampled_from(["live", "every"]), EVENTS)
def test_seqs_leave_once_and_in_order_and_none_stays(mode: Mode, events: Any) -> None:
    it = sequencer(mode, 0)
    now, leased, left = 1.0, 0, []
    for kind, seq, seconds in events:
        now += seconds
        if kind == "lease":
            it.leased(Grant(leased, 1, "a", leased, Frame(1, 0, 0, 0.0, 0.0, 8, 8)))
            leased += 1
        elif kind == "outcome":
            result(it, seq, now)
        elif kind == "return":
            it.returned(seq, now)
        elif kind == "die":
            it.worker_died(seq, WORKER_DIED, now)
        else:
            left += leave(it, now)
        assert it.running == leased - len(left)
    it.stop(now)
    left += leave(it, now)
    assert [seq for seq, _ in left] == list(range(leased))
    assert it.left.total() == leased
    assert it.running == 0
    assert it.next_due() is None
