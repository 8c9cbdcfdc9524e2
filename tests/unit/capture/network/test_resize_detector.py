"""When the size of a stream's pictures is suspected, over made-up costs."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framefan_capture.network.resize_detector import (
    FIRST,
    HINT_REST_CAP_S,
    HINT_REST_S,
    LAST,
    REOPEN_REST_S,
    REST_S,
    ResizeDetector,
)

USUAL_S = 0.001
costs = st.floats(0.6 * USUAL_S, 1.9 * USUAL_S)
peaks = st.floats(0.6 * USUAL_S, 50 * USUAL_S)


def settled() -> ResizeDetector:
    suspicion = ResizeDetector()
    decode(suspicion, USUAL_S, FIRST)
    return suspicion


def decode(suspicion: ResizeDetector, cost_s: float, times: int) -> None:
    for _ in range(times):
        suspicion.decoded(cost_s)


def test_a_cost_that_jumps_and_stays_is_suspected_after_so_many_pictures():
    suspicion = settled()
    assert not suspicion.asks(0)
    decode(suspicion, 3.2 * USUAL_S, LAST - 1)
    assert not suspicion.asks(1)
    decode(suspicion, 3.2 * USUAL_S, 1)
    assert suspicion.asks(2)


@given(st.lists(peaks, max_size=200), st.lists(costs, min_size=1))
def test_as_long_as_one_of_eight_costs_no_more_nothing_is_suspected(dear, cheap):
    suspicion = settled()
    for number, cost_s in enumerate(dear):
        suspicion.decoded(cheap[number % len(cheap)] if number % LAST == 0 else cost_s)
        assert not suspicion.asks(number)


@given(st.lists(peaks, max_size=FIRST // 2), st.lists(costs, min_size=LAST), st.floats(4.5, 50))
def test_some_dear_pictures_at_the_start_hide_no_change(dear, cheap, factor):
    suspicion = ResizeDetector()
    for cost_s in [*dear, *[USUAL_S] * (FIRST - len(dear)), *cheap]:
        suspicion.decoded(cost_s)
    for cost_s in cheap[:LAST]:
        suspicion.decoded(factor * cost_s)
    assert suspicion.asks(0)


@given(st.lists(st.floats(0, 1), max_size=FIRST - 1))
def test_nothing_is_suspected_before_the_usual_cost_is_known(first):
    suspicion = ResizeDetector()
    for cost_s in first:
        suspicion.decoded(cost_s)
        assert not suspicion.asks(0)


def test_the_same_size_makes_the_new_cost_the_usual_one_and_gives_rest():
    suspicion = settled()
    decode(suspicion, 4 * USUAL_S, LAST)
    assert not suspicion.answered(10, same=True)
    decode(suspicion, 4 * USUAL_S, 10 * FIRST)
    assert not suspicion.asks(10 + 2 * REST_S)
    decode(suspicion, 16 * USUAL_S, LAST)
    assert not suspicion.asks(10 + REST_S - 1)
    assert suspicion.asks(10 + REST_S)


def test_another_size_is_opened_anew_each_time():
    suspicion = settled()
    for now in range(5):
        assert suspicion.answered(now, same=False)
        suspicion.restart()
        decode(suspicion, USUAL_S, FIRST)
        decode(suspicion, 4 * USUAL_S, LAST)
        assert suspicion.asks(now)


def test_no_answer_opens_anew_once_in_a_while():
    suspicion = settled()
    cost_s, opened, asked = USUAL_S, [], 0
    for now in range(1300):
        decode(suspicion, cost_s, FIRST)
        cost_s *= 4 if now % 10 == 0 else 1
        decode(suspicion, cost_s, LAST)
        if suspicion.asks(now):
            asked += 1
            if suspicion.answered(now, same=None):
                opened.append(now)
                suspicion.restart()
    assert len(opened) == 3
    assert opened[1] - opened[0] >= REOPEN_REST_S
    assert 10 < asked < 30


def test_a_hint_asks_ever_more_seldom_and_never_opens_unanswered():
    suspicion = settled()
    asked = []
    for now in range(5000):
        suspicion.disturbed()
        if suspicion.asks(now):
            asked.append(now)
            assert not suspicion.answered(now, same=None if now % 2 else True)
    steps = [b - a for a, b in itertools.pairwise(asked)]
    assert steps[:3] == [HINT_REST_S, 2 * HINT_REST_S, 4 * HINT_REST_S]
    assert steps[-1] == HINT_REST_CAP_S


def test_hints_of_a_camera_that_gives_each_session_another_size_are_asked_seldom_too():
    suspicion = settled()
    asked = []
    for tenth in range(1000):
        suspicion.disturbed()
        if suspicion.asks(tenth / 10):
            asked.append(tenth / 10)
            assert suspicion.answered(tenth / 10, same=False)
            suspicion.restart()
    assert [b - a for a, b in itertools.pairwise(asked)] == [HINT_REST_S] * 9


def test_after_another_size_hints_are_asked_as_often_as_at_first():
    suspicion = settled()
    suspicion.disturbed()
    suspicion.answered(0, same=True)
    for now, same in ((10, True), (30, True), (70, False), (80, True)):
        suspicion.disturbed()
        assert not suspicion.asks(now - 0.1)
        assert suspicion.asks(now)
        suspicion.answered(now, same)


@pytest.mark.parametrize("same", [True, False, None])
def test_a_hint_is_asked_once(same: bool | None):
    suspicion = settled()
    suspicion.disturbed()
    assert suspicion.asks(0)
    if suspicion.answered(0, same):
        suspicion.restart()
    assert not suspicion.asks(1000)
