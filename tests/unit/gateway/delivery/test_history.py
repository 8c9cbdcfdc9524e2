"""What is kept of a camera, for how long, and what those who come late or back are answered."""

from __future__ import annotations

from typing import Any

from gateway_fakes import outcome
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from framefan_gateway.delivery import replay
from framefan_gateway.delivery.accounts import NOTHING, Loss, Missed
from framefan_gateway.delivery.history import LOSS_BYTES, Found, History
from framefan_gateway.delivery.subscription import StreamPosition, Subscription
from framefan_gateway.delivery.wire import Outcome

MUCH = 1 << 30


def result(seq: int, epoch: str = "e0", **changes: Any) -> Outcome:
    return Outcome(outcome(seq, epoch=epoch, **changes))


def lost(first: int, last: int, cause: Any = "lost", epoch: str = "e0") -> Loss:
    return Loss("cam", epoch, first, last, cause)


def kept(*seqs: int, max_s: float = 60.0, max_bytes: int = MUCH, **changes: Any) -> History:
    """One result a second."""
    history = History(max_s, max_bytes)
    for seq in seqs:
        history.add_outcome(result(seq, **changes), float(seq))
    return history


def seqs(found: Found | None) -> list[int]:
    assert found is not None
    return [seq for kept in found.items for seq in span(kept.item)]


def span(item: Outcome | Loss) -> range:
    first, last = (item.seq,) * 2 if isinstance(item, Outcome) else (item.first_seq, item.last_seq)
    return range(first, last + 1)


# ---- bounds -------------------------------------------------------------------------------------


def test_what_is_older_than_its_time_goes_when_something_comes() -> None:
    history = kept(*range(100), max_s=10.0)
    assert seqs(history.after(StreamPosition("e0", -1))) == list(range(89, 100))
    history.add_loss(lost(100, 100), 108.5)
    assert seqs(history.after(StreamPosition("e0", 98))) == [99, 100]


def test_what_is_more_than_its_bytes_goes() -> None:
    history = kept(*range(100), max_bytes=20_000, kind="value", payload="x" * 1000)
    assert 5 <= len(history) <= 10
    assert history.bytes <= 20_000
    assert seqs(history.after(StreamPosition("e0", 98))) == [99]


def test_the_newest_result_stays_however_old_or_large_it_is() -> None:
    history = kept(0, max_s=10.0, max_bytes=100)
    assert history.bytes > 100
    assert seqs(history.after(StreamPosition("e0", -1))) == [0]
    history = kept(0, max_s=10.0)
    for n in range(1, 5):
        history.add_loss(lost(n, n, ("lost", "bus")[n % 2]), n * 100.0)
    assert [kept for kept in history.current() if isinstance(kept.item, Outcome)]
    history.add_outcome(result(5), 500.0)
    assert seqs(history.after(StreamPosition("e0", -1))) == [4, 5] or len(history) == 1


def test_a_run_of_losses_takes_the_room_of_one() -> None:
    history = kept(0)
    before = history.bytes
    for seq in range(1, 10_000):
        history.add_loss(lost(seq, seq), 1.0)
    assert len(history) == 2
    assert history.bytes == before + LOSS_BYTES
    history.add_loss(lost(10_000, 10_000, "bus"), 1.0)
    assert len(history) == 3
    assert seqs(history.after(StreamPosition("e0", 0))) == list(range(1, 10_001))


def test_a_run_of_losses_lasts_as_long_as_its_end() -> None:
    """And what came before it no longer, though nothing else comes."""
    history = kept(0, 1, max_s=10.0)
    for seq in range(2, 50):
        history.add_loss(lost(seq, seq), float(seq))
    assert len(history) == 2  # the result that greets newcomers, and the run
    history.add_outcome(result(50), 50.0)
    found = history.after(StreamPosition("e0", 1))
    assert found is not None
    assert (found.recovered, seqs(found)) == (True, list(range(2, 51)))


