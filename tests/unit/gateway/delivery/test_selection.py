"""At most so many results a second: even for cameras that are irregular, late, or jump in time."""

from __future__ import annotations

import random
from itertools import pairwise
from typing import Any

import pytest
from gateway_fakes import outcome
from hypothesis import given
from hypothesis import strategies as st

from framefan.ipc.records import Detection
from framefan_gateway.delivery.selection import Selection
from framefan_gateway.delivery.subscription import Subscription
from framefan_gateway.delivery.wire import Outcome

START = 1000.0
PERSON = Detection("person", 0.9, (0.0, 0.0, 1.0, 1.0))


def at(moment: float, camera: str = "cam", **changes: Any) -> Outcome:
    return Outcome(outcome(0, camera, captured_at=moment, **changes))


def through(max_fps: float, moments: list[float]) -> list[float]:
    """The moments of the results that are sent."""
    selection = Selection(Subscription(max_fps=max_fps))
    found = []
    for moment in moments:
        cause = selection.refuses(at(moment))
        assert cause in (None, "max_fps")
        if cause is None:
            found.append(moment)
    return found


def camera(fps: float, seconds: float, jitter_s: float = 0.0) -> list[float]:
    chance = random.Random(1)
    count = round(fps * seconds)
    return [START + n / fps + chance.uniform(-jitter_s, jitter_s) for n in range(count)]


def most_in_a_second(moments: list[float]) -> int:
    """In any second there is, from each result on, its own end left out."""
    return max(
        sum(1 for other in moments if moment <= other < moment + 1 - 1e-6) for moment in moments
    )


@pytest.mark.parametrize(
    ("limit", "fps", "sent"),
    [(20, 30, 20), (5, 30, 5), (1, 30, 1), (29, 30, 29), (15, 30, 15), (0.5, 30, 0.5), (7, 25, 7)],
)
def test_a_limit_below_the_cameras_rate_is_met(limit: float, fps: float, sent: float) -> None:
    found = through(limit, camera(fps, 20))
    assert len(found) == pytest.approx(sent * 20, abs=1)
    assert most_in_a_second(found) <= max(limit, 1)


@pytest.mark.parametrize("limit", [30, 31, 60, 1000])
def test_a_limit_at_or_above_the_cameras_rate_loses_nearly_nothing(limit: float) -> None:
    assert through(limit, camera(30, 20)) == camera(30, 20)
    moments = camera(30, 20, jitter_s=0.004)
    assert len(through(limit, moments)) >= 0.98 * len(moments)


def test_a_camera_that_jitters_is_still_limited() -> None:
    found = through(5, camera(30, 20, jitter_s=0.015))
    assert len(found) == pytest.approx(100, abs=2)
    assert most_in_a_second(found) <= 5 + 1


def test_after_a_pause_there_is_no_burst() -> None:
    """What was not sent in a pause is not made up for."""
    moments = camera(30, 5) + [moment + 60 for moment in camera(30, 5)]
    found = through(5, moments)
    assert len(found) == 50
    assert most_in_a_second(found) == 5


@pytest.mark.parametrize("jump_s", [-3600.0, -1.0, 3600.0])
def test_a_clock_that_jumps_stops_nothing(jump_s: float) -> None:
    """A new capture process, or another clock: what is due is due from there on."""
    moments = camera(30, 5)
    found = through(5, moments + [moment + 5 + jump_s for moment in moments])
    assert 45 <= len(found) <= 51
    assert through(5, [START, START + jump_s])[1:] == [START + jump_s]


def test_a_clock_that_runs_back_a_little_waits_no_longer_than_that() -> None:
    found = through(5, [*camera(30, 2), *[START + 1.9 + n / 30 for n in range(60)]])
    assert len(found) == pytest.approx(20, abs=1)
    assert max(later - earlier for earlier, later in pairwise(found)) < 0.3


def test_each_camera_has_a_clock_of_its_own() -> None:
    selection = Selection(Subscription(max_fps=1))
    assert [selection.refuses(at(START, name)) for name in "abab"] == [
        None,
        None,
        "max_fps",
        "max_fps",
    ]


@given(
    limit=st.floats(0.1, 200),
    steps=st.lists(st.floats(0.0, 3.0) | st.floats(0.0, 0.05), min_size=1, max_size=80),
)
def test_no_second_has_two_more_than_its_share(limit: float, steps: list[float]) -> None:
    moments = [START]
    for step in steps:
        moments.append(moments[-1] + step)
    found = through(limit, moments)
    assert found[0] == START
    for first, last, count in windows(found):
        # Each of a limit's intervals has one; the first may have been late, and the last early.
        assert count <= (last - first + 0.005) * limit + 2 + 1e-6, (first, last)
    for before, moment in pairwise(moments):
        if moment - before > 2 / limit:
            assert moment in found, "the first after a pause"


def windows(moments: list[float]) -> list[tuple[float, float, int]]:
    """Each stretch from one result to a later one, and how many it holds."""
    return [
        (first, last, end - start + 1)
        for start, first in enumerate(moments)
        for end, last in enumerate(moments[start:], start)
    ]


# ---- what was seen ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"payload": []}, "filtered"),
        ({"payload": [PERSON]}, None),
        ({"kind": "value", "payload": None}, "filtered"),
        ({"kind": "value", "payload": []}, "filtered"),
        ({"kind": "value", "payload": {}}, "filtered"),
        ({"kind": "value", "payload": ""}, "filtered"),
        ({"kind": "value", "payload": 0}, None),
        ({"kind": "value", "payload": False}, None),
        ({"kind": "value", "payload": [0]}, None),
        ({"kind": "error"}, None),
    ],
)
def test_nonempty_leaves_out_what_holds_nothing(changes: dict[str, Any], cause: object) -> None:
    assert Selection(Subscription(nonempty=True)).refuses(at(START, **changes)) == cause
    assert Selection(Subscription()).refuses(at(START, **changes)) is None


@pytest.mark.parametrize(
    ("subscription", "cause"),
    [
        (Subscription(nonempty=True, labels=frozenset({"person"})), None),
        (Subscription(nonempty=True, labels=frozenset({"car"})), "filtered"),
        (Subscription(nonempty=True, min_confidence=0.9), None),
        (Subscription(nonempty=True, min_confidence=0.91), "filtered"),
        (Subscription(labels=frozenset({"car"})), None),
    ],
)
def test_nonempty_is_about_what_is_left(subscription: Subscription, cause: object) -> None:
    assert Selection(subscription).refuses(at(START, payload=[PERSON])) == cause


def test_a_camera_that_is_gone_has_no_clock_any_more() -> None:
    selection = Selection(Subscription(max_fps=1))
    assert selection.refuses(at(START)) is None
    selection.forget("cam")
    selection.forget("never")
    assert selection.refuses(at(START + 0.1)) is None


def test_what_is_empty_takes_no_ones_turn() -> None:
    selection = Selection(Subscription(nonempty=True, max_fps=1))
    assert selection.refuses(at(START, payload=[])) == "filtered"
    assert selection.refuses(at(START + 0.01)) is None
    assert selection.refuses(at(START + 0.02)) == "max_fps"
    assert selection.refuses(at(START + 0.03, payload=[])) == "filtered"


@pytest.mark.parametrize(
    ("subscription", "everything"),
    [
        (Subscription(), True),
        (Subscription(labels=frozenset({"car"})), True),
        (Subscription(nonempty=True), False),
        (Subscription(max_fps=1000), False),
    ],
)
def test_it_knows_when_it_refuses_nothing(subscription: Subscription, everything: bool) -> None:
    assert Selection(subscription).everything == everything
