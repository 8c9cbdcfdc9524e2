"""Who gets which frame next: one test per rule of the schedule's text."""

from __future__ import annotations

import heapq
import random
from collections import Counter
from itertools import count
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framefan_inference.leases.camera_queue import (
    NEWER,
    NO_WORKER,
    REMOVED,
    Frame,
    Freed,
)
from framefan_inference.leases.schedule import Schedule

if TYPE_CHECKING:
    from framefan.settings.run import Mode
    from framefan_inference.leases.camera_queue import Grant


def frame(number: int, ring: int = 1) -> Frame:
    return Frame(ring, number, number, 0.0, 0.0, 640, 480)


def schedule(cameras: dict[str, Mode], workers: int = 0, stateful: bool = False) -> Schedule:
    made = Schedule(cameras.items())
    made.stateful = stateful
    for worker in range(1, workers + 1):
        made.worker_up(worker)
    return made


def numbers(grants: list[Grant]) -> list[tuple[str, int]]:
    return [(grant.camera, grant.frame.frame) for grant in grants]


# ---- 1. what waits -----------------------------------------------------------------------------


def test_live_keeps_the_newest_and_frees_the_other_at_once() -> None:
    it = schedule({"a": "live"}, workers=1)
    it.ready("a", frame(0))
    it.assign()
    assert it.ready("a", frame(1)) == []
    assert it.ready("a", frame(2)) == [Freed("a", 1, 1)]
    assert it.cameras["a"].superseded_by == {NEWER: 1}
    assert [each.frame for each in it.cameras["a"].waiting] == [2]


def test_without_workers_the_cause_says_so() -> None:
    it = schedule({"a": "live"})
    it.ready("a", frame(0))
    it.ready("a", frame(1))
    assert it.cameras["a"].superseded_by == {NO_WORKER: 1}
    assert it.assign() == []


def test_every_supersedes_nothing_and_keeps_order() -> None:
    it = schedule({"a": "every"}, workers=1)
    for number in range(3):
        assert it.ready("a", frame(number)) == []
    served = []
    while grants := it.assign():
        served += numbers(grants)
        it.returned(1, grants[0].lease)
    assert served == [("a", 0), ("a", 1), ("a", 2)]


# ---- 2. whose turn it is -------------------------------------------------------------------------


def test_fewest_in_flight_goes_first() -> None:
    it = schedule({"a": "every", "b": "every"}, workers=3)
    for number in range(3):
        it.ready("a", frame(number))
    assert numbers(it.assign()) == [("a", 0), ("a", 1), ("a", 2)]
    it.ready("a", frame(3))
    it.ready("b", frame(0))
    it.worker_up(4)
    assert numbers(it.assign()) == [("b", 0)]


def test_among_equals_the_one_served_longest_ago() -> None:
    it = schedule({"a": "every", "b": "every", "c": "every"}, workers=1)
    for number in range(2):
        for name in "cba":
            it.ready(name, frame(number))
    turns = []
    while grants := it.assign():
        turns.append(grants[0].camera)
        it.returned(1, grants[0].lease)
    assert sorted(turns[:3]) == ["a", "b", "c"]
    assert turns[3:] == turns[:3]


@given(st.lists(st.sampled_from("abc"), max_size=60), st.integers(1, 3))
def test_a_camera_that_asks_often_takes_no_turn_from_another(asks: list[str], workers: int) -> None:
    it = schedule({"a": "every", "b": "every", "c": "every", "rare": "every"}, workers)
    fresh = count()
    out: list[Grant] = []
    for name in asks:
        it.ready(name, frame(next(fresh)))
        out += it.assign()
    it.ready("rare", frame(next(fresh)))
    out += it.assign()
    passed_over = 0
    while not any(grant.camera == "rare" for grant in out):
        done = out.pop(0)
        it.returned(done.worker, done.lease)
        passed_over += 1
        out += it.assign()
    assert passed_over <= 3, "one of the three others went twice before it"


