"""What `framefan watch` makes of messages."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import UNSET, convert
from scripted_gateway import result

from framefan.commands.terminal.camera_table import WINDOW_S, Board, clean, summary
from framefan.ipc.protocol import Failure, Latency, Result, Status

CAMERA = {"subject": "camera", "camera": "cam"}


def outcome(seq: int, total: float = 5.0, **more: Any) -> Result:
    made: Result = convert(result(seq, **more), Result)
    made.latency_ms = Latency(1.0, 1.0, 1.0, total)
    return made


def status(state: str, reason: str = "", **subject: Any) -> Status:
    subject = {"ts": 1.0} | ({} if "subject" in subject else CAMERA) | subject
    return Status(epoch="e1", state=state, reason=reason, **subject)


def test_a_row_is_of_the_last_seconds() -> None:
    board = Board()
    for seq in range(100):
        board.take(outcome(seq, total=float(seq)), now=100 + seq / 10)
    (row,) = board.rows(now=110.0)
    assert (row.camera, row.state, row.seq, row.seen) == ("cam", "live", 99, "person 1")
    assert row.fps == pytest.approx(10, abs=0.3)
    assert row.p50_ms == pytest.approx(75, abs=1)
    assert row.p95_ms == pytest.approx(97, abs=1)


def test_a_young_camera_shows_its_rate_at_once_and_a_silent_one_none() -> None:
    board = Board()
    for seq in range(11):
        board.take(outcome(seq), now=50 + seq / 20)
    assert board.rows(now=50.5)[0].fps == pytest.approx(20, abs=0.1)
    (row,) = board.rows(now=50.5 + WINDOW_S)
    assert row.fps == 0
    assert row.seq == 10
    assert row.p50_ms is None


def test_a_slow_camera_has_its_rate_at_any_moment() -> None:
    board = Board()
    for seq in range(3):
        board.take(outcome(seq), now=50.0 + 30 * seq)
    rates = [board.rows(now=110 + later)[0].fps for later in (0, 1, 10, 29, 61)]
    assert rates == pytest.approx([1 / 30] * 4 + [0])


def test_one_result_has_a_latency_too() -> None:
    board = Board()
    board.take(outcome(1, total=7.0), now=1.0)
    (row,) = board.rows(now=1.0)
    assert (row.fps, row.p50_ms, row.p95_ms) == (0, 7.0, 7.0)


def test_states_are_told_by_status() -> None:
    board = Board()
    board.take(status("backoff", "refused"), 1.0)
    assert board.rows(1.0)[0].state == "backoff (refused)"
    board.take(status("backoff", "refused", next_try_s=12.0), 1.0)
    assert board.rows(1.0)[0].state == "backoff (refused), next try in 12 s"
    assert board.rows(10.8)[0].state == "backoff (refused), next try in 2 s"
    assert board.rows(99.0)[0].state == "backoff (refused), next try in 0 s"
    board.take(status("live"), 2.0)
    assert board.rows(2.0)[0].state == "live"
    board.take(status("backoff", "died", subject="worker", worker=2), 3.0)
    assert board.notice == "worker 2: backoff (died)"
    board.take(status("silent", subject="pool"), 3.0)
    assert board.notice == "pool: silent"


def test_a_frame_grabbed_after_a_status_shows_that_frames_come_again() -> None:
    """Its end may have been told while there was no connection."""
    board = Board()
    board.take(status("stalled", "no_frame", ts=1e12), 1.0)
    board.take(outcome(1), 1.1)  # it was at a worker
    assert board.rows(1.1)[0].state == "stalled (no_frame)"
    board.take(status("stalled", "no_frame", ts=0.5), 1.2)
    board.take(outcome(2), 1.3)
    assert board.rows(1.3)[0].state == "live"
    board.take(status("frozen", "same_picture", ts=0.5), 2.0)
    board.take(outcome(3), 2.1)
    assert board.rows(2.1)[0].state == "frozen (same_picture)", "it is still served"


def test_a_camera_that_is_removed_is_shown_no_more() -> None:
    board = Board()
    board.take(outcome(1), 1.0)
    board.take(status("ended", "removed"), 2.0)
    assert board.rows(2.0) == []


def test_what_a_result_says_in_a_few_words() -> None:
    def seen(label: str) -> dict[str, Any]:
        return {"label": label, "confidence": 0.5, "box": [0, 0, 1, 1]}

    several = outcome(1, detections=[seen("car"), seen("person"), seen("person")])
    assert summary(several) == "person 2, car 1"
    assert summary(outcome(1, detections=[])) == "-"
    value = outcome(1)
    value.detections, value.result = UNSET, {"brightness": 0.5}
    assert summary(value) == '{"brightness":0.5}'
    failure = result(1) | {"type": "error", "error": {"kind": "ValueError", "message": "no\nway"}}
    assert summary(convert(failure, Failure)) == "ValueError: no\N{REPLACEMENT CHARACTER}way"


def test_text_from_outside_moves_no_cursor_and_fills_no_screen() -> None:
    assert "\x1b" not in clean("\x1b[2J\x1b]0;title\x07person")
    assert clean("a" * 100).endswith("...")
    assert len(clean("a" * 100)) == 40
    assert clean("größe 人") == "größe 人"
