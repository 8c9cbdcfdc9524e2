"""The real capture process against a pool and a supervisor played by the test."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import psutil
import pytest
from fake_pool import FakePool, balanced
from fakes_sources import make_mp4, make_video

from framefan.base import clock
from framefan_capture.sources.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Callable

    Start = Callable[..., FakePool]

SCENE = Scene(320, 240)
DEMO = "demo?size=320x240&fps=100"


def ended(pool: FakePool) -> bool:
    return pool.state == "ended"


# ---- the normal way ------------------------------------------------------------------------------


def test_frames_arrive_in_the_ring_with_their_facts(start: Start):
    pool = start(DEMO, mode="every")  # a slow test drops nothing
    pool.until(lambda p: len(p.ready) >= 100)
    assert pool.numbers == list(range(len(pool.ready)))
    assert [ready.frame for ready in pool.ready] == pool.numbers
    assert [ready.captured for ready in pool.ready] == list(range(1, len(pool.ready) + 1))
    assert len(pool.made) == 1
    assert (pool.made[0].slots, pool.made[0].slot_bytes) == (5, 320 * 240 * 3 // 4096 * 4096 + 4096)
    last = pool.ready[-1]
    assert (last.width, last.height, last.bad, last.no_slot) == (320, 240, 0, 0)
    assert abs(clock.now() - last.captured_at) < 5
    assert abs(clock.wall() - last.ts) < 5
    stamps = [ready.captured_at for ready in pool.ready]
    assert stamps == sorted(stamps)
    assert pool.hellos[0].camera == "cam1"
    assert pool.hellos[0].pid == pool.child.pid


def test_the_demo_is_paced_and_its_rate_measured(start: Start):
    pool = start(DEMO)
    pool.until(lambda p: len(p.ready) >= 300)
    taken_s = pool.ready[-1].captured_at - pool.ready[0].captured_at
    assert taken_s > 2.5
    pool.until(lambda p: p.state == "live" and p.status.fps > 0)
    assert 50 < pool.status.fps < 110


def test_states_and_progress_come_without_being_asked(start: Start):
    pool = start(DEMO)
    pool.until(lambda p: len(p.statuses) >= 4 and len(p.progress) >= 3)
    states = [status.state for status in pool.statuses]
    assert states[0] == "connecting"
    assert set(states[1:]) == {"live"}
    counts = [progress.count for progress in pool.progress]
    assert counts == sorted(set(counts))


def test_numbers_begin_where_the_pool_says(start: Start):
    pool = start(DEMO, mode="every")  # a slow test drops nothing
    pool.first_frame = 70_000
    pool.until(lambda p: len(p.ready) >= 5)
    assert pool.numbers[:5] == [70_000 + offset for offset in range(5)]
    assert [ready.frame for ready in pool.ready] == pool.numbers
    assert pool.ready[0].captured == 1


@pytest.mark.parametrize("how", ["message", "sigterm", "end of link"])
def test_a_stop_is_clean(start: Start, how: str):
    pool = start(DEMO)
    pool.until(lambda p: len(p.ready) >= 5)
    if how == "message":
        pool.stop()
    elif how == "sigterm":
        pool.child.terminate()
    else:
        pool.child.link.close()
        pool.supervisor_closed = True
    assert pool.until_exit() == 0
    assert pool.link_closed


def test_ctrl_c_is_left_to_the_supervisor(start: Start):
    pool = start(DEMO)
    pool.until(lambda p: len(p.ready) >= 5)
    os.kill(pool.child.pid, signal.SIGINT)
    seen = len(pool.ready)
    pool.until(lambda p: len(p.ready) >= seen + 50)


# ---- files ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["live", "every"])
def test_a_file_gives_each_frame_then_ends_and_waits(start: Start, tmp_path: Path, mode: str):
    path = make_mp4(tmp_path / "a.mp4", SCENE, 60)
    pool = start(path, mode=mode, fast=True)
    pool.until(ended)
    assert pool.numbers == list(range(60))
    assert balanced(pool)
    reports = len(pool.statuses)
    pool.until(lambda p: len(p.statuses) > reports and ended(p))  # alive, and idle
    assert pool.status.captured == 60
    pool.stop()
    assert pool.until_exit() == 0


def test_a_loop_goes_on_with_new_numbers(start: Start, tmp_path: Path):
    path = make_mp4(tmp_path / "a.mp4", SCENE, 10)
    pool = start(path, loop=True, fast=True)
    pool.until(lambda p: len(p.ready) >= 35)
    assert [ready.frame for ready in pool.ready] == list(range(len(pool.ready)))
    assert pool.numbers == [n % 10 for n in range(len(pool.ready))]


def test_every_waits_for_slots_and_loses_nothing(start: Start, tmp_path: Path):
    path = make_mp4(tmp_path / "a.mp4", SCENE, 40)
    pool = start(path, mode="every", fast=True, slots=3)
    pool.free_at_once = False
    pool.until(lambda p: len(p.ready) == 3)
    reports, used = len(pool.statuses), pool.cpu_s()
    pool.until(lambda p: len(p.statuses) >= reports + 2)
    assert len(pool.ready) == 3
    assert pool.progress[-1].count > pool.progress[0].count  # waiting is progress
    assert pool.cpu_s() - used < 0.2
    freed = 0
    while not ended(pool):
        pool.free(pool.ready[freed])
        freed += 1
        pool.until(lambda p, n=freed: len(p.ready) > n or ended(p) or p.status.captured == 40)
        if len(pool.ready) == 40:
            pool.free(*pool.ready[freed:])
            pool.until(ended)
    assert pool.numbers == list(range(40))
    assert pool.status.no_slot == 0
    assert balanced(pool)


def test_live_drops_what_finds_no_slot_and_counts_it(start: Start):
    pool = start(DEMO, slots=2)
    pool.free_at_once = False
    pool.until(lambda p: bool(p.statuses) and p.status.no_slot >= 50)
    assert len(pool.ready) == 2
    pool.free(*pool.ready)
    pool.until(lambda p: len(p.ready) == 4)
    assert pool.ready[2].frame > 50
    assert pool.numbers == [ready.frame for ready in pool.ready]
    pool.until(balanced)


def test_bad_pictures_are_counted_and_their_slots_come_back(start: Start, tmp_path: Path):
    good = [0, 1, 8, 9]
    for number in range(10):
        if number in good:
            cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((40, 60, 3), number, np.uint8))
        else:  # more of them than there are slots
            (tmp_path / f"{number}.png").write_text("no image")
    pool = start(tmp_path / "%d.png", mode="every", fast=True, slots=3)
    pool.until(ended)
    assert [ready.frame for ready in pool.ready] == good
    assert (pool.status.captured, pool.status.bad) == (10, 6)
    assert balanced(pool)


def test_a_damaged_frame_of_a_video_has_its_number(start: Start, tmp_path: Path):
    path = make_video(tmp_path / "a.avi", SCENE, 6, 30, "MJPG")
    data = bytearray(path.read_bytes())
    starts = [at for at in range(len(data) - 1) if data[at : at + 2] == b"\xff\xd8"]
    data[starts[2] : starts[3] - 60] = bytes(starts[3] - 60 - starts[2])
    path.write_bytes(data)
    pool = start(path, mode="every", fast=True)
    pool.until(ended)
    assert pool.numbers == [0, 1, 3, 4, 5]
    assert [ready.frame for ready in pool.ready] == pool.numbers
    assert (pool.status.captured, pool.status.bad) == (6, 1)


def test_pictures_of_another_size_fit_or_make_a_new_ring(start: Start, tmp_path: Path):
    sizes = [(60, 40), (30, 20), (60, 40), (200, 100), (60, 40)]
    for number, (width, height) in enumerate(sizes):
        picture = np.full((height, width, 3), 10 * number, np.uint8)
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture)
    pool = start(tmp_path / "*.png", mode="every", fast=True)
    pool.free_at_once = False
    pool.until(lambda p: len(p.ready) == 5)
    assert [(ready.width, ready.height) for ready in pool.ready] == sizes
    for number, ready in enumerate(pool.ready):
        assert (pool.image(ready) == 10 * number).all()
    assert len(pool.made) == 2
    assert len({ready.ring for ready in pool.ready[:3]}) == 1
    pool.until(ended)
    pool.free(*pool.ready)  # those of the old ring are ignored
    reports = len(pool.statuses)
    pool.until(lambda p: len(p.statuses) > reports + 1)
    assert pool.fatal == []


# ---- what cannot be played -----------------------------------------------------------------------


def test_a_source_that_cannot_be_played_ends_the_run(start: Start, tmp_path: Path):
    text = tmp_path / "text.mp4"
    text.write_text("no video\n" * 1000)
    (tmp_path / "a.png").write_text("no image")
    for source, code in {
        tmp_path / "nowhere.mp4": 3,
        text: 3,
        tmp_path: 3,
        tmp_path / "*.png": 3,
        tmp_path / "*.jpg": 3,
        "demo?sise=1": 2,
        "rtsp:///nohost": 2,
    }.items():
        pool = start(source)
        assert pool.until_exit(15) == code, source
        (fatal,) = pool.fatal
        assert fatal.exit_code == code
        assert fatal.what
        assert fatal.why
        assert fatal.fix
        assert "\n" not in fatal.what + fatal.why + fatal.fix


def test_an_opencv_that_does_not_import_ends_the_run_by_a_word(
    start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "cv2.py").write_text("raise ImportError('libxcb.so.1: cannot open')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    pool = start("demo")
    assert pool.until_exit(15) == 3
    (fatal,) = pool.fatal
    assert "OpenCV" in fatal.what
    assert "libxcb" in fatal.why
    assert "framefan doctor" in fatal.fix


# ---- the pool's life -----------------------------------------------------------------------------


def test_a_new_pool_gets_a_new_ring_and_counters_from_zero(start: Start):
    pool = start(DEMO)
    pool.until(lambda p: len(p.ready) >= 30)
    last, ring = pool.ready[-1].frame, pool.made[-1].ring
    pool.die()
    pool.until(lambda p: len(p.ready) >= 30)
    assert len(pool.hellos) == 2
    assert pool.hellos[1].frame > last
    assert pool.made[0].ring != ring
    assert pool.statuses[0].state == "live"
    assert pool.ready[0].captured == 1
    assert pool.ready[0].frame == pool.hellos[1].frame
    assert pool.numbers == [ready.frame for ready in pool.ready]
    # A source that can wait did: what nobody could take was not taken.
    assert pool.hellos[1].frame - last < 15


def test_a_file_loses_nothing_by_a_new_pool_but_what_the_old_one_had(start: Start, tmp_path: Path):
    path = make_mp4(tmp_path / "a.mp4", SCENE, 60)
    pool = start(path, mode="every", fast=True, slots=3)
    pool.free_at_once = False
    pool.until(lambda p: len(p.ready) == 3)
    pool.free_at_once = True
    pool.die()
    pool.until(ended)
    assert pool.numbers == list(range(3, 60))
    pool.die()
    pool.until(ended)  # a pool that comes later still hears that the file has ended


def test_a_file_stands_still_while_there_is_no_pool(start: Start, tmp_path: Path):
    path = make_mp4(tmp_path / "a.mp4", SCENE, 100, fps=50)
    pool = start(path)
    pool.until(lambda p: len(p.ready) >= 10)
    last = pool.numbers[-1]
    assert last is not None
    pool.is_away = True
    pool.die()
    since = clock.now()
    pool.until(lambda p: clock.now() - since > 1)
    pool.is_away = False
    pool.until(lambda p: len(p.ready) >= 5)
    assert pool.numbers[0] is not None
    assert pool.numbers[0] < last + 15  # it would be 50 further


def test_slots_come_and_go_by_the_pools_word(start: Start):
    pool = start(DEMO)
    pool.until(lambda p: len(p.ready) >= 10)
    pool.resize(9)
    pool.until(lambda p: len(p.made) == 2)
    assert pool.made[1].slots == 9
    seen = len(pool.ready)
    pool.until(lambda p: len(p.ready) >= seen + 50)
    assert pool.numbers == [ready.frame for ready in pool.ready]
    assert pool.ready[-1].ring == pool.made[1].ring


def test_old_rings_are_let_go(start: Start):
    pool = start(DEMO)
    pool.until(lambda p: len(p.ready) >= 5)
    process = psutil.Process(pool.child.pid)
    before = process.num_fds()
    for slots in (6, 7, 8, 9):
        pool.resize(slots)
        pool.until(lambda p, s=slots: p.made[-1].slots == s)
    assert process.num_fds() == before
    maps = Path(f"/proc/{pool.child.pid}/maps").read_text()
    assert maps.count("memfd:") <= 2
