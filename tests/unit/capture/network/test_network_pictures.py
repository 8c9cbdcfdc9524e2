"""What comes out of network cameras, and what is said when their streams go wrong."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import fake_rtsp
import numpy as np
import pytest
from fake_camera import Close, FakeCamera, Frames, Stall
from network_words import SECRET, SILENCE_S, both, grab_until_it_fails, is_run_on
from waiting import SCALE, is_within

from framefan.base import clock
from framefan_capture.sources.scene import read_number

if TYPE_CHECKING:
    from fake_camera import Step
    from network_words import Open


# ---- pictures ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocol", "transport"), [("rtsp", "tcp"), ("rtsp", "udp"), ("http", "tcp")]
)
def test_pictures_come_in_order_into_the_slot_and_at_once(
    protocol: str, transport: str, opened: Open
):
    with FakeCamera(protocol, (640, 360 + 8 - 360 % 8)) as camera:
        before = clock.now()
        source = opened(camera.url, transport=transport)
        view = np.zeros((camera.size[1], camera.size[0], 3), np.uint8)
        assert source.grab(0)
        assert is_within(before, 0.6)
        seen = []
        for frame in range(20):
            assert source.grab(frame)
            assert not source.stale
            image = source.retrieve(view)
            assert (image is view) == (protocol == "rtsp")
            seen.append(read_number(image))
            assert camera.frames - seen[-1] <= 8
        assert seen[0] is not None
        assert is_run_on(seen)
        assert list(camera.transports) == ([transport] if protocol == "rtsp" else [])


@both
def test_the_time_on_the_cameras_own_clock(protocol: str, opened: Open):
    """A pause of the camera is in it; multipart JPEG has none."""
    with FakeCamera(protocol) as camera:
        camera.play(Frames(12, fps=20), Stall(0.3), Frames(fps=20))
        source = opened(camera.url)
        times = [source.pts for frame in range(20) if source.grab(frame)]
        if protocol == "http":
            assert times == [None] * 20
        else:
            steps = [after - before for before, after in itertools.pairwise(times)]
            assert 0.25 < max(steps) < 0.25 + 0.2 * SCALE
            assert 0.045 < sorted(steps)[10] < 0.055


@both
@pytest.mark.parametrize("kind", ["cut", "noise"])
def test_a_damaged_picture_is_skipped_and_the_stream_goes_on(
    protocol: str, kind: str, opened: Open
):
    """Counted over HTTP; OpenCV leaves it out of RTSP without a word."""
    with FakeCamera(protocol) as camera:
        camera.play(Frames(6), Frames(1, kind=kind), Frames())
        source = opened(camera.url, read_timeout_s=SILENCE_S)
        seen, skipped = [], 0
        for frame in range(12):
            assert source.grab(frame)
            skipped += source.skipped
            seen.append(read_number(source.retrieve(None)))
        assert 6 not in seen
        assert 11 in seen
        assert skipped == (protocol == "http")


def test_a_packet_lost_over_udp_costs_its_picture_only(
    opened: Open, monkeypatch: pytest.MonkeyPatch
):
    whole = fake_rtsp._Rtp.packets

    def packets(self: Any, picture: bytes, at_s: float) -> list[bytes]:
        sent = list(whole(self, picture, at_s))
        return sent[:3] + sent[4:] if camera.frames == 11 else sent

    monkeypatch.setattr(fake_rtsp._Rtp, "packets", packets)
    with FakeCamera("rtsp", (640, 480)) as camera:
        source = opened(camera.url, transport="udp", read_timeout_s=2 * SCALE)
        seen, late = [], []
        for frame in range(20):
            assert source.grab(frame)
            seen.append(read_number(source.retrieve(None)))
            late.append(camera.frames - (seen[-1] or camera.frames))
        assert 20 in seen
        assert set(range(1, 21)) - set(seen) <= {9, 10, 11}
        assert max(late) <= 10


# ---- streams that go wrong -----------------------------------------------------------------------


def test_a_stream_without_one_good_picture_did_not_close(opened: Open):
    """The camera is still sending."""
    with FakeCamera("http") as camera:
        camera.play(Frames(kind="noise"))
        source = opened(camera.url, open_timeout_s=SILENCE_S, read_timeout_s=SILENCE_S)
        assert grab_until_it_fails(source).reason == "unreadable"


@both
@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ((Frames(6), Stall()), "timeout"),
        ((Frames(6),), "closed"),
        ((Frames(6), Close()), "closed"),
        ((Frames(1), Frames(fps=0.1)), "timeout"),
    ],
    ids=repr,
)
def test_a_stream_that_stops(protocol: str, script: tuple[Step, ...], reason: str, opened: Open):
    with FakeCamera(protocol) as camera:
        camera.play(*script)
        source = opened(camera.url.replace("//", f"//user:{SECRET}@"), read_timeout_s=SILENCE_S)
        before = clock.now()
        assert grab_until_it_fails(source).reason == reason
        assert is_within(before, 2 * SILENCE_S + 2)


def test_a_stream_of_nothing_but_damage_is_corrupt(opened: Open):
    with FakeCamera("http") as camera:
        camera.play(Frames(6), Frames(kind="noise"))
        source = opened(camera.url, read_timeout_s=1.5 * SCALE)
        assert grab_until_it_fails(source).reason == "corrupt"
