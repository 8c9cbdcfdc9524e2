"""A camera that fails: when it is tried again, what it says, and what ends the run."""

from __future__ import annotations

import numpy as np
import pytest
from played_camera import Played, counters, noise

from framefan.base import host
from framefan.errors import SourceError, StartError
from framefan_capture.camera import LEAST_WAIT_S, LOGIN_WAIT_S
from framefan_capture.frame_writer import BAD_IN_A_ROW


@pytest.mark.parametrize(("cap_s", "wait_s"), [(30.0, LOGIN_WAIT_S), (2.0, 2.0)])
def test_a_refused_login_is_tried_rarely(played: Played, cap_s: float, wait_s: float):
    """Cameras lock out who tries too often."""
    played.source.at_open = SourceError("unauthorised", "the camera did not let framefan in")
    played.begin(backoff_first_s=0.1, backoff_cap_s=cap_s)
    played.step()
    assert played.camera.due - played.now == pytest.approx(wait_s)


def test_a_dead_camera_is_tried_for_ever_after_waits(played: Played):
    played.source.at_open = SourceError("refused", "nobody listens", "the port is closed")
    played.begin(welcome=False, backoff_first_s=0.5, backoff_cap_s=4)
    assert played.camera.due <= played.now  # a network camera is not kept from its start
    played.camera.step()
    played.welcome()
    for _ in range(100):
        wait_s = played.camera.due - played.now
        assert LEAST_WAIT_S - 1e-6 <= wait_s <= 4
        played.now = played.camera.due
        played.step()
    assert played.told == ("backoff", "refused")
    assert played.status.message == "nobody listens. the port is closed"
    played.source.at_open = None
    played.now = played.camera.due
    played.step(2)
    assert played.told == ("live", "")


def test_no_setting_makes_a_retry_spin(played: Played):
    played.source.at_open = SourceError("refused", "nobody listens")
    played.begin(backoff_first_s=0, backoff_cap_s=0)
    played.step()
    assert played.camera.due - played.now == pytest.approx(LEAST_WAIT_S)


def test_a_healthy_minute_is_a_fresh_start(played: Played):
    played.begin(backoff_first_s=1, backoff_cap_s=1000, frozen_s=5)
    for _ in range(12):
        played.source.at_grab = SourceError("closed", "gone")
        played.step(2)
        played.now = played.camera.due
    played.source.at_grab = None
    played.step(400, every_s=0.2)  # frozen is no illness
    assert played.told == ("frozen", "same_picture")
    played.source.at_grab = SourceError("closed", "gone")
    played.step()
    assert played.camera.due - played.now <= 1


def test_corrupt_pictures_are_counted_and_too_many_open_a_camera_anew(played: Played):
    played.begin()
    played.step(3)
    played.source.at_retrieve = SourceError("corrupt", "a picture could not be decoded")
    played.step(BAD_IN_A_ROW - 1)
    assert played.told == ("live", "")
    assert counters(played) == (2 + BAD_IN_A_ROW - 1, 0, 0, BAD_IN_A_ROW - 1)
    played.step()
    assert played.told == ("backoff", "corrupt")


def test_a_format_that_is_none_of_ours_is_unsupported(played: Played):
    played.begin()
    played.step(2)
    played.source.picture = np.zeros((24, 32, 2), np.uint8)
    played.step()
    assert played.told == ("backoff", "unsupported")
    assert "uint8[24,32,2]" in played.status.message
    assert counters(played) == (2, 0, 0, 1)
    assert played.feed.has_room


def test_a_file_of_an_unsupported_format_ends_the_run(played: Played):
    played.source.length = 3
    played.source.picture = np.zeros((24, 32, 2), np.uint8)
    played.begin("a.mp4", fast=True)
    played.step(4)
    with pytest.raises(StartError) as caught:
        played.step()
    assert "uint8[24,32,2]" in caught.value.why
    assert caught.value.fix


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "available_bytes", lambda: 300 << 20)


LARGE = np.zeros((4000, 4000, 3), np.uint8)


@pytest.mark.parametrize("text", ["rtsp://host/x", "0", "py:a.py:it"])
def test_pictures_too_large_for_the_memory_are_a_cameras_failure(
    played: Played, full: None, text: str
):
    played.source.picture = LARGE
    played.begin(text)
    played.step(2)
    assert played.told == ("backoff", "too_large")
    assert "need 240,009,216 bytes of shared memory" in played.status.message
    assert "314,572,800 bytes are available" in played.status.message
    assert counters(played) == (1, 0, 0, 1)
    played.source.picture = noise(1)
    played.now = played.camera.due
    played.step(2)
    assert played.told == ("live", "")


def test_pictures_that_grow_too_large_keep_the_slots_there_are(played: Played, full: None):
    played.begin()
    played.step(3)
    for _ in range(20):  # more often than there are slots
        played.source.picture = LARGE
        played.step()
        assert played.told == ("backoff", "too_large")
        played.source.picture = noise(1)
        played.now = played.camera.due
        played.step(2)
    assert played.told == ("live", "")
    captured, _, _, bad = counters(played)
    assert captured == len(played.ready) + bad == 42
    assert bad == 20


def test_a_file_too_large_ends_the_run_unless_it_has_been_live(played: Played, full: None):
    played.source.picture = LARGE
    played.begin("a.mp4", fast=True)
    with pytest.raises(StartError, match="shared memory"):
        played.step(2)
    played.source.picture = noise(1)
    played.step(1)
    played.source.picture = LARGE
    played.step()
    assert played.told == ("backoff", "too_large")


def test_more_slots_than_there_is_memory_for_leave_those_there_are(
    played: Played, monkeypatch: pytest.MonkeyPatch
):
    played.begin()
    played.step(3)
    monkeypatch.setattr(host, "available_bytes", lambda: 0)
    played.resize(100)
    played.step(20)
    assert played.told == ("live", "")
    assert len(played.ready) == 22
