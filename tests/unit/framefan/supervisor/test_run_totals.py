"""The summary adds up what the pool's tables said, over the pool's lives."""

from __future__ import annotations

from fake_stage import table

from framefan.ipc.records import CameraFacts, StateRecord
from framefan.supervisor.run_totals import Summary


def state(epoch: str, **facts: object) -> StateRecord:
    record = table(0)
    record.epoch = epoch
    record.cameras = {"cam": CameraFacts(**facts)}
    return record


def test_the_last_table_of_each_life_counts() -> None:
    summary = Summary()
    summary.add(state("a", captured=5, results=4, errors=1), 0.0)
    summary.add(state("a", captured=15, results=13, errors=2), 1.0)
    summary.add(state("b", captured=7, results=6, lost=1), 2.0)
    (line,) = summary.lines()
    assert line.startswith("cam: 22 frames captured, 19 results, 2 errors, 1 lost, 0 superseded")


def test_superseded_by_cause() -> None:
    summary = Summary()
    summary.add(state("a", superseded=5, superseded_by={"newer": 3, "no_worker": 2}), 0.0)
    summary.add(state("b", superseded=1, superseded_by={"newer": 1, "circuit": 0}), 0.0)
    assert "6 superseded (4 newer, 2 no_worker)" in summary.lines()[0]


def test_every_captured_frame_is_in_the_line() -> None:
    summary = Summary()
    summary.add(state("a", captured=9, results=4, bad=2, waiting=2, running=1), 0.0)
    assert "9 frames captured, 4 results" in summary.lines()[0]
    assert ", 0 superseded, 2 bad, 3 not processed" in summary.lines()[0]


def test_the_rate_is_taken_between_the_first_and_the_last_frame_seen() -> None:
    summary = Summary()
    summary.add(state("a", captured=0), 0.0)
    summary.add(state("a", captured=10), 10.0)
    summary.add(state("a", captured=40), 12.0)
    summary.add(state("a", captured=40), 60.0)  # nothing came any more
    assert summary.lines()[0].endswith(", 15.0 fps")


def test_a_short_run_uses_what_the_camera_measured_or_says_nothing() -> None:
    summary = Summary()
    summary.add(state("a", captured=3, fps=25.0), 0.0)
    assert summary.lines()[0].endswith(", 25.0 fps")
    assert not Summary().lines()


def test_a_camera_that_was_removed_and_came_back_is_summed_up() -> None:
    summary = Summary()
    summary.add(state("a", captured=5, results=4), 0.0)
    gone = state("a")
    gone.cameras = {}
    summary.add(gone, 1.0)
    assert summary.lines()[0].startswith("cam: 5 frames captured")
    summary.add(state("a", captured=2, results=2), 2.0)  # counted from zero again
    summary.add(state("a", captured=3, results=3), 3.0)
    assert summary.lines()[0].startswith("cam: 8 frames captured, 7 results")
