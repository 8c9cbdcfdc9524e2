"""Histograms of the stages and of the loop's lateness."""

from __future__ import annotations

import math

import pytest
from gateway_fakes import outcome

from framefan_gateway.latency import (
    LAG_BOUNDS,
    STAGES,
    WORST_S,
    Busy,
    Histogram,
    Lag,
    StageLatencies,
)

BOUNDS = (0.01, 0.1, 1.0)


@pytest.mark.parametrize(
    ("seconds", "counts"),
    [
        (0.0, [1, 1, 1, 1]),
        (0.01, [1, 1, 1, 1]),
        (0.0100001, [0, 1, 1, 1]),
        (0.1, [0, 1, 1, 1]),
        (1.0, [0, 0, 1, 1]),
        (1.1, [0, 0, 0, 1]),
        (math.inf, [0, 0, 0, 1]),
    ],
)
def test_a_time_counts_below_every_bound_that_is_not_less(seconds: float, counts: list) -> None:
    histogram = Histogram(BOUNDS)
    histogram.observe(seconds)
    assert histogram.cumulative() == list(zip((*BOUNDS, math.inf), counts, strict=True))
    assert histogram.sum == seconds


@pytest.mark.parametrize("forged", [-5.0, -math.inf, math.nan])
def test_a_sum_never_falls(forged: float) -> None:
    histogram = Histogram(BOUNDS)
    histogram.observe(2.0)
    histogram.observe(forged)
    assert histogram.sum == 2.0
    assert histogram.cumulative()[-1] == (math.inf, 2)


def test_each_result_is_counted_in_every_stage_of_its_camera() -> None:
    stages = StageLatencies()
    stamps = {"captured_at": 10.0, "started_at": 10.5, "finished_at": 12.5}
    stages.observe(outcome(0, "front", **stamps), 12.75)
    stages.observe(outcome(1, "front", kind="error", **stamps), 13.0)
    stages.observe(outcome(0, "back", **stamps), 12.75)
    found = {camera: dict(by_stage) for camera, by_stage in stages}
    assert {camera: tuple(by_stage) for camera, by_stage in found.items()} == {
        "front": STAGES,
        "back": STAGES,
    }
    sums = {stage: histogram.sum for stage, histogram in found["front"].items()}
    assert sums == {"wait": 1.0, "predict": 4.0, "deliver": 0.75, "total": 5.75}
    assert [histogram.cumulative()[-1][1] for histogram in found["front"].values()] == [2] * 4
    assert found["back"]["total"].cumulative()[-1][1] == 1


def test_nothing_stays_of_a_camera_that_is_gone() -> None:
    stages = StageLatencies()
    for camera in ("front", "back"):
        stages.observe(outcome(0, camera), 1.0)
    stages.forget("front")
    stages.forget("never")
    assert [camera for camera, _ in stages] == ["back"]


def late(lag: Lag) -> list[int]:
    """How many beats were later than each bound."""
    counts = [count for _, count in lag.histogram.cumulative()]
    return [counts[-1] - count for count in counts[:-1]]


def test_a_beat_is_late_by_what_it_came_after_its_time() -> None:
    lag = Lag()
    lag.beat(100.0, 0.1)
    assert lag.histogram.cumulative()[-1][1] == 0
    assert lag.worst_s == 0
    lag.beat(100.1, 0.1)
    lag.beat(100.15, 0.1)  # early is not late
    assert lag.worst_s == pytest.approx(0, abs=1e-9)
    lag.beat(101.0, 0.1)
    assert lag.worst_s == pytest.approx(0.75)
    assert lag.histogram.cumulative()[-1][1] == 3
    assert late(lag) == [int(bound < 0.75) for bound in LAG_BOUNDS]


def test_the_worst_is_forgotten_after_two_windows() -> None:
    lag, now = Lag(), 100.0
    lag.beat(now, 1.0)
    now += 3.0
    lag.beat(now, 1.0)
    seen = []
    for _ in range(int(2 * WORST_S) + 2):
        seen.append(lag.worst_s)
        now += 1.0
        lag.beat(now, 1.0)
    kept = int(2 * WORST_S) - 3
    assert seen[:kept] == [2.0] * kept
    assert lag.worst_s == 0


def test_how_busy_the_process_is_follows_within_a_second() -> None:
    busy, cpu = Busy(), 5.0
    for beat in range(40):
        cpu += 0.1 if beat >= 20 else 0.02
        busy.beat(100 + beat * 0.1, cpu)
        if beat == 19:
            assert 0.19 < busy.share <= 0.2001
    assert 0.95 < busy.share <= 1.0
