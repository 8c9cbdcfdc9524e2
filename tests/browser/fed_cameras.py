"""Cameras of all kinds for a fed gateway: their pictures, and what is seen in them."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, NamedTuple

import cv2
import numpy as np
from gateway_fakes import state
from gateway_thread import Feeder

from framefan.ipc.records import CameraFacts, Detection, PredictError, PreviewRecord, WorkerFacts
from framefan_capture.sources.scene import Scene

WIDEST = 1280
AT_ONCE = 4
ERROR = "no such class: 81 of 80 (own.py, line 12, in predict)"
DOWN = "cam:554 took the connection, and then nothing came"
TEXT = "DELIVERY NOTE 2931-B, two pallets for bay 4, to be signed for by the driver. " * 12
VALUES = ({"people": 4}, {"brightness": 127.5, "sharpness": 0.81, "faces": 0}, TEXT, "QR-2931-B")


class Seen(NamedTuple):
    """One frame: the camera's size, its JPEG, and the outcome as `Gateway.publish` takes it."""

    width: int
    height: int
    jpeg: bytes
    outcome: dict[str, Any]


def shapes(seed: int, turn: int, width: int = 1280, height: int = 720) -> Seen:
    scene, image = Scene(width, height, seed), np.empty((height, width, 3), np.uint8)
    scene.draw(turn, image)
    found = [
        Detection(each.kind, 0.95 - n / 50, tuple(map(float, each.box)))  # type: ignore[arg-type]
        for n, each in enumerate(scene.truth(turn))
    ]
    return Seen(width, height, _jpeg(image), {"payload": found})


def crowd(seed: int, turn: int, count: int = 100) -> Seen:
    """`count` small people, tracked."""
    chance, image = random.Random(seed), np.full((720, 1280, 3), (112, 122, 118), np.uint8)
    for row in range(0, 720, 45):
        cv2.line(image, (0, row), (1280, row + 90), (104, 113, 110), 9)
    found = []
    for number in range(count):
        tall = chance.uniform(28, 70)
        x, y = chance.uniform(20, 1240) + turn, chance.uniform(40, 640)
        ink = tuple(chance.randrange(30, 200) for _ in range(3))
        cv2.ellipse(image, (int(x), int(y)), (int(tall / 5), int(tall / 2.6)), 0, 0, 360, ink, -1)
        cv2.circle(image, (int(x), int(y - tall / 2.3)), int(tall / 8), (150, 170, 205), -1)
        box = (x - tall / 4, y - tall * 0.58, x + tall / 4, y + tall * 0.42)
        found.append(Detection("person", chance.uniform(0.4, 0.98), box, track_id=number + 1))
    return Seen(1280, 720, _jpeg(image), {"payload": found})


def value(seed: int, turn: int) -> Seen:
    told = {"kind": "value", "payload": VALUES[seed % len(VALUES)]}
    return shapes(seed, turn)._replace(outcome=told)


def error(seed: int, turn: int) -> Seen:
    told = {"kind": "error", "payload": PredictError("IndexError", ERROR)}
    return shapes(seed, turn)._replace(outcome=told)


KINDS: dict[str, Callable[[int, int], Seen]] = {
    "shapes": shapes,
    "tall": functools.partial(shapes, width=720, height=1280),
    "4k": functools.partial(shapes, width=3840, height=2160),
    "crowd": crowd,
    "people": functools.partial(crowd, count=8),
    "value": value,
    "error": error,
}


def _jpeg(image: Any) -> bytes:
    height, width = image.shape[:2]
    if width > WIDEST:
        image = cv2.resize(image, (WIDEST, height * WIDEST // width), interpolation=cv2.INTER_AREA)
    made, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 75])
    assert made
    return data.tobytes()


@functools.lru_cache(maxsize=64)
def _made(kind: str, seed: int, turn: int) -> Seen:
    return KINDS[kind](seed, turn)


def feed(
    feeder: Feeder, cameras: dict[str, str], turn: int, pause: Callable[[], None] = lambda: None
) -> None:
    """One frame of each camera, given its kind by name; one of the kind `down` has a reason.

    `pause` comes between some of them: a full line drops pictures.
    """
    tries = {"reason": "timeout", "message": DOWN, "next_try_s": 9.0}
    facts = {
        name: CameraFacts(state="backoff", **tries)  # type: ignore[arg-type]
        if kind == "down"
        else CameraFacts(state="live", been_live=True, captured=turn, results=turn)
        for name, kind in cameras.items()
    }
    workers = [WorkerFacts(id=n, state="ready", model="model.onnx", busy=0.4) for n in (1, 2)]
    feeder.take("state/", state(facts, workers=workers, version=version("framefan")))
    watched = {each.preview for each in feeder.do(lambda: list(feeder.gateway.hub._groups))}
    for index, (name, kind) in enumerate(cameras.items()):
        if kind == "down":
            continue
        if index % AT_ONCE == AT_ONCE - 1:
            pause()
        seen = _made(kind, index % 6, turn % 4)
        size = {"width": seen.width, "height": seen.height}
        seq = feeder.do(feeder.gateway.publish, name, **size, **seen.outcome)
        for picture in filter(None, watched):
            record = PreviewRecord(
                epoch="k3f9",
                camera=name,
                seq=seq,
                frame=2 * seq,
                picture=str(picture),
                jpeg=seen.jpeg,
            )
            feeder.take(f"preview/{name}/{picture}/", record)
