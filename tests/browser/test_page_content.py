"""What a tile tells: words beside boxes, values, the latency's scale, the list, plain words."""

from __future__ import annotations

import random
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from playwright.sync_api import Page

sys.path.append(str(Path(__file__).parents[1] / "unit" / "gateway"))
from fed_cameras import feed
from gateway_fakes import state
from gateway_thread import Feeder

from framefan.ipc.records import CameraFacts, Detection, PredictorFacts, WorkerFacts
from framefan_inference.worker import pictures

pytestmark = pytest.mark.chromium
VIEWPORT = {"width": 1280, "height": 900}
SIZE = (640, 360)

PLATES = """async ([scenes, size]) => {
    const {plates} = await import("./draw.js");
    const placed = (scene) => plates(scene, 1, size, 17, (words) => 7 * words.length + 8);
    return scenes.map((scene) => placed(scene).map(({words, box}) => ({words, box})));
}"""

Box = tuple[float, ...]


def scene(seed: int, count: int, tracked: bool) -> list[dict[str, Any]]:
    """`count` small people, each where chance puts it."""
    chance, found = random.Random(seed), []
    for number in range(count):
        x, y = chance.uniform(0, SIZE[0] - 20), chance.uniform(0, SIZE[1] - 48)
        box = [x, y, x + chance.uniform(10, 20), y + chance.uniform(20, 48)]
        track = {"track_id": number} if tracked else {}
        found.append({"label": "person", "confidence": 0.87, "box": box} | track)
    return found


def common(a: Box, b: Box) -> float:
    across = min(a[2], b[2]) - max(a[0], b[0])
    down = min(a[3], b[3]) - max(a[1], b[1])
    return across * down if min(across, down) > 0.01 else 0.0


def area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def test_words_keep_clear_of_each_other_and_of_what_is_seen(page: Page) -> None:
    kinds = [(count, tracked) for count in (1, 8, 20, 21, 100) for tracked in (False, True)] * 4
    scenes = [scene(seed, *kind) for seed, kind in enumerate(kinds)]
    for seen, plates in zip(scenes, page.evaluate(PLATES, [scenes, SIZE]), strict=True):
        boxes = [plate["box"] for plate in plates]
        for index, box in enumerate(boxes):
            assert box[0] >= 0
            assert box[1] >= 0
            assert box[2] <= SIZE[0]
            assert box[3] <= SIZE[1]
            assert not any(common(box, other) for other in boxes[:index]), "one covers another"
            for each in seen:
                assert common(box, each["box"]) <= 0.26 * area(each["box"]), "it hides a person"
        words = {plate["words"] for plate in plates}
        if len(seen) > 20:
            assert words <= {f"#{each['track_id']}" for each in seen if "track_id" in each}
        elif len(seen) <= 8:
            assert len(plates) >= 0.8 * len(seen), "there was room"
            assert any(each.startswith("person") for each in words)


COLOUR = """async (all) => {
    const {colour} = await import("./draw.js");
    const pen = document.createElement("canvas").getContext("2d");
    return all.map((found) => {
        pen.fillStyle = colour(found);
        pen.fillRect(0, 0, 1, 1);
        return [...pen.getImageData(0, 0, 1, 1).data.slice(0, 3)];
    });
}"""


def test_a_snapshot_has_the_colours_of_the_page(page: Page) -> None:
    labels = [
        Detection(label, 0.5, (0, 0, 1, 1)) for label in ("car", "person", "\u96ea\U0001f600")
    ]
    ids = [Detection("car", 0.5, (0, 0, 1, 1), track_id=number) for number in (0, 1, 12, 987654)]
    told = page.evaluate(COLOUR, [msgspec.to_builtins(each) for each in (*labels, *ids)])
    assert len({tuple(each) for each in told}) == len(told)
    for each, rgb in zip((*labels, *ids), told, strict=True):
        assert rgb[::-1] == pytest.approx(pictures._colour(each), abs=1)


