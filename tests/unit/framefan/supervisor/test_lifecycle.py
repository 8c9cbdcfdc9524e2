"""The watch over one child, with time passed in."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framefan.settings.run import Limits
from framefan.supervisor.lifecycle import ChildLifecycle, RepeatedDeaths, State

LIMITS = Limits(restarts=3, restarts_within_s=60.0)


def watch() -> ChildLifecycle:
    return ChildLifecycle("capture", "front", 15.0, LIMITS)


def test_it_is_due_at_once_and_starts() -> None:
    post = watch()
    assert post.due(0.0)
    post.started(1.0, 77)
    assert not post.due(1e9)
    assert (post.state, post.pid, post.title) == (State.STARTING, 77, "capture front")


def test_silence_counts_from_the_start_and_from_each_progress() -> None:
    post = watch()
    post.started(0.0, 1)
    assert not post.overdue(15.0)
    assert post.overdue(15.1)
    assert post.progressed(15.2) is True
    assert post.progressed(16.0) is False
    assert post.state is State.RUNNING
    assert not post.overdue(31.0)
    assert post.overdue(31.1)
    assert post.next_event() == 31.0


def test_time_we_stood_still_is_forgiven() -> None:
    post = watch()
    post.started(0.0, 1)
    post.forgive(100.0)
    assert not post.overdue(115.0)
    assert post.overdue(115.1)


def test_death_waits_then_it_is_due_then_failed() -> None:
    post = watch()
    post.started(0.0, 1)
    wait = post.died(10.0)
    assert (post.state, post.pid) == (State.BACKOFF, 0)
    assert not post.due(10.0 + wait - 0.01)
    assert post.due(10.0 + wait)
    assert post.next_event() == 10.0 + wait
    post.died(11.0)
    assert post.died(12.0) == 60.0
    assert post.state is State.FAILED
    assert not post.due(71.0)
    assert post.due(72.0)
    assert post.facts(71.0).restarts == 3
    assert post.facts(71.0).state == "failed"


def test_who_waits_says_why_and_how_long() -> None:
    post = watch()
    assert (post.facts(0.0).reason, post.facts(0.0).next_start_s) == ("", None)
    post.started(0.0, 1)
    wait = post.died(10.0, "no_progress")
    facts = post.facts(10.0)
    assert (facts.state, facts.reason) == ("backoff", "no_progress")
    assert facts.next_start_s == pytest.approx(wait)
    assert post.facts(1e9).next_start_s == 0.0
    post.started(11.0, 2)
    assert (post.facts(11.0).reason, post.facts(11.0).next_start_s) == ("", None)


def test_hopeless_is_failed_at_once() -> None:
    post = watch()
    post.started(0.0, 1)
    assert post.died(1.0, "decoder_died", "no video") == LIMITS.restarts_within_s
    assert post.state is State.FAILED
    facts = post.facts(2.0)
    assert (facts.reason, facts.message) == ("unplayable", "no video")
    post.started(61.0, 2)
    assert (post.facts(62.0).reason, post.facts(62.0).message) == ("", "")
    post.died(63.0, "decoder_died")
    assert (post.facts(64.0).reason, post.facts(64.0).message) == ("decoder_died", "")


def test_renewed_it_is_due_and_no_death_counts_any_more() -> None:
    post = watch()
    for second in range(2):
        post.started(second, 1)
        post.died(second, "decoder_died")
    post.stop()
    post.renew(5.0, 7.0)
    assert post.due(5.0)
    assert (post.no_progress_s, post.restarts, post.facts(5.0).reason) == (7.0, 2, "")
    post.started(5.0, 2)
    assert post.died(6.0) <= LIMITS.restart_first_s
    assert post.state is State.BACKOFF


@given(st.lists(st.sampled_from(["started", "progressed", "died", "forgive"]), max_size=20))
def test_a_stopping_child_is_neither_judged_nor_started(events: list[str]) -> None:
    post = watch()
    now = 0.0
    for event in events:
        now += 1.0
        if event == "died":
            post.died(now)
        elif event == "forgive":
            post.forgive(1.0)
        elif event == "started":
            post.started(now, 1)
        elif post.alive:
            post.progressed(now)
    post.stop()
    assert not post.due(now + 1e6)
    assert not post.overdue(now + 1e6)
    assert not post.alive
    assert post.next_event() == float("inf")


def test_the_first_of_repeated_deaths_is_logged_and_the_others_are_summed_up() -> None:
    deaths = RepeatedDeaths()
    told = {at: untold for at in range(0, 7201, 10) if (untold := deaths.told(at)) is not None}
    assert list(told) == [0, 300, 900, 2100, 4500]
    assert list(told.values()) == [0, 29, 59, 119, 239]
    assert deaths.told(20_000) is not None, "after an hour without one it begins anew"
    assert deaths.told(20_299) is None
