"""Outlines, key points and rotated boxes on the page: where they are drawn, as in snapshots."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from playwright.sync_api import Page

sys.path.append(str(Path(__file__).parents[1] / "unit" / "gateway"))
from gateway_thread import Feeder

from framefan.ipc.records import Detection
from framefan_inference.predictors import results
from framefan_inference.worker import pictures

pytestmark = pytest.mark.chromium
VIEWPORT = {"width": 1280, "height": 900}
SIZE = (640, 360)
BACK = (13, 11, 15)
PERSON = [
    (320, 75), (328, 68), (312, 68), (338, 72), (302, 72), (355, 115), (285, 115), (370, 165),
    (270, 165), (365, 210), (260, 120), (345, 220), (295, 220), (350, 280), (290, 280),
    (352, 340), (287, 340),
]  # fmt: skip
"""Nose, eyes, ears, shoulders, elbows, wrists, hips, knees, ankles; left before right."""


def _seen() -> list[Detection]:
    kinds = [
        Detection("cat", 0.9, (50, 60, 150, 160), mask=[(100, 60), (150, 160), (50, 160)]),
        Detection(
            "person",
            0.9,
            (250, 50, 380, 350),
            keypoints=[(x, y, 0.2 if n == 9 else 0.9) for n, (x, y) in enumerate(PERSON)],
        ),
        Detection("ship", 0.9, (440, 170, 600, 190), angle=math.pi / 2),
        Detection("hand", 0.9, (400, 300, 600, 350), keypoints=[(420, 325, 1), (580, 325, 1)]),
        Detection("car", 0.9, (20, 220, 120, 340)),
    ]
    _, payload = results.convert(kinds, (), 1 << 18, SIZE)
    return msgspec.msgpack.decode(payload, type=list[Detection])


SEEN = _seen()
CAT, MAN, SHIP, HAND, CAR = range(len(SEEN))
MARKED = {
    "the side of an outline": (CAT, (75, 110)),
    "its lower side": (CAT, (100, 160)),
    "a bone": (MAN, (320, 220)),
    "another": (MAN, (277, 140)),
    "a key point": (MAN, (287, 340)),
    "a side of a rotated box": (SHIP, (510, 150)),
    "the opposite side": (SHIP, (530, 220)),
    "a point of another model": (HAND, (580, 325)),
    "an upright box": (CAR, (20, 280)),
    "the box around key points": (MAN, (380, 200)),
}
BARE = {
    "the upright box around an outline": (50, 100),
    "the box before it is turned": (450, 180),
    "within a rotated box": (520, 180),
    "a key point that is not sure": (365, 210),
    "a bone of it": (368, 188),
    "between points of another model": (500, 325),
}

PAINTED = """async ([message, places]) => {
    const {paint} = await import("./draw.js");
    const canvas = document.createElement("canvas");
    canvas.style.width = message.width + "px";
    document.body.append(canvas);
    paint(canvas, message, null, message.width);
    const pen = canvas.getContext("2d");
    const read = ([x, y]) => [...pen.getImageData(x, y, 1, 1).data.slice(0, 3)];
    return places.map(read);
}"""


def on_page(page: Page, places: list[Any]) -> list[Any]:
    message = {"width": SIZE[0], "height": SIZE[1], "detections": msgspec.to_builtins(SEEN)}
    return [tuple(rgb[::-1]) for rgb in page.evaluate(PAINTED, [message, places])]


def in_snapshot(places: list[Any]) -> list[Any]:
    image = np.full((SIZE[1], SIZE[0], 3), BACK[:3], np.uint8)
    for each in SEEN:
        pictures._draw_shape(image, each, max(SIZE[0] / 960, 0.5))
    return [tuple(image[y, x].tolist()) for x, y in places]


@pytest.mark.parametrize("drawn", ["page", "snapshot"])
def test_each_shape_is_drawn_where_it_is_and_in_its_colour(drawn: str, page: Page) -> None:
    places = [place for _, place in MARKED.values()] + list(BARE.values()) + [(100, 140)]
    found = on_page(page, places) if drawn == "page" else in_snapshot(places)
    for (name, (which, _)), colour in zip(MARKED.items(), found, strict=False):
        assert colour == pytest.approx(pictures._colour(SEEN[which]), abs=40), name
    for name, colour in zip(BARE, found[len(MARKED) :], strict=False):
        assert max(colour) < 20, name
    wanted = [0.3 * share + 0.7 * 12 for share in pictures._colour(SEEN[CAT])]
    assert found[-1] == pytest.approx(wanted, abs=8), "an outline is filled lightly"


def test_people_have_the_same_bones_everywhere(page: Page) -> None:
    bones = page.evaluate("import('./draw.js').then(({BONES}) => BONES)")
    assert [tuple(each) for each in bones] == list(pictures._BONES)


def test_the_numbers_of_shapes_can_be_read(feeder: Feeder, page: Page) -> None:
    size = {"width": SIZE[0], "height": SIZE[1]}
    feeder.do(feeder.gateway.publish, payload=SEEN, **size)
    page.wait_for_selector(".tile[data-frame]")
    page.click(".tile .open")
    page.wait_for_selector(".tile.large")
    feeder.do(feeder.gateway.publish, payload=SEEN, **size)
    page.wait_for_function("() => document.querySelector('.large .raw').textContent")
    raw = json.loads(page.text_content(".large .raw") or "")
    assert raw["detections"] == json.loads(msgspec.json.encode(SEEN))


def test_the_classes_of_a_picture_are_told_line_by_line(feeder: Feeder, page: Page) -> None:
    classes = [
        {"label": "open", "confidence": 0.93, "class_id": 1},
        {"label": "closed", "confidence": 0.07, "class_id": 0},
    ]
    feeder.do(feeder.gateway.publish, kind="value", payload={"classes": classes})
    page.wait_for_selector(".tile[data-frame] .value:not(:empty)")
    assert page.inner_text(".tile .value") == "open 0.93\nclosed 0.07"
