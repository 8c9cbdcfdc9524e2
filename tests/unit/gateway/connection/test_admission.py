"""Who is let in, and when, under random events."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from framefan_gateway.connection.admission import MOST, SILENT_S, Admission

CAP = 4
SOON = 0.3


def test_newcomers_that_ask_are_never_dropped_however_many_come_at_once() -> None:
    rule_ = Admission[int](CAP)
    for number in range(MOST):
        assert rule_.accepts(1)
        rule_.add_silent(number, 0.0)
        assert rule_.find_surplus(SILENT_S) is None, "each has its second"
    assert not rule_.accepts(1), "above the hard cap the backlog waits"
    rule_.mark_requested(0)
    assert not rule_.accepts(1)
    rule_.remove(0)
    assert rule_.accepts(1)
    assert not rule_.accepts(0), "without a descriptor, too"


def test_accepting_rests_while_half_of_the_cap_wait_for_their_answer() -> None:
    rule_ = Admission[int](CAP)
    for number in range(100):
        rule_.add_silent(number, 0.0)
    assert rule_.accepts(1), "those that say nothing do not hold it"
    rule_.mark_requested(0)
    assert rule_.accepts(1)
    rule_.mark_requested(1)
    assert not rule_.accepts(1)
    rule_.mark_answered(0)
    assert rule_.accepts(1), "whoever reads its answer slowly does not hold it either"
    assert len(rule_) == 100, "but it is still here"


def test_the_oldest_silent_connection_is_dropped_unless_it_just_sent_something() -> None:
    rule_ = Admission[int](CAP)
    for number in range(CAP):
        rule_.add_silent(number, number * 0.1)
    assert rule_.find_surplus(99.0) is None, "below the cap nobody goes"
    rule_.add_silent(CAP, 0.5)
    assert rule_.find_surplus(SILENT_S) is None
    assert rule_.find_surplus(SILENT_S + 0.05) == 0
    rule_.add_silent(0, SILENT_S + 0.05)
    assert rule_.find_surplus(SILENT_S + 0.05) is None, "the next one has been silent for less"
    assert rule_.find_surplus(SILENT_S + 0.15) == 1


class Door(RuleBasedStateMachine):
    """Against a plain list of number is where, since when."""

    def __init__(self) -> None:
        super().__init__()
        self.rule = Admission[int](CAP, most=8)
        self.now = 0.0
        self.place: dict[int, str] = {}
        self.since: dict[int, float] = {}

    def silent(self) -> list[int]:
        return [number for number, place in self.place.items() if place == "silent"]

    @rule(number=st.integers(0, 11), later=st.sampled_from((0.0, SOON, 1.5 * SILENT_S)))
    def come(self, number: int, later: float) -> None:
        self.now += later
        surplus = self.rule.find_surplus(self.now)
        if surplus is not None:
            self.rule.remove(surplus)
            del self.place[surplus]
        if number not in self.place and self.rule.accepts(1):
            self.rule.add_silent(number, self.now)
            self.place[number], self.since[number] = "silent", self.now

    @rule(
        data=st.data(),
        step=st.sampled_from(("mark_requested", "mark_answered", "remove", "add_silent")),
    )
    def move(self, data: st.DataObject, step: str) -> None:
        """In the order that connections have; an answer without a question changes nothing."""
        requested = [number for number, place in self.place.items() if place == "requested"]
        usable = {
            "mark_requested": self.silent(),
            "mark_answered": requested,
            "add_silent": requested,
            "remove": list(self.place),
        }[step]
        if not usable:
            return
        number = data.draw(st.sampled_from(usable))
        if step == "add_silent":
            self.rule.add_silent(number, self.now)
            self.place[number], self.since[number] = "silent", self.now
        else:
            getattr(self.rule, step)(number)
            if step == "remove":
                del self.place[number]
            else:
                self.place[number] = step.removeprefix("mark_")

    @invariant()
    def it_counts_who_is_on_the_way(self) -> None:
        assert len(self.rule) == len(self.place) <= 8

    @invariant()
    def only_the_oldest_silent_one_goes_and_only_above_the_cap(self) -> None:
        silent, surplus = self.silent(), self.rule.find_surplus(self.now)
        old = [number for number in silent if self.now - self.since[number] > SILENT_S]
        if surplus is None:
            assert len(silent) <= CAP or not old
        else:
            assert len(silent) > CAP
            assert self.now - self.since[surplus] == max(self.now - self.since[w] for w in old)

    @invariant()
    def it_accepts_unless_it_is_full_or_answers_wait(self) -> None:
        requested = sum(place == "requested" for place in self.place.values())
        assert self.rule.accepts(1) == (len(self.place) < 8 and requested < CAP // 2)


TestDoor = Door.TestCase
TestDoor.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
