"""How long a worker waits for company: one test per rule, and what holds for any arrivals."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framefan_inference.leases.batching import Batching
from framefan_inference.leases.camera_queue import Frame
from framefan_inference.leases.schedule import Schedule

WAIT_S = 0.01


def window(call_s: float = 0.05, **every_s: float) -> Batching:
    """A window that has seen five frames of each camera, at its interval, the last one at 10.0."""
    made = Batching(WAIT_S)
    made.took(call_s)
    for name, interval in every_s.items():
        for n in range(5):
            made.arrived(name, 10.0 - interval * (4 - n))
    return made


def test_who_is_expected_is_waited_for() -> None:
    it = window(a=0.1)
    assert it.until(10.095, 7, ["a"], now=10.095) == pytest.approx(10.1)


@pytest.mark.parametrize(
    ("since", "now", "others", "room"),
    [
        (10.095, 10.095, [], 7),  # there is one camera only
        (10.095, 10.095, ["unknown"], 7),
        (10.05, 10.05, ["a"], 7),  # due after the limit
        (10.095, 10.11, ["a"], 7),  # waited as long as it may
        (10.105, 10.105, ["a"], 7),  # late, so it may not come at all
        (10.095, 10.095, ["a"], 0),  # the call is full
    ],
)
def test_nobody_is_waited_for_in_vain(
    since: float, now: float, others: list[str], room: int
) -> None:
    assert window(a=0.1).until(since, room, others, now) <= now


def test_only_as_many_as_there_is_room_for() -> None:
    it = window(a=0.098, b=0.1, c=0.104)
    assert it.until(10.096, 1, ["a", "b", "c"], 10.096) == pytest.approx(10.098)
    assert it.until(10.096, 2, ["a", "b", "c"], 10.096) == pytest.approx(10.1)
    assert it.until(10.096, 9, ["a", "b", "c"], 10.096) == pytest.approx(10.104)


def test_a_late_one_gets_the_slack_it_usually_needs() -> None:
    it = Batching(WAIT_S)
    it.took(1.0)
    for at in (0.0, 0.1, 0.202, 0.3, 0.4):
        it.arrived("a", at)
    assert it.until(0.499, 7, ["a"], 0.499) == pytest.approx(0.502, abs=1e-3)


def test_an_irregular_camera_is_not_expected() -> None:
    it = Batching(WAIT_S)
    it.took(1.0)
    for at in (0.0, 0.1, 0.15, 0.35, 0.45):
        it.arrived("a", at)
    assert it.until(0.549, 7, ["a"], 0.549) == 0.549


def test_no_longer_than_half_a_call_and_not_before_one_is_known() -> None:
    assert window(call_s=0.004, a=0.1).until(10.099, 7, ["a"], 10.099) == pytest.approx(10.1)
    assert window(call_s=0.001, a=0.1).until(10.099, 7, ["a"], 10.099) == 10.099
    unknown = window(a=0.1)
    unknown._call_s = 0.0
    assert unknown.until(10.099, 7, ["a"], 10.099) == 10.099


def test_zero_turns_it_off() -> None:
    it = Batching(0.0)
    it.took(1.0)
    for n in range(6):
        it.arrived("a", n / 10)
    assert it.until(0.599, 7, ["a"], 0.599) == 0.599


def test_a_camera_that_left_is_not_expected() -> None:
    it = window(a=0.1)
    it.forget("a")
    assert it.until(10.095, 7, ["a"], now=10.095) == 10.095


# ---- in the schedule: any cameras, any workers ---------------------------------------------------


class Life:
    """Cameras with rhythms of their own; workers whose calls last as long as told."""

    def __init__(self, every_ms: list[int], workers: int, most: int, modes: list[Any]) -> None:
        names = [f"cam{n}" for n in range(len(every_ms))]
        rows = list(zip(names, modes, strict=False))
        self.it = Schedule(rows, batch_wait_s=WAIT_S)
        self.it.window.took(1.0)
        for worker in range(workers):
            self.it.worker_up(worker, most)
        self.every_ms = dict(zip(names, every_ms, strict=True))
        self.frames = 0
        self.since = dict.fromkeys(names, 0.0)
        self.waited = 0
        """How often a frame waited though a worker was idle."""

    def play(self, steps: int, call_ms: int) -> None:
        busy: list[tuple[int, Any]] = []
        for ms in range(steps):
            now = ms / 1000
            for name, every in self.every_ms.items():
                if ms % every == 0 and len(self.it.cameras[name].waiting) < 4:
                    self.frames += 1
                    if not self.it.cameras[name].waiting:
                        self.since[name] = now
                    self.it.ready(name, Frame(1, self.frames, ms, now, now, 8, 8), now)
            for done in [each for each in busy if each[0] <= ms]:
                busy.remove(done)
                self.it.returned(done[1].worker, done[1].lease)
            busy += [(ms + call_ms, grant) for grant in self.it.assign(now)]
            waiting = [name for name, queue in self.it.cameras.items() if queue.waiting]
            if waiting and self.it._idle:
                self.waited += 1
                assert now < self.it.due <= now + WAIT_S, "nothing wakes the pool up for it"
                assert all(now < self.since[name] + WAIT_S for name in waiting), "waited too long"


MODES = st.lists(st.sampled_from(["live", "every"]), min_size=6, max_size=6)


@given(
    st.lists(st.integers(2, 120), min_size=1, max_size=6),
    st.integers(1, 3),
    st.sampled_from([2, 4, 8]),
    st.integers(1, 60),
    MODES,
)
def test_the_wait_is_bounded_and_one_camera_never_waits(
    every_ms: list[int], workers: int, most: int, call_ms: int, modes: list[Any]
) -> None:
    life = Life(every_ms, workers, most, modes)
    life.play(600, call_ms)
    assert life.waited == 0 or len(every_ms) > 1


def test_cameras_in_step_share_a_call() -> None:
    """Eight cameras within five milliseconds: one call for all, once their rhythm is known."""
    it = Schedule([(f"cam{n}", "live") for n in range(8)], batch_wait_s=WAIT_S)
    it.window.took(0.05)
    it.worker_up(1, 8)
    sizes = []
    for turn in range(10):
        for n in range(8):
            now = turn / 10 + n * 0.0007
            it.ready(f"cam{n}", Frame(1, n, turn, now, now, 8, 8), now)
            grants = it.assign(now)
            if grants:
                sizes.append(len(grants))
        for grant in list(it._grants.values()):
            it.returned(1, grant.lease)
        for grant in it.assign(turn / 10 + 0.05):  # those who came during the call
            it.returned(1, grant.lease)
    assert sizes[0] == 1, "nobody was expected yet"
    assert sizes[-3:] == [8, 8, 8]
