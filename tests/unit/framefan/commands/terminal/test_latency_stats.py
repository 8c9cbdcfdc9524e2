"""Where frames and milliseconds go: rates between two tables, and stages of the last minute."""

from __future__ import annotations

from typing import Any

import pytest

from framefan.commands.terminal.latency_stats import WINDOW_S, Minute, flow
from framefan.ipc.protocol import Latency


def camera(**counts: Any) -> dict[str, Any]:
    none: dict[str, Any] = {"captured": 0, "results": 0, "errors": 0, "bad": 0}
    return none | {"superseded_by": {}, "lost_by": {}} | counts


def test_rates_between_two_tables_by_cause() -> None:
    before = camera(captured=100, results=50, superseded_by={"newer": 40})
    after = camera(
        captured=160,
        results=80,
        errors=6,
        bad=1,
        superseded_by={"newer": 60, "no_worker": 2},
        lost_by={"late": 1},
    )
    found = flow(before, after, 2.0)
    assert (found.captured, found.predicted) == (30.0, 18.0)
    assert found.dropped == {"newer": 10, "no_worker": 1, "lost late": 0.5, "bad": 0.5, "errors": 3}
    assert found.told().startswith("newer 10.0, errors 3.0, no_worker 1.0")


def test_nothing_dropped() -> None:
    same = camera(superseded_by={"newer": 7})
    assert flow(same, same, 1.0).told() == "-"


def test_stages_of_the_last_minute() -> None:
    minute = Minute()
    assert minute.stages(0.0) is None
    minute.add(Latency(900, 900, 900, 2700), 0.0)
    for n in range(1, 101):
        minute.add(Latency(n, 2, 3, n + 5), WINDOW_S / 2)
    found = minute.stages(WINDOW_S + 1)
    assert found is not None
    assert found == pytest.approx((50.5, 2, 3, 55, 100, 104))
    assert minute.stages(2 * WINDOW_S) is None
    minute.add(Latency(1, 2, 349_128, 349_131), 3 * WINDOW_S)
    assert minute.stages(3 * WINDOW_S) is None, "kept for newcomers by a camera that is down"
