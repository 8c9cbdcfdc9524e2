"""What `framefan top` makes of tables and results."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from framefan.commands.terminal.top import RunView, picture
from framefan.ipc.protocol import Latency, Result

CAMERA: dict[str, Any] = {
    "state": "live", "reason": "", "next_try_s": None, "captured": 0, "results": 0, "errors": 0,
    "bad": 0, "superseded_by": {}, "lost_by": {},
}  # fmt: skip
WORKER = {
    "id": 1, "state": "failed", "reason": "exit \x1b[31m code 1", "model": "",
    "predictor": "m.py:P", "busy": 0.25, "results": 5, "errors": 1, "restarts": 2,
}  # fmt: skip
FEED: Any = SimpleNamespace(url="ws://h/ws", connected=True, trouble="")


def table(ts: float, epoch: str = "a", **cameras: Any) -> dict[str, Any]:
    return {
        "ts": ts, "epoch": epoch, "name": "default", "workers": [WORKER],
        "gateways": [{"clients": 3, "state": "ready"}, {"clients": 4, "state": "silent"}],
        "cameras": {name: CAMERA | facts for name, facts in cameras.items()},
    }  # fmt: skip


def result(camera: str) -> Result:
    return Result(
        camera=camera, seq=1, epoch="a", frame=1, ts=1.0, width=1, height=1, model="m", worker=1,
        missed=0, latency_ms=Latency(1, 2, 3, 6), detections=[],
    )  # fmt: skip


def shown(glance: RunView, feed: Any = FEED, width: int | None = 200) -> str:
    return "\n".join(picture(feed, glance, 1.0, width))


def test_two_tables_and_results_make_rates_and_stages() -> None:
    glance = RunView()
    glance.look(table(1.0, front={"captured": 10}))
    assert glance.flow("front") is None
    glance.look(table(3.0, front={"captured": 70, "results": 20, "superseded_by": {"newer": 40}}))
    glance.look(table(3.0, front={"captured": 70}))  # the same table once more
    glance.take(result("front"), 1.0)
    text = shown(glance)
    for words in (
        "7 clients",
        "1 of 2 gateways ready",
        "0 of 1 workers ready",
        "30.0  10.0  newer 20.0",
        "25%",
    ):
        assert words in text, text
    assert "\x1b[31m" not in text
    told = glance.told(1.0)
    assert told["clients"] == 7
    assert told["cameras"]["front"]["per_s"]["dropped"] == {"newer": 20.0}
    assert told["cameras"]["front"]["latency_ms"]["p99"] == 6


def test_workers_have_their_predictor_if_there_are_several() -> None:
    glance = RunView()
    several = {"people": {"ready": 1}, "plates": {"ready": 0}}
    worker = WORKER | {"predictor_name": "plates"}
    glance.look(table(1.0, front={}) | {"workers": [worker], "predictors": several})
    text = " ".join(shown(glance).split())
    assert "no worker of plates" in text
    assert "predictor worker state model" in text
    assert "plates 1 failed m.py:P" in text
    glance.look(table(2.0, front={}) | {"predictors": {"plates": {"ready": 0}}})
    text = shown(glance)
    assert "no worker of" not in text
    assert "predictor" not in text


def test_a_new_epoch_and_a_new_camera_have_no_rates_yet() -> None:
    glance = RunView()
    glance.look(table(1.0, front={"captured": 10}))
    glance.look(table(2.0, front={"captured": 40}, new={"captured": 5}))
    assert glance.flow("front") is not None
    assert glance.flow("new") is None
    glance.look(table(3.0, epoch="b", front={}))
    assert glance.flow("front") is None
    assert set(glance.told(1.0)["cameras"]) == {"front"}


def test_a_slow_camera_has_its_rates_and_one_that_has_stopped_none() -> None:
    glance = RunView()
    rates = []
    for second in range(120):
        count = second // 5
        slow = {"captured": count, "results": count}
        fast = {"captured": 30 * min(second, 100), "results": 10 * min(second, 100)}
        glance.look(table(float(second), slow=slow, fast=fast))
        rates.append((glance.flow("slow"), glance.flow("fast")))
    for slow, _ in rates[30:]:
        assert (slow.captured, slow.predicted) == pytest.approx((0.2, 0.2), abs=0.04)
    for _, fast in rates[1:101]:
        assert (fast.captured, fast.predicted) == (30, 10)
    assert all(fast.captured == 0 for _, fast in rates[105:])
    assert " 0.2 " in shown(glance)


def test_before_there_is_a_table_it_says_why() -> None:
    glance = RunView()
    glance.trouble = "http://h/api/status answered 503"
    assert "answered 503" in shown(glance)
    gone = SimpleNamespace(url="ws://h/ws", connected=False, trouble="connection refused")
    glance.trouble = ""
    assert "connection refused" in shown(glance, gone)
    assert glance.told(1.0) == {"cameras": {}, "workers": [], "clients": 0}


def test_at_a_hundred_columns_numbers_and_reasons_are_whole() -> None:
    glance = RunView()
    by = {"newer": 4000, "no_worker": 2000, "no_slot": 1000, "max_fps": 500}
    why = "connect to 192.0.2.7:554 failed: no route to host, as told by the kernel"
    facts = {
        "state": "backoff", "reason": "timeout", "message": why, "next_try_s": 12.0,
        "captured": 80_000, "superseded_by": by, "last_error": f"ValueError: {why}",
    }  # fmt: skip
    name = "the-camera-above-the-loading-bay"
    glance.look(table(1.0, **{name: {"superseded_by": dict.fromkeys(by, 0)}}))
    glance.look(table(11.0, **{name: facts}))
    glance.take(result(name), 1.0)
    lines = shown(glance, width=100).splitlines()
    row = next(line for line in lines if "8000.0" in line)
    assert " ".join(row.split()[1:]) in (
        "backoff 8000.0 0.0 newer 400.0 +3 1.0 2.0 3.0 6.0 6.0 6.0",
        "backoff 8000.0 0.0 750.0 1.0 2.0 3.0 6.0 6.0 6.0",
    )
    assert f"  {name}: backoff (timeout), next try in 12 s: {why}" in lines
    assert f"  {name}: predict fails: ValueError: {why}" in lines
    assert all(len(line) <= 100 for line in lines if why not in line)
    whole = shown(glance, width=None)
    assert "newer 400.0, no_worker 200.0, no_slot 100.0, max_fps 50.0" in whole
    assert f"{name} " in whole