class Played:
    """Equal cameras at one rate, each at its own time; workers that take what they take."""

    def __init__(self, cameras: int, load: float, seed: int) -> None:
        """`load` is how much more is asked than two workers can do."""
        self._random = random.Random(seed)
        self._predict_s = 2 * load / cameras  # a camera's frames come one a second
        self._it = schedule({f"cam{n:02}": "live" for n in range(cameras)}, workers=2)
        self._events = [(self._random.random(), name) for name in self._it.cameras]
        heapq.heapify(self._events)
        self._frames = count()
        self.served: list[str] = []

    def serve(self, frames: int) -> None:
        while len(self.served) < frames:
            now, what = heapq.heappop(self._events)
            if isinstance(what, str):
                self._it.ready(what, frame(next(self._frames)))
                heapq.heappush(self._events, (now + self._random.uniform(0.9, 1.1), what))
            else:
                self._it.returned(what.worker, what.lease)
            for grant in self._it.assign():
                self.served.append(grant.camera)
                took = self._predict_s * self._random.uniform(0.9, 1.1)
                heapq.heappush(self._events, (now + took, grant))


@given(st.integers(2, 16), st.floats(0.5, 8.0), st.integers(0, 1 << 32))
@settings(max_examples=15, deadline=None)
def test_equal_cameras_are_served_alike(cameras: int, load: float, seed: int) -> None:
    """Over any stretch of 40 frames a camera, the slowest has 90 % of the fastest."""
    played, window = Played(cameras, load, seed), 40 * cameras
    played.serve(5 * window)
    for begin in range(window, 4 * window, window // 8):
        turns = Counter(played.served[begin : begin + window])
        assert len(turns) == cameras
        assert min(turns.values()) >= 0.9 * max(turns.values()), (begin, turns)


# ---- 3. seqs and leases --------------------------------------------------------------------------


def test_seqs_are_dense_per_camera_and_leases_unique() -> None:
    it = schedule({"a": "live", "b": "live"}, workers=1)
    seen = []
    for number in range(6):
        it.ready("ab"[number % 2], frame(number))
        (grant,) = it.assign()
        seen.append(grant)
        it.returned(1, grant.lease)
    assert [g.seq for g in seen if g.camera == "a"] == [0, 1, 2]
    assert [g.seq for g in seen if g.camera == "b"] == [0, 1, 2]
    assert len({grant.lease for grant in seen}) == 6


def test_a_superseded_frame_takes_no_seq() -> None:
    it = schedule({"a": "live"})
    it.ready("a", frame(0))
    it.ready("a", frame(1))
    it.worker_up(1)
    (grant,) = it.assign()
    assert (grant.seq, grant.frame.frame) == (0, 1)


def test_a_worker_has_one_lease_until_it_returns_it() -> None:
    it = schedule({"a": "every"}, workers=1)
    it.ready("a", frame(0))
    it.ready("a", frame(1))
    (grant,) = it.assign()
    assert it.assign() == []
    assert it.returned(1, grant.lease) == grant
    assert numbers(it.assign()) == [("a", 1)]


@pytest.mark.parametrize(("worker", "late"), [(2, False), (1, True)], ids=["another's", "late"])
def test_a_return_that_does_not_fit_changes_nothing(worker: int, late: bool) -> None:
    it = schedule({"a": "every"}, workers=2)
    it.ready("a", frame(0))
    (grant,) = it.assign()
    if late:
        assert it.worker_down(1) == [grant]
    assert it.returned(worker, grant.lease) is None
    assert it.cameras["a"].in_flight == (0 if late else 1)


def test_only_death_or_return_gives_a_slot_back() -> None:
    it = schedule({"a": "live"}, workers=1)
    it.ready("a", frame(0))
    (grant,) = it.assign()
    for number in range(1, 5):
        assert grant.frame.slot not in [f.slot for f in it.ready("a", frame(number))]
    assert it.worker_down(1) == [grant]
    assert it.worker_down(1) == []


def test_a_dead_worker_gets_nothing_until_it_is_up_again() -> None:
    it = schedule({"a": "live"}, workers=1)
    it.worker_down(1)
    it.ready("a", frame(0))
    assert it.assign() == []
    it.worker_up(1)
    assert numbers(it.assign()) == [("a", 0)]


# ---- 4. stateful ---------------------------------------------------------------------------------


def homes(it: Schedule) -> dict[str, int | None]:
    return {name: queue.pinned for name, queue in it.cameras.items()}


def test_stateful_cameras_spread_and_stay() -> None:
    it = schedule({"a": "live", "b": "live"}, workers=2, stateful=True)
    fresh = count()
    seen: dict[str, set[int]] = {"a": set(), "b": set()}
    for _ in range(5):
        for name in "ab":
            it.ready(name, frame(next(fresh)))
        for grant in it.assign():
            seen[grant.camera].add(grant.worker)
            it.returned(grant.worker, grant.lease)
    assert seen == {"a": {1}, "b": {2}}


def test_a_stateful_camera_waits_for_its_worker_though_another_is_idle() -> None:
    it = schedule({"a": "live"}, workers=2, stateful=True)
    it.ready("a", frame(0))
    (grant,) = it.assign()
    it.ready("a", frame(1))
    assert it.assign() == []
    it.returned(grant.worker, grant.lease)
    assert [each.worker for each in it.assign()] == [grant.worker]


def test_a_stateful_camera_moves_when_its_worker_dies() -> None:
    it = schedule({"a": "live"}, workers=2, stateful=True)
    it.ready("a", frame(0))
    (grant,) = it.assign()
    it.ready("a", frame(1))
    it.worker_down(grant.worker)
    assert [each.worker for each in it.assign()] == [3 - grant.worker]


def test_a_newcomer_takes_over_one_camera_at_a_time_and_none_in_predict() -> None:
    it = schedule({"a": "live", "b": "live", "c": "live"}, workers=1, stateful=True)
    for name in "abc":
        it.ready(name, frame(0))
    in_predict = it.assign()[0].camera
    for _ in range(2):  # the others pin themselves when their turn comes
        it.returned(1, next(iter(it._grants)))
        in_predict = it.assign()[0].camera
    assert set(homes(it).values()) == {1}
    it.worker_up(2)
    moved = [name for name, home in homes(it).items() if home == 2]
    assert len(moved) == 1
    assert in_predict not in moved


def test_a_newcomer_with_one_camera_fewer_takes_none() -> None:
    it = schedule({"a": "live"}, workers=1, stateful=True)
    it.ready("a", frame(0))
    it.assign()
    it.worker_up(2)
    assert homes(it) == {"a": 1}


def test_when_cameras_leave_those_that_stay_spread_again() -> None:
    it = schedule({"a": "live", "b": "live", "c": "live", "d": "live"}, workers=2, stateful=True)
    for name in "abcd":
        it.ready(name, frame(0))
    while grants := it.assign():
        for grant in grants:
            it.returned(grant.worker, grant.lease)
    assert sorted(home or 0 for home in homes(it).values()) == [1, 1, 2, 2]
    for name in [name for name, home in homes(it).items() if home == 2]:
        it.remove(name)
        assert it.take_out(name).pinned is None
    assert sorted(home or 0 for home in homes(it).values()) == [1, 2]


# ---- 5. cameras that are removed ---------------------------------------------------------------


def test_a_removed_cameras_frames_are_superseded_and_it_goes_on_where_it_was() -> None:
    it = schedule({"a": "every", "b": "live"}, workers=1)
    for number in range(3):
        it.ready("a", frame(number))
    (grant,) = it.assign()
    assert it.remove("a") == [Freed("a", 1, 1), Freed("a", 1, 2)]
    assert it.cameras["a"].superseded_by == {REMOVED: 2}
    assert it.cameras["a"].slots_out == 1
    it.returned(1, grant.lease)
    parked = it.take_out("a")
    assert list(it.cameras) == ["b"]
    it.cameras["a"] = parked
    it.ready("a", frame(9))
    assert [each.seq for each in it.assign()] == [1]


# ---- what it knows -------------------------------------------------------------------------------


def test_it_knows_in_which_rings_frames_stand() -> None:
    it = schedule({"a": "live"}, workers=1)
    it.ready("a", frame(0, ring=1))
    (grant,) = it.assign()
    it.ready("a", frame(0, ring=2))
    queue = it.cameras["a"]
    assert [queue.holds(ring) for ring in (1, 2, 3)] == [False, True, False]
    assert [it.has_leased("a", ring) for ring in (1, 2, 3)] == [True, False, False]
    assert it.cameras["a"].slots_out == 2
    assert not it.idle
    it.returned(1, grant.lease)
    assert [queue.holds(ring) for ring in (1, 2)] == [False, True]
    assert not it.has_leased("a", 1)
