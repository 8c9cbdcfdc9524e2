"""What the tests of cameras show without the guard that each of them is about: they fail.

The very tests of the other files are called, in runs whose guards are switched off.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
import test_camera_faults as faults
import test_camera_pictures as pictures
import test_camera_processes as processes
from faults import limits, sabotage
from waiting import less_patient

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CAPTURE, POOL, SUPERVISOR = "framefan_capture.main", "framefan_inference.main", "framefan"
BLIND = """
import framefan_capture.network.multipart as multipart
import framefan_capture.freeze_detector as stillness
stillness.FreezeDetector.is_frozen = property(lambda self: False)
multipart.JpegStream.damaged = property(lambda self: 0)
"""
DEAF = """
import framefan_inference.pool.cameras as cameras
cameras.Camera.tick = lambda self, now, waiting: None
"""
TRUSTFUL = """
import framefan.supervisor.lifecycle as watch
watch.ChildLifecycle.overdue = lambda self, now: False
watch.ChildLifecycle.due = lambda self, now: self.state is watch.State.BACKOFF and not self.restarts
"""
REGULAR = """
import framefan.base.backoff as backoff, framefan_capture.camera as camera
from framefan.errors import SourceError
camera.LEAST_WAIT_S = 0.0
backoff.Backoff.failed = lambda self, lasted_s=0.0: 0.4
take = camera.Camera._fail
camera.Camera._fail = lambda self, error: take(self, SourceError("unknown", error.what, error.why))
"""
UNSEEN = [
    (pictures.test_the_same_picture_is_reported_and_served_until_another_one_comes, "same_picture"),
    (pictures.test_a_pause_is_reported_and_the_stream_continues, "no_frame"),
    (pictures.test_a_slow_camera_stalls_unless_it_is_known_to_be_slow, "its stalls"),
    (pictures.test_one_damaged_picture_is_counted_and_the_stream_continues, "the bad one"),
]
"""Tests, and what each of them waits for in vain."""


@pytest.fixture
def ends() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


def test_without_the_detectors_nothing_is_reported(
    tmp_path: Path, ends: contextlib.ExitStack
) -> None:
    sabotage(tmp_path, CAPTURE, BLIND)
    unseeing = pictures.start(tmp_path, ends, sabotage(tmp_path, POOL, DEAF))
    for test, fails in UNSEEN:
        assert callable(test)
        with less_patient(0.2), pytest.raises(AssertionError, match=fails):
            test(unseeing)


def test_without_a_watch_nothing_comes_back(tmp_path: Path, ends: contextlib.ExitStack) -> None:
    env = sabotage(tmp_path, SUPERVISOR, TRUSTFUL) | limits(grace_s=1.0)
    run = processes.start(tmp_path, ends, env)
    with less_patient(0.2), pytest.raises(AssertionError, match="decoder-1: live"):
        processes.test_a_crash_of_the_decoder_is_its_cameras_own(run)
    with less_patient(0.3), pytest.raises(AssertionError, match="no_progress"):
        processes.test_a_process_that_hangs_is_killed_and_restarted(run)


def test_without_reasons_and_random_waits_none_are_reported(
    tmp_path: Path, ends: contextlib.ExitStack
) -> None:
    bench = faults.Bench(tmp_path, ends, sabotage(tmp_path, CAPTURE, REGULAR))
    ends.enter_context(bench.run)
    with pytest.raises(AssertionError):
        faults.test_a_client_is_told_why(bench)
    with pytest.raises(AssertionError, match="unknown"):
        faults.test_a_camera_reports_reason_and_next_try_and_recovers(bench, "refuses")
    with pytest.raises(AssertionError):
        faults.assert_waits_are_diced(bench.run)
