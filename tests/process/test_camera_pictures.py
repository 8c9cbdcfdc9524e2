"""Streams that come and are not as they should be: each is seen, named and lived with.

All but the last two share one run with a good camera, which none of them disturbs.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from camera_runs import SOON, CameraRun, frames_rise
from clients import collect
from fake_camera import FakeCamera, Frames, Stall
from faults import limits
from runs import Run
from waiting import wait_until

from framefan.records import Detection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SMALL, LARGE = (320, 240), (640, 480)
GROWING = ("grows-rtsp", "grows-http")
FRESH_MS = 3 * 1.5 * 1000 / 30
"""Three times what is promised: one and a half intervals of a camera of 30 pictures a second."""


class Bench:
    def __init__(self, folder: Path, ends: contextlib.ExitStack) -> None:
        self._ends = ends
        self.cameras: dict[str, FakeCamera] = {}
        calm = SOON | {"stalled_s": 5, "read_timeout_s": 5}
        tables = {
            "freezes": self._fake("freezes") | {"frozen_s": 0.6},
            "pauses": self._fake("pauses", "rtsp") | {"read_timeout_s": 5},
            "one-bad": self._fake("one-bad"),
            "slow": self._fake("slow") | {"read_timeout_s": 5},
            "slow-and-known": self._fake("slow-and-known") | calm,
            "grows-rtsp": self._fake("grows-rtsp", "rtsp"),
            "grows-http": self._fake("grows-http"),
        }
        for name in ("slow", "slow-and-known"):
            self.cameras[name].play(Frames(fps=0.8))
        self.run = CameraRun(folder, tables, env=limits(state_every_s=0.1))

    def _fake(self, name: str, protocol: Any = "http") -> dict[str, Any]:
        camera = self._ends.enter_context(FakeCamera(protocol, SMALL))
        camera.play(Frames(fps=15))
        self.cameras[name] = camera
        return SOON | {"source": camera.url}

    def change(self, name: str, *script: Any) -> FakeCamera:
        """Its next connection plays this; it connects at once."""
        camera = self.cameras[name]
        camera.play(*script)
        camera.drop()
        return camera


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with contextlib.ExitStack() as ends:
        bench = Bench(tmp_path_factory.mktemp("cameras"), ends)
        ends.enter_context(bench.run)
        yield bench


def test_the_same_picture_is_told_and_served_until_another_one_comes(bench: Bench) -> None:
    run = bench.run
    bench.change("freezes", Frames(seconds=2.5, fps=15, kind="frozen"), Frames(fps=15))
    run.wait_for("freezes", "frozen", "same_picture")
    run.wait_for_results("freezes")
    assert run.camera("freezes").state == "frozen", "that it is served does not thaw it"
    run.wait_for("freezes", "live")
    run.assert_good_is_unharmed()


def test_a_pause_is_told_and_the_stream_goes_on(bench: Bench) -> None:
    run = bench.run
    bench.change("pauses", Frames(10, fps=15), Stall(1.5), Frames(fps=15))
    run.wait_for("pauses", "stalled", "no_frame")
    told = run.story("pauses")
    run.wait_for("pauses", "live")
    run.wait_for_results("pauses")
    assert run.story("pauses") == [*told, ("live", "")]
    run.assert_good_is_unharmed()


def test_one_damaged_picture_is_counted_and_the_stream_goes_on(bench: Bench) -> None:
    run = bench.run
    bad = run.camera("one-bad").bad
    bench.change("one-bad", Frames(10, fps=15), Frames(1, kind="noise"), Frames(fps=15))
    wait_until(lambda: run.camera("one-bad").bad > bad, 15, "the bad one")
    told = run.story("one-bad")
    run.wait_for_results("one-bad", 20)
    assert run.camera("one-bad").bad == bad + 1
    assert run.story("one-bad") == told
    assert frames_rise(run.outcomes("one-bad"))
    run.assert_good_is_unharmed()


@pytest.mark.parametrize("name", GROWING)
def test_a_new_size_is_told_and_followed(bench: Bench, name: str) -> None:
    run, camera = bench.run, bench.cameras[name]
    run.wait_for_results(name)
    before = run.outcomes(name)[-1]
    assert (before.width, before.height) == SMALL
    camera.next(Frames(40, fps=40, size=SMALL), Frames(fps=40, size=LARGE))
    camera.play(Frames(fps=40, size=LARGE))
    camera.drop()
    told = wait_until(lambda: run.statuses(name, "live", "size_changed"), 15, "the new size")
    assert told[-1].message == "640x480, was 320x240"
    run.wait_for_results(name, 20)
    assert (run.camera(name).width, run.camera(name).height) == LARGE
    outcomes = run.outcomes(name)
    assert {(each.width, each.height) for each in outcomes} == {SMALL, LARGE}
    assert frames_rise(outcomes)
    for each in outcomes:
        for detection in msgspec.msgpack.decode(each.payload, type=list[Detection]):
            x1, y1, x2, y2 = detection.box
            assert 0 <= x1 < x2 <= each.width
            assert 0 <= y1 < y2 <= each.height
    run.assert_good_is_unharmed()


def test_a_slow_camera_stalls_unless_it_is_known_to_be_slow(bench: Bench) -> None:
    run = bench.run
    wait_until(lambda: len(run.statuses("slow", "stalled", "no_frame")) >= 2, 15, "its stalls")
    run.wait_for("slow", "live")
    run.wait_for_results("slow-and-known", 2)
    assert run.story("slow-and-known")[-1] == ("live", "")
    assert not run.statuses("slow-and-known", "stalled")
    assert not run.statuses("slow", "backoff")
    run.assert_good_is_unharmed()


def test_a_very_fast_camera_is_taken_as_it_comes_and_crowds_out_nobody(tmp_path: Path) -> None:
    """It alone has more pictures than the workers can take."""
    busy = tmp_path / "busy.py"
    busy.write_text("import time\ndef predict(image):\n    time.sleep(0.01)\n    return 1\n")
    tables = {"fast": {"source": "demo?size=160x120&fps=500"}}
    with CameraRun(tmp_path, tables, "-w", "2", "-p", f"{busy}:predict") as run:
        run.wait_for_results("fast", 200)
        facts = run.camera("fast")
        assert facts.state == "live"
        assert facts.fps > 250
        assert facts.superseded_by["newer"] > facts.results
        run.assert_good_is_unharmed()


def test_a_slow_predictor_gets_pictures_as_fresh_as_a_fast_one(tmp_path: Path) -> None:
    """It works on each for nine frame intervals; none it is given has waited for long."""
    slow = tmp_path / "slow.py"
    slow.write_text("import time\ndef predict(image):\n    time.sleep(0.3)\n    return 1\n")
    with FakeCamera("rtsp", SMALL) as camera:
        camera.play(Frames(fps=30))
        with Run(camera.url, "-w", "2", "-p", f"{slow}:predict") as run:
            messages = asyncio.run(collect(run.ws, 3.0))
    waits = sorted(message["latency_ms"]["wait"] for message in messages[2:])
    assert len(waits) > 10
    assert waits[int(0.95 * len(waits))] <= FRESH_MS, waits