def test_losses_of_two_epochs_are_never_one_run() -> None:
    history = kept(0)
    history.add_loss(lost(1, 1), 1.0)
    history.forget()
    history.add_loss(lost(0, 3, epoch="e1"), 1.0)
    assert [kept.item.epoch for kept in history.after(StreamPosition("e0", 0)).items] == [
        "e0",
        "e1",
    ]  # type: ignore[union-attr]


def test_a_result_is_made_small_when_the_next_one_comes() -> None:
    history = History(60.0, MUCH)
    first = result(0, kind="value", payload="x" * 10_000)
    history.add_outcome(first, 0.0)
    whole = history.bytes
    assert whole > 100_000
    history.add_loss(lost(1, 1), 0.0)
    history.add_outcome(result(2), 0.0)
    assert history.bytes < whole / 5
    assert first.body("json", NOTHING, 1.0)


def test_what_looks_back_leaves_nothing_behind() -> None:
    """Else each replay with a filter of its own would add to what is kept."""
    history = kept(*range(50), payload=[SEEN] * 20)
    sizes = []
    for n in range(1, 9):
        subscription = Subscription(nonempty=True, min_confidence=n / 10, format="msgpack")
        steps = replay.last(history.current(), 40, subscription)
        due = [step for step in steps if isinstance(step, replay.Due)]
        assert len(due) == 40
        for item, missed in due:
            for more in (missed, Missed(history=n)):
                item.body("json", more, 100.0, subscription.detection_filter)
                item.body("json", NOTHING, 100.0)
        sizes.append(sum(item.size for item, _ in due[:-1]))  # the newest is live
    assert sizes == [sizes[0]] * len(sizes)


SEEN = {"label": "person", "confidence": 0.9, "box": (0.0, 0.0, 1.0, 1.0)}


# ---- coming back --------------------------------------------------------------------------------


def test_exactly_up_to_date_and_ahead() -> None:
    history = kept(5, 6, 7)
    assert history.after(StreamPosition("e0", 7)) == Found(True, "e0", (), 0)
    assert history.after(StreamPosition("e0", 8)) is None
    assert History(60.0, MUCH).after(StreamPosition("e0", 0)) is None


def test_a_hole_before_what_is_kept_is_not_recovered_and_counted() -> None:
    history = kept(5, 6, 7)
    found = history.after(StreamPosition("e0", 1))
    assert found is not None
    assert (found.recovered, found.epoch, found.gone) == (False, "e0", 3)
    assert seqs(found) == [5, 6, 7]
    found = history.after(StreamPosition("e0", 4))
    assert found is not None
    assert (found.recovered, found.gone) == (True, 0)


def test_within_a_run_of_losses_only_the_rest_of_it_is_news() -> None:
    history = kept(0)
    history.add_loss(lost(1, 9), 1.0)
    for since, first in ((0, 1), (4, 5), (8, 9)):
        found = history.after(StreamPosition("e0", since))
        assert found is not None
        assert found.recovered
        assert [kept.item for kept in found.items] == [lost(first, 9)]
    assert history.after(StreamPosition("e0", 9)) == Found(True, "e0", (), 0)


def test_another_epoch_is_not_recovered() -> None:
    history = kept(0, 1, 2)
    history.forget()
    history.add_outcome(result(0, "e1"), 3.0)
    found = history.after(StreamPosition("e0", 1))
    assert found is not None
    assert (found.recovered, found.epoch, found.gone) == (False, "e1", 0)
    assert [(kept.item.epoch, *span(kept.item)) for kept in found.items] == [("e0", 2), ("e1", 0)]
    found = history.after(StreamPosition("never", 1))
    assert found is not None
    assert (found.recovered, found.epoch, found.gone) == (False, "e1", 0)
    assert [(kept.item.epoch, *span(kept.item)) for kept in found.items] == [("e1", 0)]


def test_before_the_next_epoch_has_records_nothing_comes_after_a_position() -> None:
    """Else it would be told that its own epoch, which has ended, is the present one."""
    history = kept(0, 1, 2)
    history.forget()
    assert history.after(StreamPosition("e0", 2)) is None
    assert history.after(StreamPosition("e0", 7)) is None
    assert history.after(StreamPosition("never", 0)) is None
    assert seqs(history.after(StreamPosition("e0", 1))) == [2]