def crowd(count: int) -> list[Detection]:
    return [
        Detection("person", 0.5 + n / 1000, (x, y, x + 40.0, y + 50.0))
        for n in range(count)
        for x, y in [(20.0 + n % 20 * 62, 20.0 + n // 20 * 130)]
    ]


# The share of the picture that is drawn over: it was all of one colour.
DRAWN = """canvas => {
    const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    let other = 0;
    for (let at = 0; at < data.length; at += 4) other += data[at] !== 11 || data[at + 1] !== 13;
    return 4 * other / data.length;
}"""


def test_a_hundred_boxes_leave_the_picture_to_be_seen_and_tell_when_pointed_at(
    feeder: Feeder, page: Page
) -> None:
    feeder.do(feeder.gateway.publish, payload=crowd(100))
    page.wait_for_selector(".tile[data-frame]")
    canvas = page.locator(".screen canvas")
    assert 0.005 < canvas.evaluate(DRAWN) < 0.2
    box = canvas.bounding_box()
    assert box
    scale = min(box["width"] / 1280, box["height"] / 720)
    left = (box["width"] - 1280 * scale) / 2
    canvas.hover(position={"x": left + 40 * scale, "y": 45 * scale})
    assert page.inner_text(".tip") == "person 0.50"
    assert page.get_attribute(".tile .open", "aria-expanded") == "false"
    canvas.hover(position={"x": left + 640 * scale, "y": 715 * scale})
    assert page.is_hidden(".tip")
    tap = (
        "([it, x, y]) => it.dispatchEvent(new PointerEvent('click', {pointerType: 'touch',"
        " clientX: x, clientY: y, bubbles: true}))"
    )
    at = [box["x"] + left + 102 * scale, box["y"] + 45 * scale]
    page.evaluate(tap, [canvas.element_handle(), *at])
    assert page.inner_text(".tip") == "person 0.50", "a finger does not hover"
    assert page.query_selector(".tile.large") is None
    page.evaluate(tap, [canvas.element_handle(), *at])
    page.wait_for_selector(".tile.large")


TOPS = """async (runs) => {
    const {Strip} = await import("./strip.js");
    const strip = new Strip(), told = [];
    let second = 0;
    for (const [total, count] of runs) {
        for (let n = 0; n < count; n++) {
            strip.add({wait: 0, predict: total, deliver: 0, total}, 1000 * ++second);
            strip.rescale(strip.means());
        }
        told.push([strip.top, strip.words()]);
    }
    return told;
}"""


def test_the_scale_is_round_and_is_not_the_first_bars_for_a_minute(page: Page) -> None:
    runs = [[812, 1], [8, 5], [8, 20], [150, 20], [18, 70], [19.9, 5], [20.5, 5], [8, 60]]
    tops, words = zip(*page.evaluate(TOPS, runs), strict=True)
    assert tops[0] == 1000
    assert tops[1:3] == (10, 10), "the start is cut, not what comes after it"
    assert tops[3] == 200, "more than a tenth is above"
    assert tops[4] == 50, "18 ms leave too little room below 20"
    assert tops[5:7] == (50, 50), "it does not go up and down at a limit"
    assert tops[7] == 10
    assert "The full height is 10 ms. 1 bar is higher and cut; the highest is 812 ms." in words[2]
    assert "cut" not in words[7]


def test_a_value_is_large_under_its_picture_and_its_whole_text_can_be_read(
    feeder: Feeder, page: Page
) -> None:
    text = "a word and " * 200 + "the end"
    feeder.do(feeder.gateway.publish, "a", kind="value", payload={"brightness": 127.5, "faces": 0})
    feeder.do(feeder.gateway.publish, "b", kind="value", payload=text)
    page.wait_for_selector(".tile[data-camera=b] .whole")
    short, long = (f".tile[data-camera={name}] .value" for name in "ab")
    assert page.inner_text(short) == "brightness: 127.5\nfaces: 0"
    size = "it => parseFloat(getComputedStyle(it).fontSize)"
    assert page.eval_on_selector(short, size) > page.eval_on_selector("body", size)
    places = [
        page.locator(f".tile[data-camera=a] .{it}").bounding_box() for it in ("screen", "strip")
    ]
    value = page.locator(short).bounding_box()
    assert value
    assert places[0]
    assert places[1]
    assert places[0]["y"] + places[0]["height"] <= value["y"] < places[1]["y"]
    cut = "it => it.scrollHeight > it.clientHeight + 1 || it.scrollWidth > it.clientWidth + 1"
    assert page.inner_text(long) == text
    assert page.eval_on_selector(long, "it => it.scrollWidth <= it.clientWidth"), "it is wrapped"
    page.click(".tile[data-camera=b] .whole")
    page.wait_for_selector(".tile.large[data-camera=b]")
    assert not page.eval_on_selector(long, cut)


def test_the_list_of_a_large_camera_is_sorted(feeder: Feeder, page: Page) -> None:
    payload = [
        Detection("person", 0.4, (1, 1, 9, 9), track_id=12),
        Detection("car", 0.5, (1, 1, 9, 9)),
        Detection("person", 0.3, (1, 1, 9, 9), track_id=2),
        Detection("car", 0.9, (1, 1, 9, 9)),
    ]
    feeder.do(feeder.gateway.publish, payload=payload)
    page.wait_for_selector(".tile[data-frame]")
    page.click(".tile .open")
    page.wait_for_selector(".large .results td")
    cells = page.eval_on_selector_all(".results td", "all => all.map((it) => it.textContent)")
    rows = [" ".join(cells[at + n] for n in (0, 1, 2)) for at in range(0, len(cells), 4)]
    none = "\N{EN DASH}"
    cars = [f"car 0.90 {none}", f"car 0.50 {none}"]
    assert rows == [*cars, "person 0.30 #2", "person 0.40 #12"]


def test_people_read_plain_words(feeder: Feeder, page: Page) -> None:
    workers = [WorkerFacts(id=1, state="backoff", reason="exited")]
    for turn in (1, 2, 3):
        facts = CameraFacts(
            state="backoff",
            reason="refused",
            captured=100 * turn,
            superseded_by={"newer": 50 * turn},
        )
        feeder.take("state/", state({"cam": facts}, workers=workers, ts=1e9 + turn))
    feeder.do(feeder.gateway.publish)
    page.wait_for_selector(".tile[data-state=backoff]")
    page.wait_for_selector("#workers td")
    text = page.inner_text("body")
    assert "down · nothing listens on that port" in text
    assert "waiting to restart: exited" in text
    for word in ("backoff", "newer", "this page missed"):
        assert word not in text


def test_workers_name_their_predictor_if_there_are_several(feeder: Feeder, page: Page) -> None:
    rows = [WorkerFacts(id=n, state="ready", model=f"m{n}", predictor_name=name)
            for n, name in enumerate(("people", "plates"), 1)]  # fmt: skip
    several = {"people": PredictorFacts(), "plates": PredictorFacts()}
    for turn, (predictors, shown) in enumerate(
        [({"people": PredictorFacts()}, "m1"), (several, "people: m1")], 1
    ):
        known = [each for each in rows if each.predictor_name in predictors]
        feeder.take(
            "state/", state({"cam": CameraFacts(state="live")}, workers=known,
                            predictors=predictors, ts=1e9 + turn)
        )  # fmt: skip
        page.wait_for_function(
            "text => document.querySelectorAll('#workers td')[2]?.textContent === text", arg=shown
        )


def test_a_picture_stays_until_the_next_one_however_slowly_they_come(
    feeder: Feeder, page: Page
) -> None:
    """On a page whose clock stands two seconds further at each look."""
    page.add_init_script("let n = 0; performance.now = () => 2000 * ++n;")
    page.reload()
    page.wait_for_selector("#connection[data-state=live]")
    shown = ".tile[data-picture]:not([data-picture='0'])"
    for turn in (1, 2, 3):
        feed(feeder, {"cam": "shapes"}, turn)
        frame = 2 * (feeder.gateway.next_seq["cam"] - 1)
        page.wait_for_selector(f"{shown}[data-frame='{frame}']")
        if turn == 1:
            page.evaluate(
                """() => {
                    window.bare = 0;
                    const tile = document.querySelector(".tile");
                    new MutationObserver(() => { window.bare += tile.dataset.picture === "0"; })
                        .observe(tile, {attributes: true});
                }"""
            )
    assert page.evaluate("window.bare") == 0
