"""How many cameras a screen shows at once, what each tells there, and that nothing is cut."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page

sys.path.append(str(Path(__file__).parents[1] / "unit" / "gateway"))
from gateway_fakes import state
from gateway_thread import Feeder

from framefan.ipc.records import CameraFacts, PredictError, WorkerFacts

pytestmark = pytest.mark.chromium
VIEWPORT = {"width": 1280, "height": 720}
LEVEL = "document.getElementById('cameras').dataset.level"

# Whose picture is wholly on the screen; what is cut at a side, or covers a picture.
SEEN = """() => {
    const boxOf = (it) => it.getBoundingClientRect();
    const screens = [...document.querySelectorAll(".screen")].map(boxOf);
    const buttons = [...document.querySelectorAll("main button")].map(boxOf);
    const meet = (a, b) => a.width && a.left < b.right && b.left < a.right
        && a.top < b.bottom && b.top < a.bottom;
    return {
        seen: screens.filter((it) => it.top >= 0 && it.bottom <= innerHeight).length,
        cut: screens.filter((it) => it.left < 0 || it.right > innerWidth).length,
        covered: buttons.filter((it) => screens.some((screen) => meet(it, screen))).length,
        wide: document.documentElement.scrollWidth > innerWidth,
    };
}"""


def come(feeder: Feeder, page: Page, count: int) -> None:
    cameras = {f"cam-{n}": CameraFacts(state="live", been_live=True) for n in range(1, count + 1)}
    workers = [WorkerFacts(id=1, state="ready", model="m" * 30)]
    feeder.take("state/", state(cameras, workers=workers))
    for name in cameras:
        feeder.do(feeder.gateway.publish, name)
    shown = "count => document.querySelectorAll('.tile[data-frame]').length === count"
    page.wait_for_function(shown, arg=count)


@pytest.mark.parametrize(
    ("width", "height", "count", "least", "level"),
    [
        (2560, 1440, 40, 40, "brief"),
        (2560, 1440, 12, 12, "full"),
        (1400, 860, 4, 4, "full"),
        (1280, 720, 12, 12, "brief"),
        (1280, 720, 40, 12, "brief"),
        (390, 844, 12, 2, "brief"),
        (390, 844, 2, 2, "brief"),
        (390, 844, 1, 1, "full"),
    ],
)
def test_a_screen_shows_as_many_cameras_as_it_can_and_cuts_none(
    feeder: Feeder, page: Page, width: int, height: int, count: int, least: int, level: str
) -> None:
    page.set_viewport_size({"width": width, "height": height})
    come(feeder, page, count)
    assert page.evaluate(LEVEL) == level
    found: dict[str, Any] = page.evaluate(SEEN)
    assert found.pop("seen") >= least
    assert found == {"cut": 0, "covered": 0, "wide": False}


def test_a_wall_shows_pictures_and_names_and_is_kept_in_the_address(
    feeder: Feeder, page: Page
) -> None:
    come(feeder, page, 40)
    page.click("#wall")
    assert page.evaluate(SEEN) == {"seen": 40, "cut": 0, "covered": 0, "wide": False}
    tile = ".tile[data-camera=cam-1]"
    assert page.inner_text(tile).split() == ["cam-1"], "its name, and its picture"
    assert page.url.endswith("#view=wall")
    page.click(f"{tile} .open")
    page.wait_for_selector(".tile.large .strip")
    assert page.url.endswith("#view=wall&camera=cam-1")
    page.keyboard.press("Escape")
    payload = PredictError("ValueError", "no such class")
    feeder.do(feeder.gateway.publish, "cam-2", kind="error", payload=payload)
    page.wait_for_selector(".tile[data-camera=cam-2][data-failing] .state")
    assert page.inner_text(".tile[data-camera=cam-2] .state") == "predict fails"
    page.reload()
    come(feeder, page, 40)
    assert page.evaluate(LEVEL) == "wall"
    assert page.get_attribute("#wall", "aria-pressed") == "true"
    page.click("#wall")
    assert page.evaluate(LEVEL) == "brief"
    assert "#" not in page.url


def test_no_column_of_a_table_is_cut_on_a_phone(feeder: Feeder, page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    come(feeder, page, 2)
    page.wait_for_selector("#workers td")
    page.click("#clients summary")
    page.wait_for_selector("#clients td")
    for table in page.locator("#health .scroll").all():
        assert table.evaluate("it => it.scrollWidth <= it.clientWidth")
