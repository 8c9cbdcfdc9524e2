"""What the tests of cameras show without the guard that each of them is about: they fail.

The very tests of the other files are called, in runs whose guards are switched off.
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING

import pytest
import runs
import test_camera_faults as faults
import test_camera_pictures as pictures
import test_camera_processes as processes
import waiting
from faults import limits, sabotage

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from camera_runs import CameraRun

CAPTURE, POOL, SUPERVISOR = "framefan_capture.main", "framefan_inference.main", "framefan"
BLIND = """
import framefan_capture.network as network, framefan_capture.stillness as stillness
import framefan_capture.suspicion as suspicion
stillness.Stillness.is_frozen = property(lambda self: False)
network._ENDS = -1
suspicion.Suspicion.asks = lambda self, now: False
"""
DEAF = """
import framefan_inference.cameras as cameras
cameras.Camera.tick = lambda self, now, waiting: None
"""
TRUSTFUL = """
import framefan.watch as watch
watch.Watch.overdue = lambda self, now: False
watch.Watch.due = lambda self, now: self.state is watch.State.BACKOFF and not self.restarts
"""
REGULAR = """
import framefan.backoff as backoff, framefan_capture.camera as camera
from framefan.errors import SourceError
camera.LEAST_WAIT_S = 0.0
backoff.Backoff.failed = lambda self, lasted_s=0.0: 0.4
take = camera.Camera._fail
camera.Camera._fail = lambda self, error: take(self, SourceError("unknown", error.what, error.why))
"""
_PATIENCE = 0.3
"""What would take the test's whole patience each time is believed sooner here."""


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "SCALE", waiting.SCALE * _PATIENCE)
    monkeypatch.setattr(runs, "START_S", runs.START_S / _PATIENCE)  # nothing is believed there


@pytest.fixture(scope="module")
def ends() -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:
        yield stack


@pytest.fixture(scope="module")
def unseeing(tmp_path_factory: pytest.TempPathFactory, ends: contextlib.ExitStack) -> CameraRun:
    folder = tmp_path_factory.mktemp("cameras")
    sabotage(folder, CAPTURE, BLIND)
    return pictures.start(folder, ends, sabotage(folder, POOL, DEAF))


@pytest.mark.parametrize(
    ("test", "fails"),
    [
        (pictures.test_the_same_picture_is_told_and_served_until_another_one_comes, "same_picture"),
        (pictures.test_a_pause_is_told_and_the_stream_goes_on, "no_frame"),
        (pictures.test_a_slow_camera_stalls_unless_it_is_known_to_be_slow, "its stalls"),
        (pictures.test_one_damaged_picture_is_counted_and_the_stream_goes_on, "the bad one"),
        (partial(pictures.test_a_new_size_is_told_and_followed, name="grows-http"), "new size"),
    ],
)
def test_what_nobody_looks_for_is_not_seen(unseeing: CameraRun, test: object, fails: str) -> None:
    assert callable(test)
    with pytest.raises(AssertionError, match=fails):
        test(unseeing)


def test_without_a_watch_nothing_comes_back(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        env = sabotage(tmp_path, SUPERVISOR, TRUSTFUL) | limits(grace_s=1.0)
        run = processes.start(tmp_path, stack, env)
        with pytest.raises(AssertionError, match="decoder-1: live"):
            processes.test_a_crash_of_the_decoder_is_its_cameras_own(run)
        with pytest.raises(AssertionError, match="no_progress"):
            processes.test_one_that_stands_still_is_killed_and_started_anew(run)


@pytest.fixture(scope="module")
def regular(tmp_path_factory: pytest.TempPathFactory, ends: contextlib.ExitStack) -> faults.Bench:
    folder = tmp_path_factory.mktemp("cameras")
    bench = faults.Bench(folder, ends, sabotage(folder, CAPTURE, REGULAR))
    ends.enter_context(bench.run)
    return bench


def test_without_reasons_and_dice_none_are_told(regular: faults.Bench) -> None:
    with pytest.raises(AssertionError):
        faults.test_a_client_is_told_why(regular)
    with pytest.raises(AssertionError, match="unknown"):
        faults.test_a_camera_says_why_and_when_and_is_back_when_it_is_well(regular, "refuses")
    with pytest.raises(AssertionError):
        faults.assert_waits_are_diced(regular.run)
