"""Cameras in real capture processes: what test_camera.py shows in its own time, for real."""

from __future__ import annotations

import gc
import socket
import threading
from typing import TYPE_CHECKING

import cv2
import numpy as np
import psutil
import pytest
from fake_pool import FakePool, balanced
from fakes_sources import make_mp4, make_video
from faults import sabotage

from framefan.base import clock
from framefan.ipc.messages import Welcome
from framefan.settings.run import CameraSettings
from framefan.settings.secret import SourceText
from framefan_capture import camera as camera_module
from framefan_capture.camera import Camera, State
from framefan_capture.pool_link import PoolLink
from framefan_capture.sources.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Start = Callable[..., FakePool]

SCENE = Scene(320, 240)
DEMO = "demo?size=320x240&fps=100"


def ended(pool: FakePool) -> bool:
    return pool.state == "ended"


# ---- frozen, max_fps, max_size, pts --------------------------------------------------------------

FREEZING = """
import pathlib, time
import numpy as np
def it():
    n = 0
    while True:
        n += pathlib.Path({there!r}).exists()
        yield np.full((24, 32), n % 256, np.uint8)
        time.sleep(0.02)
"""


def test_a_real_camera_freezes_and_thaws(start: Start, tmp_path: Path):
    (tmp_path / "own.py").write_text(FREEZING.format(there=str(tmp_path / "there")))
    pool = start(f"py:{tmp_path / 'own.py'}:it", frozen_s=1)
    pool.until(lambda p: p.state == "frozen")
    assert pool.status.reason == "same_picture"
    seen = len(pool.ready)
    pool.until(lambda p: len(p.ready) >= seen + 20)
    (tmp_path / "there").touch()
    pool.until(lambda p: p.state == "live")


def test_a_real_camera_keeps_to_max_fps(start: Start):
    pool = start(DEMO, max_fps=10)
    pool.until(lambda p: len(p.ready) >= 25)
    taken_s = pool.ready[-1].captured_at - pool.ready[0].captured_at
    assert len(pool.ready) - 2 <= taken_s * 10
    assert pool.numbers == [ready.frame for ready in pool.ready]
    pool.until(balanced)
    assert pool.status.max_fps > 100


def test_in_every_mode_max_fps_leaves_nothing_out(start: Start):
    pool = start(DEMO + "0&frames=30", mode="every", fast=True, max_fps=20)
    pool.until(ended)
    assert pool.numbers == list(range(30))
    assert pool.status.max_fps == 0
    assert pool.ready[-1].captured_at - pool.ready[0].captured_at > 1.2


def test_a_real_picture_is_scaled_to_max_size(start: Start):
    pool = start("demo?size=640x480&frames=3", mode="every", fast=True, max_size="320x320")
    pool.free_at_once = False
    pool.until(ended)
    assert [(ready.width, ready.height) for ready in pool.ready] == [(320, 240)] * 3
    assert pool.made[0].slot_bytes < 240_000
    drawn = np.empty((480, 640, 3), np.uint8)
    Scene(640, 480).draw(2, drawn)
    expected = cv2.resize(drawn, (320, 240), interpolation=cv2.INTER_AREA)
    assert (pool.image(pool.ready[2]) == expected).all()


def test_a_wrong_max_size_ends_the_run(start: Start):
    pool = start(DEMO, max_size="720p")
    assert pool.until_exit() == 2
    assert "720p" in pool.fatal[0].what


def test_the_demo_and_patterns_have_a_clock_of_their_own(start: Start, tmp_path: Path):
    for number in range(3):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((24, 32), number, np.uint8))
    pool = start(tmp_path / "*.png", mode="every", fast=True)
    pool.until(ended)
    assert [ready.pts for ready in pool.ready] == pytest.approx([0, 1 / 30, 2 / 30])
    pool = start(DEMO, mode="every")
    pool.first_frame = 500
    pool.until(lambda p: len(p.ready) >= 3)
    assert [ready.pts for ready in pool.ready[:3]] == pytest.approx([5, 5.01, 5.02])


# ---- going on ------------------------------------------------------------------------------------


def many(folder: Path, kind: str, frames: int) -> str:
    """A source of so many pictures; each shows its number."""
    if kind == "demo":
        return f"demo?size=320x240&fps=100&frames={frames}"
    if kind == "pattern":
        picture = np.empty((240, 320, 3), np.uint8)
        for number in range(frames):
            SCENE.draw(number, picture)
            cv2.imwrite(str(folder / f"{number:03}.png"), picture)
        return str(folder / "%03d.png")
    suffix = "mp4" if kind == "mp4v" else "avi"
    return str(make_video(folder / f"a.{suffix}", SCENE, frames, 30, kind))


