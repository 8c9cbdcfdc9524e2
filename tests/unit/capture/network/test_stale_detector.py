"""Which pictures are old, over made-up arrivals."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from framefan_capture.network.stale_detector import StaleDetector


class Reader:
    """Reads pictures that are made at `at` and kept until they are read; knows their true age."""

    def __init__(self) -> None:
        self.rhythm = StaleDetector()
        self.now = 0.0
        self.stale: list[bool] = []
        self.ages: list[float] = []

    def read(self, at: float, cost_s: float = 0.001) -> None:
        began = self.now
        self.now = max(self.now, at)
        waited_s = self.now - began
        self.now += cost_s
        self.rhythm.came(self.now, waited_s)
        self.stale.append(self.rhythm.is_stale)
        self.ages.append(self.now - at)

    def live(self, interval: float, pictures: int) -> float:
        """Reads them as they come; when the last was made."""
        start = self.now
        for number in range(1, pictures + 1):
            self.read(start + number * interval)
        return start + pictures * interval


@given(st.floats(0.004, 0.15), st.floats(1, 20), st.floats(0, 0.9))
def test_after_a_pause_of_the_reader_only_what_is_of_now_is_shown(interval, pause_s, lost):
    reader = Reader()
    last = reader.live(interval, 30)
    assert not any(reader.stale)
    reader.now = last + pause_s
    kept = int(lost * pause_s / interval)  # a camera that could not send gave the oldest up
    for number in range(kept, kept + int(2 * pause_s / interval) + 60):
        reader.read(last + (number + 1) * interval)
    first = reader.stale.index(False, 30)
    assert all(age < 0.5 + interval for age in reader.ages[first:])
    assert not any(reader.stale[first:])


@given(st.floats(0.004, 0.4), st.floats(0.6, 20))
def test_after_a_pause_of_the_camera_one_picture_is_lost_at_most(interval, pause_s):
    reader = Reader()
    reader.now = reader.live(interval, 30) + 0.001
    start = reader.now + pause_s
    for number in range(30):
        reader.read(start + number * interval)
    assert sum(reader.stale) <= 1


@given(st.lists(st.floats(0, 30), max_size=100), st.lists(st.floats(0, 30), max_size=100))
@example([0.0] + [1e-9] * 9 + [30.0], [0.0] * 11)
@example([0.0] + [5e-324] * 9 + [30.0], [0.0] * 11)
def test_no_arrivals_whatever_are_all_stale_for_ever(steps, waits):
    rhythm = StaleDetector()
    now = 0.0
    for step, waited_s in zip(steps, waits, strict=False):
        now += step
        rhythm.came(now, waited_s)
    seen = 0
    for _ in range(20_000):
        now += 0.04
        rhythm.came(now, 0.0)
        seen += not rhythm.is_stale
    assert seen > 1_000


@given(st.floats(1e-3, 10), st.floats(1e-3, 10))
def test_a_camera_that_gets_slow_or_fast_loses_next_to_nothing(before, after):
    reader = Reader()
    reader.live(before, 30)
    reader.live(after, 30)
    assert sum(reader.stale) <= 3  # one, but for steps right at the limit of what is a gap


@given(st.floats(0.1, 10), st.integers(1, 20))
def test_a_burst_at_the_start_says_nothing_of_the_interval_for_long(interval, burst):
    reader = Reader()
    for _ in range(burst):
        reader.read(0.0)
    reader.live(interval, 30)
    assert sum(reader.stale) <= 3


def test_a_reader_slower_than_its_camera_gets_pictures():
    reader = Reader()
    reader.live(0.04, 30)
    reader.now += 3
    last = reader.now
    for number in range(500):
        reader.read(last + number * 0.04, cost_s=0.05)
    assert sum(reader.stale) < 2 * 3 / 0.04 + 20
