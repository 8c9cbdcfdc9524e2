"""The main job: a plain client reads results from every kind of source, at once and truly."""

from __future__ import annotations

import asyncio
import json
from itertools import pairwise
from pathlib import Path

import pytest
from clients import collect
from fakes_sources import MjpegServer, RtspServer, make_mp4
from runs import Run, assert_balanced, assert_exactly_once, framefan
from waiting import is_within, slack, wait_until

from framefan.base.clock import now
from framefan_capture.sources.scene import Scene

pytestmark = pytest.mark.alone

SCENE = Scene(640, 360, seed=5)
RATE = 24
"""Results a second that every plain client is promised from a camera of 30."""


def rates(run: Run, clients: int, seconds: float = 3.0) -> list[float]:
    async def all_of_them() -> list[float]:
        got = await asyncio.gather(*(collect(run.ws, seconds) for _ in range(clients)))
        return [len(messages) / seconds for messages in got]

    return asyncio.run(all_of_them())


@pytest.mark.smoke
def test_three_plain_clients_read_the_demo() -> None:
    with Run() as run:
        assert min(rates(run, 3)) >= RATE / slack()
        assert_balanced(run.fresh_state())


@pytest.mark.smoke
def test_from_a_file(tmp_path: Path) -> None:
    movie = make_mp4(tmp_path / "scene.mp4", SCENE, 120)
    with Run(str(movie), "--loop") as run:
        assert min(rates(run, 1)) >= RATE / slack()


def test_from_http_mjpeg() -> None:
    with MjpegServer(SCENE) as server, Run(server.url) as run:
        assert min(rates(run, 1)) >= RATE / slack()


@pytest.mark.gstreamer
def test_from_rtsp() -> None:
    with RtspServer(SCENE) as server, Run(server.url) as run:
        assert min(rates(run, 1)) >= RATE / slack()


def test_the_first_result_comes_soon_and_ready_means_ready() -> None:
    started = now()
    run = Run().start()
    seen: list[int] = []

    def ready() -> bool:
        state = run.state()
        if state is None or not state.url:
            return False
        status, _ = run.get("/readyz")
        seen.append(status)
        if status == 200:
            assert any(worker.state in ("ready", "busy") for worker in run.fresh_state().workers)
        return status == 200

    wait_until(ready, 15)
    outcomes = run.results("demo")
    wait_until(outcomes.read, 5)
    assert is_within(started, 10)
    outcomes.close()
    run.__exit__(None, None, None)
    assert set(seen) <= {0, 200, 503}


@pytest.mark.smoke
def test_motion_boxes_sit_on_the_shapes() -> None:
    scene = Scene(1280, 720, seed=1)
    with Run("demo?size=1280x720&fps=30&seed=1") as run:
        results = asyncio.run(collect(run.ws, 8.0))
    watched = [each for each in results if each["frame"] >= 70][:150]
    assert len(watched) >= 100 / slack()
    found = shapes = matched = boxes = 0
    for each in watched:
        truth = [shape.box for shape in scene.truth(each["frame"]) if shape.moving]
        seen = [tuple(detection["box"]) for detection in each["detections"]]
        shapes += len(truth)
        boxes += len(seen)
        found += sum(any(iou(box, other) >= 0.5 for other in seen) for box in truth)
        matched += sum(any(iou(box, other) >= 0.5 for other in truth) for box in seen)
    assert found / shapes >= 0.9
    assert matched / boxes >= 0.8


def iou(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Intersection over union of two boxes x1, y1, x2, y2."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, across) * max(0.0, down)
    areas = sum((box[2] - box[0]) * (box[3] - box[1]) for box in (one, other))
    return shared / (areas - shared)


def test_more_workers_give_more_results_in_order(tmp_path: Path) -> None:
    slow = tmp_path / "slow.py"
    slow.write_text("import time\ndef predict(image):\n    time.sleep(0.1)\n    return 1\n")
    got = {}
    for workers in (1, 4):
        with Run("demo?size=320x240", "-w", str(workers), "-p", f"{slow}:predict") as run:
            outcomes = run.results("demo")
            wait_until(outcomes.read, 5)
            before = run.camera("demo")
            messages = asyncio.run(collect(run.ws, 4.0))
            after = run.camera("demo")
            assert_exactly_once(outcomes.read())
            outcomes.close()
        got[workers] = len(messages) / 4.0
        for one, other in pairwise(messages):
            assert one["seq"] < other["seq"]
            assert one["frame"] < other["frame"]
        if workers == 4:
            assert after.superseded - before.superseded <= 2
    assert 8.5 / slack() <= got[1] <= 10.5
    assert got[4] >= 25 / slack()


def test_a_file_in_every_mode_loses_nothing_and_ends(tmp_path: Path) -> None:
    movie = make_mp4(tmp_path / "scene.mp4", SCENE, 90)
    slow = tmp_path / "slow.py"
    slow.write_text("import time\ndef predict(image):\n    time.sleep(0.02)\n    return 1\n")
    run = Run(str(movie), "--mode", "every", "--fast", "-p", f"{slow}:predict").start()
    outcomes = run.results()
    assert run.process.wait(40) == 0, run.log()
    got = outcomes.read()
    outcomes.close()
    assert [each.frame for each in got] == list(range(90)), run.log()
    assert "90 frames captured, 90 results" in run.log()
    run.__exit__(None, None, None)


def test_once_prints_one_result(tmp_path: Path) -> None:
    done = framefan("once", "demo?size=320x240", env={"XDG_RUNTIME_DIR": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert '"camera"' in done.stdout


SEES = {
    "qr": lambda found: [each["label"] for each in found["detections"]] == ["framefan"],
    "aruco": lambda found: [each["class_id"] for each in found["detections"]] == [7],
    "health": lambda found: found["result"]["problems"] == [],
    "onnx:examples/shapes/shapes.onnx": lambda found: (
        {each["label"] for each in found["detections"]}
        == {"circle", "square", "triangle", "star", "qr", "aruco"}
    ),
    "examples/read_codes.py:codes": lambda found: (
        {each["label"] for each in found["detections"]}
        == {"circle", "square", "triangle", "star", "framefan", "aruco"}
    ),
}


@pytest.mark.parametrize("predictor", SEES)
def test_what_comes_with_framefan_sees_the_demo_scene(
    predictor: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    done = framefan("once", "demo?size=640x360", "--predictor", predictor)
    assert done.returncode == 0, done.stderr
    assert SEES[predictor](json.loads(done.stdout)), done.stdout


def test_status_shows_a_run() -> None:
    with Run("front=demo?size=320x240") as run:
        env = {"XDG_RUNTIME_DIR": str(run.runtime)}
        done = framefan("status", "--name", run.name, env=env)
        assert done.returncode == 0, done.stderr
        assert "front" in done.stdout
        assert framefan("status", "--name", "nobody", env=env).returncode == 1
