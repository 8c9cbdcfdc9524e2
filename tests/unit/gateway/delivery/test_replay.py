"""What a replay hands out of a random past, against the past itself."""

from __future__ import annotations

from typing import Any

import pytest
from gateway_fakes import outcome
from hypothesis import given
from hypothesis import strategies as st

from framefan.ipc.records import Detection
from framefan_gateway.delivery import replay
from framefan_gateway.delivery.accounts import NOTHING, Loss, Missed
from framefan_gateway.delivery.history import History, Kept, last_seq
from framefan_gateway.delivery.replay import Began, Due
from framefan_gateway.delivery.selection import Selection
from framefan_gateway.delivery.subscription import StreamPosition, Subscription
from framefan_gateway.delivery.wire import Outcome

BOX = (0.0, 0.0, 1.0, 1.0)
CONTRACTS = st.sampled_from([
    Subscription(),
    Subscription(delivery="every"),
    Subscription(nonempty=True, labels=frozenset({"person"})),
    Subscription(max_fps=25.0),
    Subscription(max_fps=25.0, nonempty=True),
])  # fmt: skip
EVENT = st.one_of(
    st.sampled_from(["person", "car", "nothing", "error"]),
    st.tuples(st.sampled_from(["lost", "bus"]), st.integers(1, 4)),
    st.just("epoch"),
)


def past(events: list[Any], max_bytes: int = 1 << 24) -> History:
    history, seq, epoch, time = History(60.0, max_bytes), 0, 0, 0.0
    for event in events:
        time += 0.013
        if event == "epoch":
            history.forget()
            epoch, seq = epoch + 1, 0
        elif isinstance(event, tuple):
            cause, count = event
            history.add_loss(Loss("cam", f"e{epoch}", seq, seq + count - 1, cause), time)
            seq += count
        else:
            seen = [] if event == "nothing" else [Detection(event, 0.9, BOX)]
            kind = {"kind": "error"} if event == "error" else {"payload": seen}
            record = outcome(seq, "cam", epoch=f"e{epoch}", captured_at=time, **kind)
            history.add_outcome(Outcome(record), time)
            seq += 1
    return history


def played(steps: Any) -> tuple[list[Due], Missed, bool | None]:
    """What it hands out, what it leaves to be told later, and whether it says that this is all."""
    due: list[Due] = []
    recovered = None
    while True:
        try:
            step = next(steps)
        except StopIteration as end:
            return due, end.value, recovered
        if isinstance(step, Began):
            assert not due
            recovered = step.recovered
        elif step is not None:
            due.append(step)


def check_holes(due: list[Due], trailing: Missed, since: StreamPosition | None, end: Kept) -> None:
    """Within an epoch what is missed before a result is the hole before it, and at the end too."""
    last = None if since is None else (since.epoch, since.seq)
    for result, missed in due:
        assert min(missed) >= 0
        if last and last[0] == result.epoch:
            assert result.seq == last[1] + 1 + sum(missed)
        last = (result.epoch, result.seq)
    if last and last[0] == end.item.epoch:
        assert last_seq(end.item) == last[1] + sum(trailing)


@given(
    events=st.lists(EVENT, max_size=40), subscription=CONTRACTS, results=st.sampled_from([1, 3, 99])
)
def test_newcomers_get_the_last_that_they_ask_for(
    events: list[Any], subscription: Subscription, results: int
) -> None:
    items = past(events).current()
    due, trailing, recovered = played(replay.last(items, results, subscription))
    assert recovered is None
    passing = [
        kept.item for kept in items
        if isinstance(kept.item, Outcome)
        and not (subscription.nonempty and kept.item.empty(subscription.detection_filter))
    ]  # fmt: skip
    assert len(due) <= results
    if not subscription.max_fps:
        assert [each.outcome for each in due] == passing[-results:]
    elif passing:
        assert due[-1].outcome is passing[-1]
    if due:
        assert due[0].missed == NOTHING
        check_holes(due, trailing, None, items[-1])
    else:
        assert trailing == NOTHING


@given(
    events=st.lists(EVENT, min_size=1, max_size=40),
    subscription=CONTRACTS,
    results=st.sampled_from([0, 1, 3]),
    epoch=st.sampled_from(["e0", "e1", "e2", "never"]),
    seq=st.integers(0, 30),
    max_bytes=st.sampled_from([3000, 1 << 24]),
)
def test_a_reconnecting_client_gets_every_gap(
    events: list[Any],
    subscription: Subscription,
    results: int,
    epoch: str,
    seq: int,
    max_bytes: int,
) -> None:
    history, since = past(events, max_bytes), StreamPosition(epoch, seq)
    found = history.after(since)
    if found is None or not found.items:
        return
    if subscription.delivery == "every":
        due, trailing, recovered = played(replay.following(found, subscription))
        selection = Selection(subscription)
        passing = [kept.item for kept in found.items if isinstance(kept.item, Outcome)]
        assert [each.outcome for each in due] == [
            item for item in passing if selection.refuses(item) is None
        ]
        assert recovered == found.recovered
    else:
        due, trailing, recovered = played(replay.newest(found, since, results, subscription))
        assert len(due) <= results
        if not subscription.max_fps:
            there = [
                kept.item for kept in found.items
                if isinstance(kept.item, Outcome)
                and not (subscription.nonempty and kept.item.empty(subscription.detection_filter))
            ]  # fmt: skip
            assert [each.outcome for each in due] == there[len(there) - len(due) :]
            assert recovered == (found.recovered and len(due) == len(there))
    if found.epoch == since.epoch:
        check_holes(due, trailing, since, found.items[-1])


@pytest.mark.parametrize(("asked", "cut"), [(1000, 0), (1001, 1), (5000, 500)])
def test_results_above_the_limit_of_a_replay_count_as_missed(asked: int, cut: int) -> None:
    items = past(["car"] * 1500).current()
    due, _, _ = played(replay.last(items, asked, Subscription()))
    assert len(due) == replay.MOST_RESULTS
    assert due[0].missed == Missed(history=cut)


def test_a_filter_that_nothing_passes_is_applied_in_slices() -> None:
    items = past(["car"] * 1000).current()
    steps = replay.last(items, 1, Subscription(nonempty=True, labels=frozenset({"person"})))
    assert len(list(steps)) >= 10