def kept_of(history: History) -> set[tuple[str, int]]:
    return {(entry.item.epoch, seq) for entry in history._kept for seq in span(entry.item)}


class Camera(RuleBasedStateMachine):
    """Random results, losses, pauses and epochs, beside a list of all there ever was."""

    MOST_S = 5.0
    MOST_BYTES = 12_000

    def __init__(self) -> None:
        super().__init__()
        self.history = History(self.MOST_S, self.MOST_BYTES)
        self.now = self.came = 100.0
        self.epoch = 0
        self.next_seq = 0
        self.said = False
        self.all: list[tuple[float, str, int, str]] = []
        """When, epoch, seq, and `result` or the cause of its loss."""

    def add(self, kind: str, count: int = 1) -> None:
        for _ in range(count):
            self.all.append((self.now, self.name, self.next_seq, kind))
            self.next_seq += 1
        self.came, self.said = self.now, True

    @property
    def name(self) -> str:
        return f"e{self.epoch}"

    @rule(size=st.sampled_from([1, 1, 100, 600]))
    def one(self, size: int) -> None:
        item = result(self.next_seq, self.name, kind="value", payload="x" * size)
        self.history.add_outcome(item, self.now)
        self.add("result")

    @rule(count=st.integers(1, 5), cause=st.sampled_from(["lost", "bus"]))
    def lose(self, count: int, cause: Any) -> None:
        last = self.next_seq + count - 1
        self.history.add_loss(lost(self.next_seq, last, cause, self.name), self.now)
        self.add(cause, count)

    @rule(seconds=st.sampled_from([0.1, 1.0, 4.0, 20.0]))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def new_epoch(self) -> None:
        self.history.forget()
        self.epoch += 1
        self.next_seq, self.said = 0, False

    @invariant()
    def it_is_bounded(self) -> None:
        entries = list(self.history._kept)
        assert self.history.bytes == sum(entry.size for entry in entries)
        assert self.history.bytes <= self.MOST_BYTES or len(entries) == 1
        results = [entry for entry in entries if isinstance(entry.item, Outcome)]
        for entry in entries[: -1 if not results else entries.index(results[-1])]:
            assert entry.at >= self.came - self.MOST_S

    @invariant()
    def the_newest_are_all_kept(self) -> None:
        """No less than the bounds allow: the last two results are small enough."""
        fresh = [at for at in self.all if at[1] == self.name and at[0] >= self.came - self.MOST_S]
        if self.said and len(fresh) <= 2:
            answer = self.history.after(StreamPosition(self.name, fresh[0][2] - 1))
            assert answer is not None
            assert answer.recovered
            assert len(seqs(answer)) == len(fresh)

    @invariant()
    def who_comes_back_is_told_all_that_came_after(self) -> None:
        ends = {at[1]: at[2] + 3 for at in self.all}  # by epoch, further than any had come
        for epoch, since in [*{at[1:3] for at in self.all[-20:]}, *ends.items()]:
            self.come_back(epoch, since)

    def come_back(self, epoch: str, since: int) -> None:
        answer = self.history.after(StreamPosition(epoch, since))
        later = [at for at in self.all if at[1] == epoch and at[2] > since]
        newer = [at for at in self.all if int(at[1][1:]) > int(epoch[1:])]
        if answer is None:
            assert not kept_of(self.history) & {at[1:3] for at in later}
            assert epoch == self.name or not self.said
            return
        items = [kept.item for kept in answer.items]
        told = [
            (item.epoch, seq, "result" if isinstance(item, Outcome) else item.cause)
            for item in items
            for seq in span(item)
        ]
        there = [at[1:] for at in (*later, *newer)]
        assert told == there[len(there) - len(told) :], "in order, all, to the newest"
        whole = epoch == self.name and len(told) == len(there)
        assert answer.recovered == (whole and self.said)
        if any(item.epoch == epoch for item in items):
            assert answer.gone == len(there) - len(told)


Camera.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestCamera = Camera.TestCase
