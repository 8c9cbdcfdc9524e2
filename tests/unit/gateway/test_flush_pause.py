"""The pause after a flush: proportional to what it took, bounded, longer on a busy machine."""

from __future__ import annotations

import pytest

from framefan_gateway.flush_pause import FlushPause


def pause_after(took_s: float, cpu_share: float) -> float:
    pause = FlushPause()
    for beat in range(50):
        pause.beat(100 + beat * 0.1, 1 + beat * 0.1 * cpu_share)
    pause.record_flush(200.0, 200.0 + took_s)
    return pause.left_s(200.0 + took_s)


@pytest.mark.parametrize(
    ("took_s", "cpu_share", "expected_s"),
    [
        (0.00001, 0.1, 0.0),  # too short for a timer
        (0.0001, 0.1, 0.0016),
        (0.001, 0.1, 0.004),
        (0.001, 0.5, 0.004),
        (0.001, 0.75, 0.007),
        (0.001, 1.0, 0.010),
        (0.0002, 1.0, 0.0032),
    ],
)
def test_the_pause_follows_the_time_of_the_flush_and_the_load(
    took_s: float, cpu_share: float, expected_s: float
) -> None:
    assert pause_after(took_s, cpu_share) == pytest.approx(expected_s, abs=1e-4)


def test_after_the_pause_nothing_waits() -> None:
    pause = FlushPause()
    assert pause.left_s(5.0) == 0.0
    pause.record_flush(5.0, 5.0001)
    assert pause.left_s(5.0001) > pause.left_s(5.001) > 0.0
    assert pause.left_s(5.002) == 0.0
