"""Pictures for those who watch, in a real run: whose they are, what they cost, whom they delay."""

from __future__ import annotations

import colorsys
import contextlib
import json
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from fakes_sources import make_mp4
from faults import limits, sabotage
from runs import Run, assert_balanced
from waiting import wait_until
from websockets.sync.client import connect

from framefan_capture.sources.scene import COLOURS, Scene, read_number

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SOURCE = "cam=demo?size=640x360&fps=20"
SCENE = Scene(640, 360)
OFTEN = limits(state_every_s=0.1)
OWN = ("missed", "missed_by", "latency_ms")


@contextlib.contextmanager
def watching(run: Run, query: str = "?preview=320") -> Iterator[Any]:
    """Reads so many pictures: the result's message, and the picture behind it."""
    with connect(run.ws + query, proxy=None) as client:

        def read(count: int) -> list[tuple[dict[str, Any], Any]]:
            found: list[tuple[dict[str, Any], Any]] = []
            results: list[dict[str, Any]] = []
            while len(found) < count:
                data = client.recv(timeout=10)
                if isinstance(data, str):
                    results.append(json.loads(data))
                    continue
                end = 4 + int.from_bytes(data[:4], "big")
                message = json.loads(data[4:end])
                assert shared(message) in map(shared, results), "not a result before it"
                found.append((message, picture(data[end:])))
            return found

        yield read


def shared(message: dict[str, Any]) -> dict[str, Any]:
    """What a message says to every client: not what one of them missed, nor when it was sent it."""
    return {key: value for key, value in message.items() if key not in OWN}


def picture(jpeg: bytes) -> Any:
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image


def get(url: str, token: str = "") -> tuple[int, str, bytes]:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers)) as reply:
            return reply.status, reply.headers["Content-Type"], reply.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers["Content-Type"], error.read()


def made(run: Run) -> dict[str, int]:
    return run.camera("cam").previews


def assert_shows_its_frame(message: dict[str, Any], image: Any) -> None:
    scale = image.shape[1] / message["width"]
    for shape in SCENE.truth(message["frame"]):
        if shape.moving:
            x, y = (round((shape.box[n] + shape.box[n + 2]) / 2 * scale) for n in (0, 1))
            assert np.abs(image[y, x].astype(int) - COLOURS[shape.kind]).max() < 60, shape


@pytest.mark.smoke
def test_a_picture_shows_the_frame_of_its_result() -> None:
    with Run(SOURCE) as run, watching(run) as read:
        for message, image in read(40):
            assert image.shape == (180, 320, 3)
            assert_shows_its_frame(message, image)
        assert_balanced(run.fresh_state())


def test_nobody_watches_and_nothing_is_made() -> None:
    with Run(SOURCE, env=OFTEN) as run:
        with connect(run.ws, proxy=None) as plain:
            for _ in range(10):
                plain.recv(timeout=10)
        assert made(run) == {}
        with watching(run) as read:
            read(5)
        wait_until(lambda: (old := made(run)) and old == made(run), 5, "an end of the pictures")
        assert set(made(run)) == {"320"}


def test_ten_who_watch_cost_as_much_as_one() -> None:
    with Run(SOURCE, env=OFTEN) as run, contextlib.ExitStack() as stack:
        readers = [stack.enter_context(watching(run)) for _ in range(10)]
        with ThreadPoolExecutor(10) as pool:
            list(pool.map(lambda read: read(20), readers))
        facts = run.camera("cam")
        assert 20 <= facts.previews["320"] <= facts.results + facts.errors + facts.running


SLOW = """
import time
import framefan_inference.worker.pictures as m
encode = m.encode
m.encode = lambda *a: time.sleep(0.2) or encode(*a)
"""
FIRST = (
    SLOW
    + """
import sys
slow = m.encode
def swapping(*a):
    worker = sys.modules["__main__"].Worker
    show, tell = worker._show, worker._tell
    def first(self, lease, answer, *times):
        show(self, lease, answer)
        tell(self, lease, answer, *times)
    worker._tell, worker._show, m.encode = first, lambda *a: None, slow
    return slow(*a)
m.encode = swapping
"""
)


