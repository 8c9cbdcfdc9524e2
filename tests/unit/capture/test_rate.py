"""Frames per second, measured and limited: times are passed in, nothing waits."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framefan_capture.rate import FpsLimiter, Rate

START = 1000.0


def taken(spacing: FpsLimiter, times: list[float]) -> list[int]:
    """Numbers of the frames that were taken."""
    numbers = []
    for number, now in enumerate(times):
        if spacing.wants(now):
            spacing.took(now)
            numbers.append(number)
    return numbers


def paced(fps: float, seconds: float, jitter_s: float = 0.0, seed: int = 1) -> list[float]:
    dice = random.Random(seed)
    frames = round(fps * seconds)
    return [START + n / fps + dice.uniform(-jitter_s, jitter_s) for n in range(frames)]


# ---- what comes ----------------------------------------------------------------------------------


def test_the_rate_is_that_of_the_last_seconds():
    rate = Rate()
    assert rate.per_second(100, 0) == 0
    assert rate.per_second(101, 30) == 30
    for second in range(2, 20):
        shown = rate.per_second(100 + second, 30 + 10 * (second - 1))
    assert shown == 10


@pytest.mark.parametrize("every_s", [1.6, 5, 30])
def test_the_rate_of_a_slow_source_stands_between_its_frames_and_ends_with_them(every_s: float):
    rate = Rate()
    until = 100 + 8 * every_s
    shown = []
    for second in range(int(30 * every_s)):
        now = 100.0 + second
        count = 1 + int((min(now, until) - 100) / every_s)
        shown.append((now, rate.per_second(now, count)))
    between = [each for now, each in shown if 100 + 3 * every_s < now < until]
    assert between == pytest.approx([1 / every_s] * len(between), rel=0.4)
    assert all(each == 0 for now, each in shown if now > until + 2.5 * every_s + 4)


# ---- what is wanted ------------------------------------------------------------------------------


def test_no_limit_wants_every_frame():
    assert len(taken(FpsLimiter(0), paced(500, 2))) == 1000


@pytest.mark.parametrize("jitter_s", [0, 0.003, 0.007])
def test_thirty_a_second_and_ten_wanted_is_every_third(jitter_s: float):
    numbers = taken(FpsLimiter(10), paced(30, 60, jitter_s))
    # Its interval has to be learned first.
    assert all(number % 3 == 0 for number in numbers[3:])
    assert 599 <= len(numbers) <= 601


@pytest.mark.parametrize(
    ("fps", "max_fps"), [(25, 10), (30, 7), (24, 10), (60, 25), (30, 29), (15, 10), (10.1, 10)]
)
@pytest.mark.parametrize("jitter_s", [0, 0.003])
def test_the_rate_is_kept_without_drift(fps: float, max_fps: float, jitter_s: float):
    seconds = 60
    numbers = taken(FpsLimiter(max_fps), paced(fps, seconds, jitter_s))
    assert abs(len(numbers) / seconds - max_fps) <= 0.02 * max_fps


@pytest.mark.parametrize("fps", [0.1, 5, 9.9, 10])
def test_a_slower_source_loses_nothing(fps: float):
    times = paced(fps, 200, jitter_s=0.004)
    assert len(taken(FpsLimiter(10), times)) == len(times)


def test_frames_are_even():
    times = paced(25, 60)
    numbers = taken(FpsLimiter(10), times)
    steps = {after - before for before, after in itertools.pairwise(numbers[3:])}
    assert steps == {2, 3}


def test_silence_earns_no_burst():
    times = [START, *(START + 60 + n / 100 for n in range(100))]
    assert len(taken(FpsLimiter(10), times)) <= 12


def test_a_turn_that_found_no_slot_is_not_lost():
    spacing = FpsLimiter(10)
    spacing.took(START)
    assert not spacing.wants(START + 0.03)
    assert spacing.wants(START + 0.11)  # and nobody took it
    assert spacing.wants(START + 0.14)
    spacing.took(START + 0.14)
    assert spacing.due == pytest.approx(START + 0.2)


def test_a_reader_that_waits_for_its_turn_does_not_drift():
    spacing = FpsLimiter(10)
    dice = random.Random(1)
    now = START
    for _ in range(600):
        now = max(now, spacing.due) + dice.uniform(0, 0.01)
        spacing.took(now)
    assert now - START == pytest.approx(60, abs=0.2)


@given(
    st.lists(st.floats(0.0, 0.5), min_size=2, max_size=200),
    st.floats(0.5, 100),
)
def test_never_more_than_the_limit_in_any_window(steps: list[float], max_fps: float):
    times = []
    now = START
    for step in steps:
        now += step
        times.append(now)
    took = [times[number] for number in taken(FpsLimiter(max_fps), times)]
    assert took[0] == times[0]
    for first in range(len(took)):
        for last in range(first, len(took)):
            window = took[last] - took[first]
            assert last - first + 1 <= window * max_fps + 2 + 1e-6