@pytest.mark.parametrize("kind", ["mp4v", "MJPG", "pattern", "demo"])
def test_a_capture_that_was_killed_is_gone_on_from_where_it_was(
    start: Start, tmp_path: Path, kind: str
):
    text = many(tmp_path, kind, 60)
    first = start(text, mode="every", fast=True, slots=3)
    first.until(lambda p: len(p.ready) >= 20)
    first.child.kill()
    first.until(lambda p: p.link_closed)
    seen = [ready.frame for ready in first.ready]
    assert seen == list(range(len(seen)))
    second = start(text, mode="every", fast=True)
    second.first_frame = len(seen)
    second.until(ended)
    assert [ready.frame for ready in second.ready] == list(range(len(seen), 60))
    if kind != "demo" or len(seen) < 60:
        assert second.numbers == [ready.frame for ready in second.ready]


def test_a_looped_file_goes_on_over_its_end(start: Start, tmp_path: Path):
    path = make_mp4(tmp_path / "a.mp4", SCENE, 10)
    pool = start(path, mode="every", fast=True, loop=True)
    pool.first_frame = 1025
    pool.until(lambda p: len(p.ready) >= 20)
    assert pool.ready[0].frame == 1025
    assert pool.numbers == [(5 + n) % 10 for n in range(len(pool.ready))]


def test_a_file_that_had_ended_stays_ended(start: Start, tmp_path: Path):
    path = make_mp4(tmp_path / "a.mp4", SCENE, 10)
    pool = start(path, mode="every", fast=True)
    pool.first_frame, pool.says_ended = 10, True
    pool.until(ended)
    reports = len(pool.statuses)
    pool.until(lambda p: len(p.statuses) > reports)
    assert pool.ready == []
    assert {status.state for status in pool.statuses} == {"ended"}


def test_a_file_that_has_gone_since_is_waited_for(start: Start, tmp_path: Path):
    pool = start(tmp_path / "a.mp4", backoff_first_s=0.1, backoff_cap_s=0.2)
    pool.first_frame = 10
    pool.until(lambda p: p.state == "backoff")
    assert pool.status.reason == "not_found"
    make_mp4(tmp_path / "new.mp4", SCENE, 20).rename(tmp_path / "a.mp4")
    pool.until(ended)
    assert pool.numbers == list(range(10, 20))
    assert pool.fatal == []


# ---- what a dead camera costs --------------------------------------------------------------------


def refused() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return f"rtsp://127.0.0.1:{server.getsockname()[1]}/x"


DEAD = {
    "raises": "def it():\n    raise OSError('no signal')",
    "yields nothing": "def it():\n    yield from ()",
    "gives nothing": "def it():\n    return None",
    "gives no picture": "def it():\n    return 5",
}


@pytest.mark.parametrize("what", ["refused", *DEAD])
def test_a_dead_camera_costs_nearly_nothing(start: Start, tmp_path: Path, what: str):
    """Whatever the settings say of its waits."""
    text = refused()
    if what in DEAD:
        (tmp_path / "own.py").write_text(DEAD[what])
        text = f"py:{tmp_path / 'own.py'}:it"
    pool = start(text, loop=True, backoff_first_s=0, backoff_cap_s=0)

    def tries() -> int:
        return sum(status.state == "connecting" for status in pool.statuses)

    pool.until(lambda p: tries() >= 3)  # what is loaded for the first failure is no cost of waiting
    used, since, before = pool.cpu_s(), clock.now(), tries()
    pool.until(lambda p: clock.now() - since > 2)
    assert pool.cpu_s() - used < 0.05 * 2
    assert 5 < tries() - before < 30


def test_without_the_least_wait_it_costs_much(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    code = "import framefan_capture.camera as camera\ncamera.LEAST_WAIT_S = 0.0"
    for key, value in sabotage(tmp_path, "framefan_capture.main", code).items():
        monkeypatch.setenv(key, value)
    with pytest.raises(AssertionError):
        test_a_dead_camera_costs_nearly_nothing(start, tmp_path, "raises")


@pytest.mark.parametrize("what", ["refused", "raises"])
def test_two_thousand_tries_leave_nothing_behind(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
):
    monkeypatch.setattr(camera_module, "LEAST_WAIT_S", 0.0)
    text = refused()
    if what == "raises":
        (tmp_path / "own.py").write_text(DEAD["raises"])
        text = f"py:{tmp_path / 'own.py'}:it"
    camera = Camera(
        CameraSettings(
            name="cam1", source=SourceText(text), backoff_first_s=0.001, backoff_cap_s=0.001
        ),
        welcomed := PoolLink("nowhere", "cam1"),
    )
    welcomed.first_welcome = Welcome("e1", 0, 5)
    camera.welcomed()
    process = psutil.Process()
    footprints = []
    for tries in (200, 2000):
        fail(camera, tries)
        gc.collect()
        footprints.append((process.num_fds(), threading.active_count(), process.memory_info().rss))
    (fds, threads, rss), (fds_after, threads_after, rss_after) = footprints
    assert fds_after == fds
    assert threads_after <= threads
    assert rss_after - rss < 2 << 20


def fail(camera: Camera, tries: int) -> None:
    deadline = clock.now() + 30
    failed = 0
    while failed < tries:
        assert clock.now() < deadline
        if camera.due <= clock.now():
            camera.step()
            failed += camera.state is State.BACKOFF
