"""Waits grow, jitter only shortens them, and too many deaths in the window mean `failed`."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from framefan.settings.restart import RestartPolicy
from framefan.settings.run import Limits

LIMITS = Limits(restarts=5, restarts_within_s=60.0, restart_first_s=0.5, restart_cap_s=30.0)


def test_waits_double_and_then_it_failed() -> None:
    policy = RestartPolicy(LIMITS, jitter=lambda: 0.0)
    assert [policy.died(float(now)) for now in range(4)] == [0.5, 1.0, 2.0, 4.0]
    assert not policy.failed
    assert policy.died(4.0) == 60.0
    assert policy.failed
    assert policy.restarts == 5


def test_deaths_outside_the_window_are_forgotten() -> None:
    policy = RestartPolicy(LIMITS, jitter=lambda: 0.0)
    for now in range(4):
        policy.died(float(now))
    assert policy.died(100.0) == 0.5
    assert not policy.failed


@given(
    gaps=st.lists(st.floats(0, 200), max_size=40),
    jitter=st.floats(0, 1, exclude_max=True),
    most=st.integers(1, 6),
)
def test_any_life(gaps: list[float], jitter: float, most: int) -> None:
    limits = Limits(restarts=most, restarts_within_s=60.0, restart_first_s=0.5, restart_cap_s=3.0)
    policy = RestartPolicy(limits, jitter=lambda: jitter)
    now, deaths = 0.0, []
    for gap in gaps:
        now += gap
        wait = policy.died(now)
        deaths.append(now)
        recent = sum(now - each <= 60.0 for each in deaths)
        assert policy.failed == (recent >= most)
        if policy.failed:
            assert wait == 60.0
        else:
            full = min(0.5 * 2 ** (recent - 1), 3.0)
            assert full * 0.75 <= wait <= full
    assert policy.restarts == len(gaps)
