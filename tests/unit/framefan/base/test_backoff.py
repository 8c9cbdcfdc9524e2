"""Waits between two tries of a lost connection, over random lives."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from framefan.base.backoff import Backoff

HEALTHY_S = 10.0

LIVES = st.lists(st.floats(0, HEALTHY_S * 0.99), min_size=1, max_size=100)


@given(
    first=st.floats(0.01, 10),
    cap=st.floats(10, 100),
    lives=LIVES,
    draw=st.floats(0, 1),
)
def test_waits_stay_under_a_ceiling_that_doubles_up_to_the_cap(
    first: float, cap: float, lives: list[float], draw: float
):
    policy = Backoff(first, cap, HEALTHY_S, lambda: draw)
    for failure, live_s in enumerate(lives):
        ceiling = min(cap, first * 2**failure)
        assert math.isclose(policy.ceiling_s, ceiling)
        wait = policy.failed(live_s)
        assert 0 <= wait <= ceiling
        assert math.isclose(wait, draw * ceiling)


@given(lives=LIVES, healthy=st.floats(HEALTHY_S, 1e6))
def test_a_healthy_while_starts_anew(lives: list[float], healthy: float):
    policy = Backoff(0.5, 30, HEALTHY_S, lambda: 1.0)
    for live_s in lives:
        policy.failed(live_s)
    assert policy.failed(healthy) == 0.5
    assert policy.failed() == 1.0


def test_the_real_jitter_spreads_over_the_whole_range():
    waits = [Backoff(1.0, 30, HEALTHY_S).failed() for _ in range(1000)]
    assert min(waits) < 0.1
    assert max(waits) > 0.9
    assert max(waits) <= 1.0


def test_thousands_of_failures_stay_at_the_cap():
    policy = Backoff(0.5, 30, HEALTHY_S, lambda: 1.0)
    assert [policy.failed() for _ in range(5000)][-1] == 30
