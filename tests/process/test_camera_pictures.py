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
from waiting import slack, wait_until

from framefan.ipc.records import Detection

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fake_camera import Step

    from framefan.ipc.records import StatusRecord

pytestmark = pytest.mark.alone

SMALL, LARGE = (320, 240), (640, 480)
FRESH_MS = 3 * 1.5 * 1000 / 30
"""Three times what is promised: one and a half intervals of a camera of 30 pictures a second."""


SCRIPTS: dict[str, tuple[Step, ...]] = {
    "freezes": (Frames(15, fps=15), Frames(seconds=2.5, fps=15, kind="frozen"), Frames(fps=15)),
    "pauses": (Frames(15, fps=15), Stall(1.5), Frames(fps=15)),
    "one-bad": (Frames(15, fps=15), Frames(1, kind="noise"), Frames(fps=15)),
    "turns-grey": (Frames(15, fps=15), Frames(15, fps=15, kind="grey"), Frames(fps=15)),
    "slow": (Frames(fps=0.8),),
    "slow-and-known": (Frames(fps=0.8),),
    "grows-rtsp": (Frames(50, fps=25, size=SMALL), Frames(fps=25, size=LARGE)),
    "grows-http": (Frames(50, fps=25, size=SMALL), Frames(fps=25, size=LARGE)),
}
"""What the first connection plays; each later one plays its last step."""
PATIENT = {"read_timeout_s": 5}
KEYS: dict[str, dict[str, Any]] = {
    "freezes": {"frozen_s": 0.6},
    "pauses": PATIENT,
    "slow": PATIENT,
    "slow-and-known": PATIENT | {"stalled_s": 5},
}


def start(folder: Path, ends: contextlib.ExitStack, env: dict[str, str]) -> CameraRun:
    """A run of all those cameras, until the stack ends."""
    tables = {}
    for name, script in SCRIPTS.items():
        protocol = "rtsp" if name in ("pauses", "grows-rtsp") else "http"
        camera = ends.enter_context(FakeCamera(protocol, SMALL))
        camera.next(*script)
        camera.play(script[-1])
        tables[name] = SOON | {"source": camera.url} | KEYS.get(name, {})
    return ends.enter_context(CameraRun(folder, tables, env=limits(state_every_s=0.1) | env))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CameraRun]:
    with contextlib.ExitStack() as ends:
        yield start(tmp_path_factory.mktemp("cameras"), ends, {})


def wait_for_end(run: CameraRun, name: str, *story: tuple[str, str]) -> list[StatusRecord]:
    """The last statuses of the camera, once they tell this story."""
    ends = lambda: run.story(name)[-len(story) :] == list(story)  # noqa: E731
    wait_until(ends, 15, f"{name}: {story} in {run.story(name)}")
    return run.statuses(name)[-len(story) :]


def test_the_same_picture_is_reported_and_served_until_another_one_comes(run: CameraRun) -> None:
    frozen, live = wait_for_end(run, "freezes", ("frozen", "same_picture"), ("live", ""))
    served = [each for each in run.outcomes("freezes") if frozen.ts < each.ts < live.ts]
    assert len(served) > 5
    run.assert_good_is_unharmed()


def test_a_pause_is_reported_and_the_stream_continues(run: CameraRun) -> None:
    wait_for_end(run, "pauses", ("stalled", "no_frame"), ("live", ""))
    run.wait_for_results("pauses")
    assert not run.statuses("pauses", "backoff")
    assert frames_rise(run.outcomes("pauses"))
    run.assert_good_is_unharmed()


def test_one_damaged_picture_is_counted_and_the_stream_continues(run: CameraRun) -> None:
    wait_until(lambda: run.camera("one-bad").bad, 15, "the bad one")
    run.wait_for_results("one-bad", 10)
    assert run.camera("one-bad").bad == 1
    assert {each.state for each in run.statuses("one-bad")} <= {"connecting", "live"}
    assert frames_rise(run.outcomes("one-bad"))
    run.assert_good_is_unharmed()


def test_pictures_that_turn_grey_and_back_are_pictures(run: CameraRun) -> None:
    run.wait_for_results("turns-grey", 40)
    facts = run.camera("turns-grey")
    assert (facts.bad, facts.restarts) == (0, 0)
    assert {each.state for each in run.statuses("turns-grey")} <= {"connecting", "live"}
    assert frames_rise(run.outcomes("turns-grey"))
    run.assert_good_is_unharmed()


@pytest.mark.parametrize("name", ["grows-rtsp", "grows-http"])
def test_a_new_size_is_reported_and_applied(run: CameraRun, name: str) -> None:
    told = wait_until(lambda: run.statuses(name, "live", "size_changed"), 15, "the new size")
    assert [each.message for each in told] == ["640x480, was 320x240"]
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


def test_a_slow_camera_stalls_unless_it_is_known_to_be_slow(run: CameraRun) -> None:
    wait_until(lambda: len(run.statuses("slow", "stalled", "no_frame")) >= 2, 15, "its stalls")
    run.wait_for("slow", "live")
    assert not run.statuses("slow", "backoff")
    wait_until(lambda: len(run.outcomes("slow-and-known")) > 3, 15, "its results")
    assert {each.state for each in run.statuses("slow-and-known")} <= {"connecting", "live"}
    run.assert_good_is_unharmed()


def test_a_very_fast_camera_is_taken_as_it_comes_and_crowds_out_nobody(tmp_path: Path) -> None:
    """It alone has more pictures than the workers can take."""
    busy = tmp_path / "busy.py"
    busy.write_text("import time\ndef predict(image):\n    time.sleep(0.01)\n    return 1\n")
    tables = {"fast": {"source": "demo?size=160x120&fps=500"}}
    arguments = ["-w", "2", "-p", f"{busy}:predict"]
    with CameraRun(tmp_path, tables, *arguments, env=limits(state_every_s=0.1)) as run:
        run.wait_for_results("fast", 200)
        facts = run.camera("fast")
        assert facts.state == "live"
        assert facts.fps > 250 / slack()
        assert facts.superseded_by["newer"] > facts.results
        run.assert_good_is_unharmed()


def test_a_slow_predictor_gets_pictures_as_fresh_as_a_fast_one(tmp_path: Path) -> None:
    """It works on each for nine frame intervals; none it is given has waited for long."""
    slow = tmp_path / "slow.py"
    slow.write_text("import time\ndef predict(image):\n    time.sleep(0.3)\n    return 1\n")
    with FakeCamera("rtsp", SMALL) as camera:
        camera.play(Frames(fps=30))
        with Run(camera.url, "-w", "2", "-p", f"{slow}:predict") as run:
            messages = asyncio.run(collect(run.ws, 2.5))
    waits = sorted(message["latency_ms"]["wait"] for message in messages[2:])
    assert len(waits) > 10
    assert waits[int(0.95 * len(waits))] <= FRESH_MS, waits
