"""What tests of cameras show without the guard that each of them is about: they fail."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import test_camera
import test_camera_failures
import test_network
import test_network_cameras
import test_source
from fake_camera import Status
from faults import sabotage

from framefan.errors import SourceError
from framefan_capture import camera, frame_writer
from framefan_capture.network import probe

if TYPE_CHECKING:
    from conftest import Start
    from played_camera import Played


def test_without_asking_it_every_camera_fails_for_the_same_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(probe, "explain", lambda *_: SourceError("unreadable", "it does not open"))
    for reason in ("unauthorised", "not_found"):
        status = Status({"unauthorised": 401, "not_found": 404}[reason])
        with pytest.raises(AssertionError):
            test_network.test_the_reason_why_a_camera_does_not_open("rtsp", (status,), reason)


def test_without_the_least_wait_retries_spin(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera, "LEAST_WAIT_S", 0.0)
    with pytest.raises(AssertionError):
        test_camera_failures.test_no_setting_makes_a_retry_spin(played)


def test_without_a_rest_cameras_lock_us_out(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(camera, "LOGIN_WAIT_S", 0.0)
    with pytest.raises(AssertionError):
        test_camera_failures.test_a_refused_login_is_tried_rarely(played, 30.0, 10.0)


def test_without_patience_one_bad_picture_ends_a_stream(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frame_writer, "BAD_IN_A_ROW", 1)
    with pytest.raises(AssertionError):
        test_camera_failures.test_corrupt_pictures_are_counted_and_too_many_open_a_camera_anew(
            played
        )


def test_without_a_look_an_empty_source_is_opened_for_ever(
    played: Played, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = property(lambda _: False, lambda *_: None)
    monkeypatch.setattr(camera.Camera, "_is_empty", full, raising=False)
    with pytest.raises(AssertionError):
        test_camera.test_an_end_without_a_picture_is_a_failure_also_in_a_loop(played)


def test_without_conversion_pictures_of_other_formats_come_through(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(test_source, "as_bgr", lambda image: image)
    with pytest.raises(AssertionError):
        test_source.test_pictures_of_any_depth_become_eight_bits()
    with pytest.raises(pytest.fail.Exception):
        test_source.test_other_formats_are_refused_by_name(np.zeros((2, 2, 5), "uint8"))


def test_without_its_rhythm_what_piled_up_is_shown(
    start: Start,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code = """
import framefan_capture.network.stale_detector as rhythm
rhythm.StaleDetector.is_stale = property(lambda self: False, lambda self, value: None)
"""
    folder = tmp_path_factory.mktemp("broken")
    for key, value in sabotage(folder, "framefan_capture.main", code).items():
        monkeypatch.setenv(key, value)
    with pytest.raises(AssertionError):
        test_network_cameras.test_what_piled_up_while_the_process_stood_still_is_not_shown(
            "rtsp", start
        )
