"""When a camera is left out: one test per rule, and what holds for any deaths."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from framefan_inference.leases.circuit import CircuitBreaker


def circuits(deaths: int = 3) -> CircuitBreaker:
    return CircuitBreaker(deaths, within_s=60.0, retry_s=60.0)


def opened(at: float = 100.0) -> CircuitBreaker:
    it = circuits()
    for n in range(3):
        it.died(["bad"], at - 2 + n)
    return it


def states(it: CircuitBreaker) -> list[str]:
    return [change.state for change in it.changes]


def test_three_deaths_within_a_minute_open_it_and_say_why() -> None:
    it = circuits()
    assert it.died(["bad"], 100.0) == it.died(["bad"], 130.0) == []
    assert it.admits("bad", 131.0, in_line=False)
    assert it.died(["bad"], 159.0) == ["bad"]
    (change,) = it.changes
    assert (change.camera, change.state, change.next_try_s) == ("bad", "open", 60.0)
    assert "3 workers died within 60 s" in change.message
    assert it.state("bad") == ("open", change.message)
    assert not it.admits("bad", 218.9, in_line=False)
    assert it.admits("good", 160.0, in_line=False)


def test_three_deaths_over_a_longer_time_do_not() -> None:
    it = circuits()
    for at in (100.0, 130.0, 161.0, 192.0):
        assert it.died(["bad"], at) == []


def test_one_frame_is_tried_and_its_success_closes_it() -> None:
    it = opened()
    assert it.admits("bad", 160.0, in_line=False)
    assert it.state("bad")[0] == "half_open"
    assert not it.admits("bad", 160.1, in_line=True), "a second one would wait behind it"
    assert it.admits("bad", 160.1, in_line=False), "a newer one takes its place"
    it.leased("bad", 7)
    assert not it.admits("bad", 160.2, in_line=False)
    it.returned("bad", 6)
    assert it.state("bad")[0] == "half_open", "that was leased before it opened"
    it.returned("bad", 7)
    assert it.state("bad") == ("closed", "")
    assert states(it) == ["open", "half_open", "closed"]
    assert it.died(["bad"], 161.0) == it.died(["bad"], 162.0) == [], "it begins anew"


def test_its_death_opens_it_again_at_once() -> None:
    it = opened()
    it.admits("bad", 160.0, in_line=False)
    it.leased("bad", 7)
    assert it.died(["bad"], 161.0) == ["bad"]
    assert not it.admits("bad", 220.9, in_line=False)
    assert it.admits("bad", 221.0, in_line=False)


def test_a_death_in_company_convicts_nobody_but_parts_them() -> None:
    it = circuits()
    for n in range(9):
        assert it.died(["a", "b"], 100.0 + n) == []
    assert it.alone(100.0) == it.alone(168.0) == {"a", "b"}
    assert it.alone(168.1) == set()
    assert it.changes == []


def test_an_open_or_tried_camera_goes_alone_however_long_it_takes() -> None:
    it = opened()
    assert it.alone(1000.0) == {"bad"}
    it.admits("bad", 1000.0, in_line=False)
    assert it.alone(1100.0) == {"bad"}


def test_a_death_of_a_frame_from_before_changes_nothing() -> None:
    it = opened()
    assert it.died(["bad"], 101.0) == []
    assert states(it) == ["open"]
    assert it.admits("bad", 160.0, in_line=False)


def test_another_predictor_starts_with_a_clean_slate() -> None:
    it = opened()
    it.died(["good"], 100.0)
    it.forget()
    assert states(it) == ["open", "closed"]
    assert it.alone(100.0) == set()
    assert it.admits("bad", 100.1, in_line=False)


def test_a_camera_that_left_is_forgotten() -> None:
    it = opened()
    it.drop("bad")
    assert it.admits("bad", 100.1, in_line=False)


def test_with_none_allowed_nothing_is_counted() -> None:
    it = circuits(deaths=0)
    assert not it.counts
    for n in range(9):
        assert it.died(["bad"], 100.0 + n) == []
    assert it.alone(100.0) == set()


@given(st.lists(st.tuples(st.floats(0.0, 30.0), st.booleans(), st.booleans()), max_size=80))
def test_while_open_no_frame_goes_in_and_at_most_one_while_half_open(
    steps: list[tuple[float, bool, bool]],
) -> None:
    """Each admitted frame is leased at once, and its worker lives or dies."""
    it, now, deaths = circuits(), 0.0, [-1000.0] * 3
    for seconds, dies, in_company in steps:
        now += seconds
        before = it.state("bad")[0]
        if not it.admits("bad", now, in_line=False):
            assert before != "closed"
            assert now < deaths[-1] + 60
            continue
        it.leased("bad", 1)
        if dies and in_company:
            it.died(["bad", "good"], now)
            if it.state("bad")[0] == "open":
                deaths.append(now)
        elif dies:
            deaths.append(now)
            it.died(["bad"], now)
            assert (it.state("bad")[0] == "open") >= (now - deaths[-3] <= 60.0 and len(deaths) < 7)
        else:
            it.returned("bad", 1)
    assert all(a != b for a, b in pairwise(states(it))), "a change that is none"
