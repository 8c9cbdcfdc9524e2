"""A camera's states: with a source played by the test, in the test's own time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from played_camera import Played, counters, noise

from framefan.errors import SourceError, UsageError

# ---- frozen --------------------------------------------------------------------------------------


def test_the_same_picture_is_frozen_and_another_one_live_again(played: Played):
    played.begin(frozen_s=10)
    played.step()
    played.step(100, every_s=0.2)
    assert [(status.state, status.reason) for status in played.statuses] == [
        ("connecting", ""),
        ("live", ""),
        ("frozen", "same_picture"),
    ]
    assert played.status.message == "the same picture for 10 s"
    assert len(played.ready) == 100  # served on
    played.source.picture = noise(1)
    played.step(1)
    assert played.told == ("live", "")
    played.step(100, every_s=0.2)
    assert played.told == ("frozen", "same_picture")


def test_zero_never_freezes(played: Played):
    played.begin(frozen_s=0)
    played.step(200, every_s=0.2)
    assert played.told == ("live", "")


def test_a_new_start_looks_anew(played: Played):
    played.begin(frozen_s=10)
    played.step(70, every_s=0.2)
    assert played.told == ("frozen", "same_picture")
    played.source.at_grab = SourceError("closed", "gone")
    played.step()
    assert played.told == ("backoff", "closed")
    played.source.at_grab = None
    played.step(2, every_s=0.2)
    assert played.told == ("live", "")
    played.step(30, every_s=0.2)
    assert played.told == ("live", "")


# ---- max_fps -------------------------------------------------------------------------------------


def test_what_max_fps_leaves_out_is_drained_undecoded_and_counted(played: Played):
    played.begin(max_fps=10, frozen_s=0)
    played.step()
    played.step(300, every_s=1 / 30)
    assert counters(played) == (300, 200, 0, 0)
    assert [ready.frame for ready in played.ready] == list(range(0, 300, 3))
    assert played.source.retrieved == 100
    last = played.ready[-1]
    assert (last.captured, last.max_fps) == (298, 198)


def test_a_turn_without_a_slot_is_open_for_the_next_frame(played: Played):
    played.begin(max_fps=10, frozen_s=0, welcome=False)
    played.welcome(slots=1)
    played.step(4, every_s=1 / 30, free=False)  # opens, and takes 0, leaves 1 and 2
    played.step(2, every_s=1 / 30, free=False)  # 3 and 4 find no slot
    assert counters(played) == (5, 2, 2, 0)
    played.feed.give_back(played.ready[0].slot)
    played.step(1)
    assert [ready.frame for ready in played.ready] == [0, 5]


@pytest.mark.parametrize("options", [{"mode": "every"}, {"fast": True}])
def test_where_nothing_may_be_left_out_reading_slows_down(played: Played, options: Any):
    played.begin("demo", max_fps=10, frozen_s=0, **options)
    played.step()
    began = played.now
    for _ in range(50):
        played.now = max(played.now + 0.002, played.camera.due)  # a little late, as loops are
        played.step()
    assert counters(played) == (50, 0, 0, 0)
    assert played.now - began == pytest.approx(4.9, abs=0.1)


# ---- max_size ------------------------------------------------------------------------------------


def test_larger_pictures_are_scaled_down_and_told_so(played: Played):
    played.begin(max_size="16x16", frozen_s=0)
    sizes = []
    for width, height in [(32, 24), (32, 24), (16, 16), (8, 4), (10, 64)]:
        played.source.picture = np.full((height, width), 9, np.uint8)
        played.step(1 + (not sizes))
        sizes.append((played.ready[-1].width, played.ready[-1].height))
    assert sizes == [(16, 12), (16, 12), (16, 16), (8, 4), (2, 16)]
    assert counters(played) == (5, 0, 0, 0)


def test_a_wrong_size_is_a_usage_error(played: Played):
    with pytest.raises(UsageError):
        played.begin(max_size="720p")
    played.begin()


# ---- pts -----------------------------------------------------------------------------------------


def test_the_sources_own_time_travels_with_the_frame(played: Played):
    played.begin()
    for pts in (0.5, None, 7.25):
        played.source.pts = pts
        played.step(1 + (not played.ready))
    assert [ready.pts for ready in played.ready] == [0.5, None, 7.25]


# ---- stale pictures ------------------------------------------------------------------------------


def test_the_stamp_is_of_the_grab_however_long_decoding_takes(
    played: Played, monkeypatch: pytest.MonkeyPatch
):
    played.begin()
    played.step(2)
    retrieve = played.source.retrieve

    def slowly(view: Any) -> Any:
        played.now += 0.4
        return retrieve(view)

    monkeypatch.setattr(played.source, "retrieve", slowly)
    grabbed_at = played.now
    played.step()
    assert played.ready[-1].captured_at == grabbed_at < played.now


def test_a_stale_picture_is_counted_and_neither_decoded_nor_shown(played: Played):
    played.begin()
    played.step(2)  # opens, and takes the first one
    shown, decoded = len(played.ready), played.source.retrieved
    played.source.stale = True
    played.step(5)
    assert (len(played.ready), played.source.retrieved) == (shown, decoded)
    played.source.stale = False
    played.step()
    assert played.ready[-1].frame == 6
    assert (played.ready[-1].captured, played.ready[-1].no_slot) == (7, 5)


# ---- going on ------------------------------------------------------------------------------------


def test_a_file_is_not_opened_before_a_pool_says_how_far_it_was(played: Played):
    played.begin("a.mp4", welcome=False)
    assert played.camera.due == float("inf")
    played.welcome()
    assert played.camera.due <= played.now


def test_what_was_announced_is_skipped_in_parts(played: Played):
    played.source.length = 20
    played.begin("a.mp4", fast=True, welcome=False)
    played.welcome(frame=10)
    for _ in range(1 + 4):  # opens, and 3 + 3 + 3 + 1
        assert played.camera.due <= played.now
        played.step()
        assert played.ready == []
    played.step(10)
    assert [ready.frame for ready in played.ready] == list(range(10, 20))
    played.step()
    assert played.told == ("ended", "")


def test_skipping_past_what_was_announced_is_no_end(played: Played):
    """Damaged pictures before the last one that was skipped count too."""
    played.source.length = 20
    played.begin("a.mp4", fast=True, loop=True, welcome=False)
    asked: list[int] = []

    def skip(frames: int) -> int:
        asked.append(frames)
        played.source.left -= frames + 2
        return frames + 2

    played.source.skip = skip
    played.welcome(frame=10)
    played.step(3)
    assert asked == [10]
    assert [ready.frame for ready in played.ready] == [10]
    assert played.source.opened == 1


@pytest.mark.parametrize("frame", [6, 7, 8, 12, 100, 703])
def test_a_loop_goes_on_over_its_end(played: Played, frame: int):
    played.source.length = 7
    played.begin("a.mp4", fast=True, loop=True, welcome=False)
    played.welcome(frame=frame)
    while not played.ready:
        played.step()
    assert played.ready[0].frame == frame
    assert played.source.left == 7 - 1 - frame % 7
    assert played.source.opened <= 2


def test_one_that_was_read_to_its_last_frame_ends(played: Played):
    played.source.length = 6
    played.begin("a.mp4", fast=True, welcome=False)
    played.welcome(frame=6)
    played.step(4)
    assert played.told == ("ended", "")
    assert played.ready == []


def test_one_that_had_ended_is_not_even_opened(played: Played):
    played.begin("a.mp4", welcome=False)
    played.welcome(frame=6, ended=True)
    played.pump()
    assert played.told == ("ended", "")
    assert played.camera.due == float("inf")
    assert played.source.opened == 0


def test_what_was_played_by_other_settings_is_not_skipped(played: Played):
    played.source.length = 6
    played.begin("b.mp4", fast=True, welcome=False)
    played.welcome(frame=104, began=100)
    played.step(1 + 2 + 2)
    assert [ready.frame for ready in played.ready] == [104, 105]
    assert played.source.left == 0


def test_a_failure_in_the_middle_goes_on_behind_it(played: Played):
    played.source.length = 10
    played.begin("a.mp4", fast=True)
    played.step(5)
    played.source.at_grab = SourceError("unreadable", "the disk hiccups")
    played.step()
    assert played.told == ("backoff", "unreadable")
    played.source.at_grab = None
    played.now = played.camera.due
    played.step(1 + 2 + 6 + 1)  # opens, skips four, takes six, finds the end
    assert played.told == ("ended", "")
    assert [ready.frame for ready in played.ready] == list(range(10))


def test_a_camera_has_nothing_to_skip(played: Played):
    played.begin(welcome=False)
    played.welcome(frame=1000)
    played.step(2)
    assert [ready.frame for ready in played.ready] == [1000]


def test_an_end_without_a_picture_is_a_failure_also_in_a_loop(played: Played):
    """Else it would be opened and ended again as fast as the processor can."""
    played.source.length = 3
    played.begin("py:a.py:it", fast=True, loop=True)
    played.step(1 + 3 + 1 + 1)
    played.source.length = 0
    played.source.left = 0
    assert played.told == ("live", "")
    played.step()
    assert played.told == ("backoff", "unreadable")
