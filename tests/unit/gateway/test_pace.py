"""A client's pace, told from pings and pongs alone."""

from __future__ import annotations

from framefan_gateway.pace import (
    CALM_S,
    GIVE_UP_S,
    MATURE_BYTES,
    PATIENCE_S,
    SLACK_BYTES,
    STEP_BYTES,
    WINDOW_BYTES,
    YOUNG_S,
    Pace,
    number_of,
    ping,
)

MUCH = SLACK_BYTES + 1


NEAR_S = 0.0001


def steady() -> Pace:
    """A pace whose client has answered one ping."""
    pace = Pace(0.0)
    pace.pinged(1, 100, now=0.5)
    assert pace.ponged(1)
    return pace


def falls_behind(pace: Pace, sent: int, now: float, round_trip_s: float = NEAR_S) -> bool:
    return pace.late(sent, now) and pace.falls_behind(round_trip_s, 0, now)


def lagging() -> Pace:
    pace = steady()
    pace.pinged(2, 1000, now=1.0)
    assert falls_behind(pace, 1000 + MUCH, now=1.0 + 2 * PATIENCE_S)
    return pace


def test_a_ping_carries_its_number_there_and_back() -> None:
    data = ping(77)
    assert data[0] & 0x0F == 9
    assert number_of(data[2:]) == 77


def test_other_pongs_are_not_ours() -> None:
    assert number_of(b"") is None
    assert number_of(b"x" * 12) is None
    assert number_of(b"pace1234567") is None


def test_a_ping_is_wanted_only_when_there_is_something_to_learn() -> None:
    pace = Pace(0.0)
    assert not pace.wants_ping(0)
    assert pace.wants_ping(10)
    pace.pinged(1, 10, now=0.5)
    assert not pace.wants_ping(500), "one is on its way"
    assert pace.ponged(1)
    assert not pace.wants_ping(9 + STEP_BYTES), "too little was sent since"
    assert pace.wants_ping(10 + STEP_BYTES)


def test_silence_while_much_was_sent_is_lagging() -> None:
    assert lagging().lagging


def test_silence_alone_is_not() -> None:
    pace = steady()
    pace.pinged(2, 1000, now=1.0)
    assert not falls_behind(pace, 1000 + SLACK_BYTES, now=9.0)
    assert not falls_behind(pace, 1000 + MUCH, now=1.0 + PATIENCE_S / 2)
    assert not pace.lagging


def test_a_distant_client_gets_three_of_its_round_trips() -> None:
    pace = steady()
    pace.pinged(2, 1000, now=1.0)
    assert not falls_behind(pace, 1000 + MUCH, now=1.55, round_trip_s=0.2)
    assert falls_behind(pace, 1000 + MUCH, now=1.65, round_trip_s=0.2)


def test_who_never_answered_is_not_judged() -> None:
    pace = Pace(0.0)
    pace.pinged(1, 100, now=0.5)
    assert not falls_behind(pace, 100 + MUCH, now=60.0)


def test_a_newcomer_may_not_have_more_unread_than_the_window() -> None:
    pace = Pace(0.0)
    assert not pace.exceeds_window(WINDOW_BYTES, 0, now=0.1)
    assert pace.exceeds_window(WINDOW_BYTES + 1, 0, now=0.1)
    assert pace.lagging


def test_a_newcomer_that_reads_on_grows_up() -> None:
    pace = Pace(0.0)
    for number in range(1, 100):
        sent = number * STEP_BYTES
        assert not pace.exceeds_window(sent, 0, now=float(number))
        pace.pinged(number, sent, now=float(number))
        assert pace.ponged(number)
        if not pace.young:
            break
    assert MATURE_BYTES <= sent < MATURE_BYTES + STEP_BYTES


def test_a_newcomer_that_answers_nothing_is_left_alone() -> None:
    pace = Pace(0.0)
    pace.pinged(1, 100, now=0.5)
    assert pace.exceeds_window(WINDOW_BYTES + 1, 0, now=0.6)
    assert not pace.gives_up(now=0.7)
    assert pace.gives_up(now=0.5 + GIVE_UP_S + 0.01)
    assert not pace.lagging
    assert not pace.young


def test_youth_ends_with_time_too() -> None:
    """At one result a second it would last over a minute, and each flush looks at the young."""
    pace = Pace(100.0)
    assert not pace.grown(100.0 + YOUNG_S)
    assert pace.young
    assert pace.grown(100.1 + YOUNG_S), "one that is sent nothing, too"
    assert not pace.young


def test_who_owes_its_first_answer_does_not_grow_up_over_it() -> None:
    pace = Pace(0.0)
    pace.pinged(1, 100, now=YOUNG_S)
    assert not pace.grown(now=YOUNG_S + 0.1)
    assert pace.gives_up(now=YOUNG_S + GIVE_UP_S + 0.1)
    pace = Pace(0.0)
    pace.pinged(1, 100, now=YOUNG_S)
    assert pace.ponged(1)
    pace.pinged(2, 200, now=YOUNG_S + 1)
    assert pace.grown(now=YOUNG_S + 2)


def test_an_old_or_unknown_pong_says_nothing() -> None:
    pace = steady()
    assert not pace.ponged(1)
    pace.pinged(2, 200, now=2.0)
    assert not pace.ponged(1)
    assert pace.ponged(2)


def test_it_is_steady_again_after_a_calm_second() -> None:
    pace = lagging()
    assert not pace.recovers(conflated=0, now=1.5)
    assert not pace.recovers(conflated=4, now=1.9), "something had to be conflated"
    assert not pace.recovers(conflated=4, now=1.9 + CALM_S / 2)
    assert pace.recovers(conflated=4, now=1.9 + CALM_S)
    assert not pace.lagging
