"""Outlines, key points and rotated boxes from a predictor to clients and a snapshot."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING, Any

import cv2
import msgspec
import numpy as np
import pytest
from runs import Run
from waiting import SCALE

from framefan.client import connect_sync
from framefan.ipc.records import Detection
from framefan_inference.worker import pictures

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from framefan.ipc.protocol import Format

CODE = """
import math
import numpy as np

def predict(image):
    bitmap = np.zeros(image.shape[:2], bool)
    bitmap[50:150, 40:100] = True
    points = [(150, 60 + 10 * n, 0.9) for n in range(17)]
    return [
        {"label": "cat", "confidence": 0.9, "box": (40, 50, 100, 150), "mask": bitmap},
        {"label": "man", "confidence": 0.8, "box": (130, 50, 170, 230), "keypoints": points},
        {"label": "ship", "confidence": 0.7, "box": (200, 100, 300, 140), "angle": math.pi / 2},
        {"label": "car", "confidence": 0.6, "box": (320, 200, 380, 260)},
    ]
"""
SEEN = [
    Detection("cat", 0.9, (40, 50, 100, 150), mask=[(40, 50), (40, 149), (99, 149), (99, 50)]),
    Detection(
        "man", 0.8, (130, 50, 170, 230), keypoints=[(150, 60 + 10 * n, 0.9) for n in range(17)]
    ),
    Detection(
        "ship",
        0.7,
        (230, 70, 270, 170),
        mask=[(270, 70), (270, 170), (230, 170), (230, 70)],
        angle=1.5708,
    ),
    Detection("car", 0.6, (320, 200, 380, 260)),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    file: Path = tmp_path_factory.mktemp("shapes") / "own.py"
    file.write_text(CODE)
    with Run("cam=demo?size=400x300", "-p", f"{file}:predict", "-w", "1", "--track") as run:
        yield run


def _seen(run: Run, fmt: Format, **options: Any) -> list[Detection]:
    with connect_sync(run.ws, format=fmt, connect_s=20 * SCALE, **options) as feed:
        return list(next(iter(feed)).detections)


@pytest.mark.parametrize("fmt", ["json", "msgpack", "protobuf"])
def test_a_client_gets_them_typed_and_tracked(fmt: Format, run: Run) -> None:
    found = _seen(run, fmt)
    assert [each.track_id for each in found] == [1, 2, 3, 4]
    assert [msgspec.structs.replace(each, track_id=msgspec.UNSET) for each in found] == SEEN


def test_filters_leave_detections_out_and_shapes_in(run: Run) -> None:
    (ship,) = _seen(run, "msgpack", labels=["ship", "car"], min_confidence=0.65)
    assert (ship.label, ship.mask, ship.angle) == ("ship", SEEN[2].mask, SEEN[2].angle)


def test_a_snapshot_shows_them(run: Run) -> None:
    url = f"{run.url}/snapshot/cam.jpg?boxes=1"
    with urllib.request.urlopen(url, timeout=20 * SCALE) as answer:
        image = cv2.imdecode(np.frombuffer(answer.read(), np.uint8), cv2.IMREAD_COLOR)
    places = {0: [(40, 100), (70, 149)], 1: [(150, 60), (150, 220)], 2: [(270, 150), (230, 100)]}
    for number, marked in places.items():
        tracked = msgspec.structs.replace(SEEN[number], track_id=number + 1)
        for x, y in marked:
            off = np.abs(image[y - 1 : y + 2, x - 1 : x + 2] - pictures._colour(tracked))
            assert off.max(axis=2).min() < 40, (tracked.label, x, y)
