"""What the log says of cameras: what is news at once, what repeats in sums."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from log_lines import captured

from framefan.ipc.records import StatusRecord
from framefan_inference.pool.camera_log import STEADY_S, CameraLog

HOUR = 3600.0


def told(state: str, reason: str = "", **more: object) -> StatusRecord:
    return StatusRecord(subject="camera", camera="gate", state=state, reason=reason, **more)  # type: ignore[arg-type]


REFUSED = told("backoff", "refused", message="nobody listens", next_try_s=12.3)


def test_a_dead_camera_is_told_once_then_summed_up_then_back() -> None:
    log = CameraLog()
    with captured() as said:
        log.changed(told("connecting"), 0.0)
        log.changed(told("live"), 1.0)
        for now in range(10, 3610, 10):
            log.changed(told("connecting"), now)
            log.changed(REFUSED, now + 1.0)
            log.tick(now + 2.0)
        assert said[:2] == [
            "camera gate: live",
            "warning: camera gate: backoff  reason=refused  why=nobody listens  next_try_s=12.3",
        ]
        assert len(said) < 8, said
        assert "warning: camera gate: still backoff" in said[2]
        assert "changes=30  for_s=301" in said[2]
        log.changed(told("live"), 3700.0)
        assert said[-1] == "camera gate: live  after_s=3689"
        log.tick(9999.0)
        assert "live" in said[-1]


def test_a_new_reason_is_news_and_an_old_one_is_none() -> None:
    log = CameraLog()
    with captured() as said:
        for now in range(40):
            log.changed(told("backoff", ("refused", "timeout")[now % 2]), now)
    assert len(said) == 2


def test_who_comes_and_goes_fills_no_log_and_is_told_when_it_stays() -> None:
    log = CameraLog()
    with captured() as said:
        for now in range(0, 3600, 4):
            log.changed(told("stalled", "no_frame"), now)
            log.changed(told("live"), now + 2.0)
            log.tick(now + 3.0)
        assert 8 < len(said) <= 20, said
        assert any("flapping" in line for line in said)
        log.tick(3600 + STEADY_S)
        assert said[-1].startswith("camera gate: live  after_s=")


def test_a_machine_finds_the_event_the_camera_and_the_state() -> None:
    with captured(as_json=True) as said:
        CameraLog().changed(REFUSED, 0.0)
    line = json.loads(said[0])
    assert (
        line.items()
        >= {
            "event": "camera_state",
            "camera": "gate",
            "state": "backoff",
            "reason": "refused",
            "message": "camera gate: backoff",
            "level": "warning",
        }.items()
    )
    assert line["time"].startswith("20")
    assert line["time"].endswith("Z")


STATES = st.sampled_from(
    [
        told("live"),
        told("connecting"),
        told("connecting", "restarting"),
        told("stalled", "no_frame"),
        REFUSED,
        told("backoff", "timeout"),
        told("failed", "crash_loop"),
        told("live", "size_changed"),
    ]
)


@given(st.lists(st.tuples(STATES, st.floats(0.5, 200)), max_size=200))
def test_the_last_thing_told_is_how_it_is(steps: list[tuple[StatusRecord, float]]) -> None:
    """However it came and went, in the end the log knows whether it is well."""
    log, now = CameraLog(), 0.0
    record = None
    with captured() as said:
        for record, wait in steps:
            log.changed(record, now)
            log.tick(now)
            now += wait
        for _ in range(3):
            now += HOUR + 1
            log.tick(now)
    if record is not None and record.state == "live":
        assert "camera gate: live" in said[-1]
    elif record is not None and record.state not in ("live", "connecting"):
        assert ": live" not in said[-1]


@pytest.mark.parametrize("reason", ["removed"])
def test_a_camera_that_leaves_is_forgotten(reason: str) -> None:
    log = CameraLog()
    with captured() as said:
        log.changed(REFUSED, 0.0)
        log.changed(told("ended", reason), 1.0)
        log.tick(9999.0)
    assert said[-1] == "camera gate: ended  reason=removed"


def test_a_motion_gate_that_opens_and_closes_fills_no_log() -> None:
    log = CameraLog()
    with captured() as said:
        log.changed(told("live"), 0.0)
        for now in range(10, 3610, 10):
            log.changed(told("live", "still", message="nothing moves"), now)
            log.changed(told("live"), now + 5.0)
        log.changed(told("live", "still"), 4000.0)
        log.changed(told("stalled", "no_frame"), 4001.0)
        log.changed(told("live", "still"), 4002.0)
        log.changed(told("live", "size_changed"), 4003.0)
    assert [line.partition("  ")[0] for line in said] == [
        "camera gate: live",
        "warning: camera gate: stalled",
        "camera gate: live",
        "camera gate: live",
    ]
