"""A camera with a motion gate: what the pool is told, what is counted, whose slots come back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from fake_pool import balanced

from framefan.ipc.messages import FrameWanted
from framefan_capture.motion_gate import HOLD_S

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fake_pool import FakePool
    from played_camera import Played

    Start = Callable[..., FakePool]

EVERY_S = 0.1
LIVE, STILL = ("live", ""), ("live", "still")


def scene(number: int, x: int | None = None) -> Any:
    """A yard with noise; at `x` stands something. No two pictures are the same to the bit."""
    chance = np.random.default_rng(number)
    picture = np.full((90, 160, 3), 90, np.int16)
    picture[50:, :80] = 140
    picture += chance.integers(-1, 2, picture.shape)
    if x is not None:
        picture[40:60, x : x + 10] = 220
    return picture.astype(np.uint8)


def run(played: Played, seconds: float, moves: bool = False) -> None:
    for _ in range(round(seconds / EVERY_S)):
        number = played.feed.frame
        played.source.picture = scene(number, 5 + number * 3 % 140 if moves else None)
        played.step(every_s=EVERY_S)


def accounted(played: Played) -> bool:
    counted = played.feed.counters
    left_out = counted.bad + counted.no_slot + counted.max_fps + counted.still
    return counted.captured == len(played.ready) + left_out


def test_still_frames_are_counted_and_their_slots_come_back(played: Played):
    played.begin(gate="motion", gate_keep_s=10)
    run(played, 30)
    assert played.told == STILL
    frames = [ready.frame for ready in played.ready]
    assert frames[: int(HOLD_S / EVERY_S)] == list(range(int(HOLD_S / EVERY_S)))
    kept = frames[int(HOLD_S / EVERY_S) :]
    assert np.diff(kept).tolist() == [100] * (len(kept) - 1)
    assert len(kept) in (2, 3)
    assert accounted(played)
    assert played.ready[-1].still == played.ready[-1].captured - len(played.ready)
    assert played.feed.counters.still > 200
    assert len({ready.slot for ready in played.ready}) <= 5

    before = len(played.ready)
    run(played, 3, moves=True)
    assert played.told == LIVE
    assert len(played.ready) - before >= 28
    run(played, 15)
    assert played.told == STILL
    states = [(each.state, each.reason) for each in played.statuses]
    changes = [now for was, now in zip([None, *states], states, strict=False) if was != now]
    assert changes[-4:] == [LIVE, STILL, LIVE, STILL]
    assert accounted(played)


def test_without_a_gate_each_frame_is_told(played: Played):
    played.begin()
    run(played, 10)
    assert played.feed.counters.still == 0
    assert len(played.ready) == played.feed.counters.captured
    assert played.told == LIVE


def test_the_time_of_the_source_decides_where_it_has_one(played: Played):
    """A slow machine and a quick one leave out the same frames of a file."""
    found = []
    for late_s in (0.0, 0.7):
        played.begin("demo", gate="motion", gate_keep_s=5, mode="every")
        played.ready.clear()
        played.step()  # opens
        for number in range(300):
            played.source.picture = scene(number, 40 + number if 100 <= number < 110 else None)
            played.source.pts = number * EVERY_S
            played.step(every_s=late_s)
        found.append([ready.frame for ready in played.ready])
        played.end()
    assert found[0] == found[1]
    hold = int(HOLD_S / EVERY_S)
    assert found[0][:hold] == list(range(hold))
    assert [number for number in found[0] if 50 < number < 100] == [69]
    assert set(range(100, 110 + hold - 1)) <= set(found[0])


def test_a_frame_that_the_pool_asks_for_comes_at_once(played: Played):
    played.begin(gate="motion", gate_keep_s=1000)
    run(played, 10)
    before = len(played.ready)
    played.say(FrameWanted())
    run(played, 1)
    assert len(played.ready) == before + 1
    assert played.told == STILL
    assert accounted(played)


def test_a_new_pool_gets_a_frame_at_once(played: Played):
    played.begin(gate="motion", gate_keep_s=1000)
    run(played, 10)
    played.welcome(frame=played.feed.frame)
    played.ready.clear()
    run(played, 1)
    assert len(played.ready) == 1
    assert accounted(played)


def test_a_gated_camera_may_be_frozen(played: Played):
    played.begin(gate="motion", gate_keep_s=1000, frozen_s=3)
    run(played, 5)
    assert played.told == STILL
    played.step(60, every_s=EVERY_S)
    assert played.told == ("frozen", "same_picture")
    run(played, 1)
    assert played.told == STILL


@pytest.mark.parametrize("stalled_s", [0.4, 2.0])
def test_the_pool_hears_of_still_frames_before_it_takes_the_camera_for_stalled(
    played: Played, stalled_s: float
):
    played.begin(gate="motion", gate_keep_s=1000, stalled_s=stalled_s)
    run(played, 5)
    told = []
    for _ in range(60):
        count = len(played.statuses)
        run(played, EVERY_S)
        told += [played.now] * (len(played.statuses) > count)
    assert np.diff(told).max() < stalled_s
    assert len(told) <= 6 / (0.75 * stalled_s) + 1, "it was told of each frame"


def test_a_still_camera_keeps_to_max_fps(played: Played):
    played.begin(gate="motion", gate_keep_s=1000, max_fps=2, frozen_s=0)
    run(played, 20)
    assert played.source.retrieved <= 20 * 2 + 2
    assert accounted(played)


def test_a_real_camera_reads_what_the_pool_asks_though_it_is_never_idle(
    start: Start, tmp_path: Path
):
    """A network camera is always due: nothing but the gate lets its loop look at the link."""
    (tmp_path / "own.py").write_text(
        "import time\nimport numpy as np\n"
        "def it():\n"
        "    chance = np.random.default_rng(1)\n"
        "    while True:\n"
        "        time.sleep(0.02)\n"
        "        yield chance.integers(90, 94, (90, 160), np.uint8)\n"
    )
    pool = start(f"py:{tmp_path / 'own.py'}:it", gate="motion", gate_keep_s=1000)
    pool.until(lambda p: bool(p.statuses) and p.status.reason == "still")
    count = len(pool.ready)
    assert pool.link is not None
    pool.link.send(FrameWanted())
    pool.until(lambda p: len(p.ready) == count + 1, 2)
    pool.until(lambda p: p.status.still > 100)
    assert len(pool.ready) == count + 1
    assert balanced(pool)


def test_a_file_is_gated_by_its_own_time(start: Start, tmp_path: Path):
    path = str(tmp_path / "yard.avi")
    film = cv2.VideoWriter(path, cv2.VideoWriter.fourcc(*"MJPG"), 10, (160, 90))
    for number in range(200):
        film.write(scene(number, number if 100 <= number < 115 else None))
    film.release()
    found = []
    for fast in (True, False):
        options: dict[str, Any] = {"fast": True} if fast else {"max_fps": 1000}
        pool = start(path, gate="motion", gate_keep_s=4, mode="every", **options)
        pool.until(lambda p: p.state == "ended", 40)
        assert balanced(pool)
        assert pool.status.captured == 200
        found.append([ready.frame for ready in pool.ready])
    assert found[0] == found[1]
    assert set(range(100, 130)) <= set(found[0])
    assert 40 < len(found[0]) < 100
