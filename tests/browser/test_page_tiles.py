"""What a page of many cameras shows first, how large, and what it says above them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from playwright.sync_api import Page

sys.path.append(str(Path(__file__).parents[1] / "unit" / "gateway"))
from gateway_fakes import state
from gateway_thread import Feeder

from framefan.ipc.records import CameraFacts, PredictError

pytestmark = pytest.mark.chromium
VIEWPORT = {"width": 1400, "height": 860}
BORDER = "it => getComputedStyle(it).borderColor"
LONG = "no such class " + "é<b>" * 60 + " (own.py, line 12, in predict)"


def come(feeder: Feeder, *cameras: str) -> None:
    feeder.take("state/", state({name: CameraFacts(state="live") for name in cameras}))
    for name in cameras:
        feeder.do(feeder.gateway.publish, name)


def fail(feeder: Feeder, camera: str = "cam") -> None:
    payload = PredictError("ValueError", LONG)
    feeder.do(feeder.gateway.publish, camera, kind="error", payload=payload)


def light(page: Page, words: str) -> None:
    """What stands at the top, soon."""
    page.wait_for_function(
        "words => document.getElementById('connection').textContent === words", arg=words
    )


def in_order(page: Page, *cameras: str) -> None:
    page.wait_for_function(
        "wanted => [...document.querySelectorAll('.tile')].map(each => each.dataset.camera)"
        ".join() === wanted",
        arg=",".join(cameras),
    )


def test_cameras_stand_in_natural_order_and_those_in_trouble_first(
    feeder: Feeder, page: Page
) -> None:
    come(feeder, "cam-10", "cam-2", "cam-1", "yard")
    in_order(page, "cam-1", "cam-2", "cam-10", "yard")
    page.focus(".tile[data-camera=yard] .open")
    feeder.do(feeder.gateway.publish, "cam-2")
    fail(feeder, "yard")
    in_order(page, "yard", "cam-1", "cam-2", "cam-10")
    focused = "document.activeElement.closest('.tile')?.dataset.camera"
    assert page.evaluate(focused) == "yard", "who works with the keyboard is not lost"
    feeder.status("backoff", "refused", camera="cam-10")
    in_order(page, "cam-10", "yard", "cam-1", "cam-2")


def test_a_predictor_that_fails_is_a_red_tile_with_the_whole_message(
    feeder: Feeder, page: Page
) -> None:
    come(feeder, "cam", "other")
    light(page, "live")
    fail(feeder)
    page.wait_for_selector(".tile[data-camera=cam][data-failing]")
    tile = ".tile[data-camera=cam]"
    assert page.inner_text(f"{tile} .value") == f"ValueError: {LONG}"
    assert "predict fails" in page.inner_text(f"{tile} .state")
    cut = "it => it.scrollHeight > it.clientHeight + 1 || it.scrollWidth > it.clientWidth + 1"
    assert not page.eval_on_selector(f"{tile} .value", cut), "it is there, and cut"
    red, other = (
        page.eval_on_selector(
            f".tile[data-camera={name}]", "it => getComputedStyle(it).borderColor"
        )
        for name in ("cam", "other")
    )
    assert red != other
    assert page.inner_text("#connection") == "live", "the other one is"
    fail(feeder, "other")
    light(page, "connected, predict fails")
    come(feeder, "cam", "other")
    page.wait_for_selector(".tile[data-failing]", state="detached")
    assert page.is_hidden(f"{tile} .value")


def test_the_light_says_live_only_while_a_camera_is(feeder: Feeder, page: Page) -> None:
    assert page.inner_text("#connection") in ("connected", "connected, no camera is live")
    feeder.status("backoff", "refused", camera="cam")
    page.wait_for_selector(".tile[data-state=backoff]")
    light(page, "connected, no camera is live")
    come(feeder, "other")
    light(page, "live")


def test_a_portrait_camera_stretches_nothing(feeder: Feeder, page: Page) -> None:
    come(feeder, "wide", "yard")
    feeder.do(feeder.gateway.publish, "tall", width=720, height=1280)
    page.wait_for_selector(".tile[data-camera=tall][data-frame]")
    boxes = [
        page.locator(f".tile[data-camera={name}] .screen").bounding_box()
        for name in ("wide", "tall")
    ]
    wide, tall = (box for box in boxes if box)
    assert (tall["width"], tall["height"]) == (wide["width"], wide["height"])
    assert wide["width"] / wide["height"] == pytest.approx(16 / 9, rel=0.01)
    fit = "it => getComputedStyle(it).objectFit"
    assert page.eval_on_selector("[data-camera=tall] .screen canvas", fit) == "contain"


def test_a_single_camera_is_large_until_there_are_more(feeder: Feeder, page: Page) -> None:
    come(feeder, "cam")
    page.wait_for_selector(".tile[data-frame]")
    screen = page.locator(".tile[data-camera=cam] .screen")
    box = screen.bounding_box()
    assert box
    assert box["width"] > 1200
    assert box["height"] <= 0.65 * 860
    come(feeder, "cam", "other")
    page.wait_for_selector(".tile[data-camera=other][data-frame]")
    box = screen.bounding_box()
    assert box
    assert box["width"] < 900


@pytest.mark.parametrize("words", ["live", "connected, no camera is live"])
def test_no_row_of_the_header_is_cut_on_a_phone(feeder: Feeder, page: Page, words: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    come(feeder, *(f"cam-{number}" for number in range(12)))
    page.wait_for_selector(".tile[data-camera=cam-11]")
    if words != "live":
        for number in range(12):
            feeder.status("backoff", "refused", camera=f"cam-{number}")
    light(page, words)
    page.wait_for_function(
        "() => /cameras live/.test(document.getElementById('summary').textContent)"
    )
    for part in page.locator("body > header > *:visible").all():
        box = part.bounding_box()
        assert box
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= 390
    header = page.locator("body > header").bounding_box()
    assert header
    assert header["height"] < 130, "three rows at most"
    assert not page.evaluate("document.documentElement.scrollWidth > innerWidth")