@pytest.mark.parametrize(("code", "waits"), [(SLOW, False), (FIRST, True)])
def test_no_result_waits_for_a_picture(tmp_path: Path, code: str, waits: bool) -> None:
    """With the picture made first, each does."""
    env = sabotage(tmp_path, "framefan_inference.worker.worker", code)
    with Run(SOURCE, env=env) as run, connect(f"{run.ws}?preview=320", proxy=None) as client:
        late = []
        while len(late) < 6:
            data = client.recv(timeout=10)
            if isinstance(data, str) and (message := json.loads(data))["type"] == "result":
                late.append(message["latency_ms"]["deliver"] > 150)
        assert any(late[1:]) is waits


def test_a_picture_that_cannot_be_encoded_affects_nothing_else(tmp_path: Path) -> None:
    code = "import framefan_inference.worker.pictures as m\nm.encode = lambda *a: 1 / 0"
    env = OFTEN | sabotage(tmp_path, "framefan_inference.worker.worker", code)
    with Run(SOURCE, env=env) as run, connect(f"{run.ws}?preview=320", proxy=None) as client:
        for _ in range(40):
            assert isinstance(client.recv(timeout=10), str)
        state = run.fresh_state()
        assert [worker.restarts for worker in state.workers] == [0, 0]
        assert_balanced(state)
        assert "encoding a picture failed" in run.log()


@pytest.mark.smoke
def test_a_snapshot_is_a_frame_in_its_own_size(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("let-me-in\n")
    with Run(SOURCE, "--token-file", str(token)) as run:
        url = f"{run.url}/snapshot/cam.jpg"
        assert get(url)[0] == 401
        code, kind, jpeg = get(url, "let-me-in")
        assert (code, kind) == (200, "image/jpeg")
        image = picture(jpeg)
        assert image.shape == (360, 640, 3)
        assert read_number(image) is not None
        boxes = picture(get(f"{url}?boxes=1", "let-me-in")[2])
        assert boxes.shape == image.shape


def test_no_frame_no_snapshot_and_the_reason(tmp_path: Path) -> None:
    movie = make_mp4(tmp_path / "scene.mp4", Scene(320, 240), 10)
    with Run(f"cam={movie}", SOURCE.replace("cam", "other")) as run:
        wait_until(lambda: run.camera("cam").state == "ended", 10, "the end of the file")
        code, _, body = get(f"{run.url}/snapshot/cam.jpg")
        assert code == 503
        error = json.loads(body)["error"]
        assert 'no frame of "cam" was processed within 2 s; it is ended' in error
        assert get(f"{run.url}/snapshot/none.jpg")[0] == 404


SEES_ONE = """
def predict(image):
    return [{"label": "person", "confidence": 0.9, "box": [40, 40, 200, 160]}]
"""


@pytest.mark.parametrize("workers", [1, 3])
def test_a_snapshot_has_the_ids_of_track(tmp_path: Path, workers: int) -> None:
    """The pool gives the ids after the worker has given the frame back."""
    path = tmp_path / "one.py"
    path.write_text(SEES_ONE)
    how = ("-p", f"{path}:predict", "--track", "--workers", str(workers))
    with Run(SOURCE, *how, env=OFTEN) as run:
        with connect(run.ws, proxy=None) as client:
            result = next(m for m in map(json.loads, client) if m["type"] == "result")
        (found,) = result["detections"]
        code, _, jpeg = get(f"{run.url}/snapshot/cam.jpg?boxes=1")
        assert code == 200, jpeg
        edge = picture(jpeg)[100, 200].astype(int)
        assert np.abs(edge - colour(found["track_id"] * 137)).max() < 40
        assert np.abs(colour(found["track_id"] * 137) - colour(hue("person"))).max() > 80
        wait_until(lambda: not run.camera("cam").running, 10, "nothing in hand")
        assert_balanced(run.fresh_state())


def hue(label: str) -> int:
    made = 7
    for letter in label:
        made = (made * 31 + ord(letter)) % 360
    return made


def colour(degrees: int) -> Any:
    """The page's colour of that hue; BGR."""
    red, green, blue = colorsys.hls_to_rgb(degrees % 360 / 360, 0.68, 0.9)
    return np.array([blue, green, red]) * 255
