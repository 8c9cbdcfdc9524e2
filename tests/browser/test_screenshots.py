"""What people see, as pictures: `make screenshots` keeps them in docs/pictures."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from itertools import count, cycle, islice
from pathlib import Path
from typing import Any

import cv2
import pytest
from playwright.sync_api import Page
from runs import Run
from watched import Watched

sys.path.append(str(Path(__file__).parents[1] / "unit" / "gateway"))
from fed_cameras import feed
from gateway_thread import Feeder

from framefan.base import clock

pytestmark = pytest.mark.chromium

SHAPES = f"onnx:{Path(__file__).parents[2] / 'examples' / 'shapes' / 'shapes.onnx'}"
SOURCES = (
    "front=demo?size=1280x720&seed=1",
    "gate=demo?size=640x360&seed=9&fps=10",
    "yard=demo?size=640x360&seed=5&fps=15",
)
BROKEN = "street=rtsp://127.0.0.1:9/stream"
VIEWS: dict[str, dict[str, Any]] = {
    "page-light": {"color_scheme": "light"},
    "page-dark": {"color_scheme": "dark"},
    "page-phone": {"color_scheme": "dark", "viewport": {"width": 390, "height": 844}},
    "page-large": {"color_scheme": "dark"},
    "page-broken": {"color_scheme": "light"},
}
FILLED_S = float(os.environ.get("SCREENSHOTS_AFTER_S", "0"))
"""So long the ledger fills before a picture is taken."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(os.environ.get("SCREENSHOTS") or tmp_path)


def keep(page: Page, path: Path, quality: int = 85) -> None:
    overflow = page.evaluate("document.documentElement.scrollWidth > innerWidth")
    assert not overflow, f"{path.stem} is wider than the screen"
    page.screenshot(path=path, type="jpeg", quality=quality)
    image = cv2.imread(str(path))
    assert image is not None
    assert image.std() > 15, f"{path.stem} is one flat colour"


def test_screenshots(opened: Callable[..., Watched], folder: Path) -> None:
    with Run(*SOURCES, BROKEN, "-p", SHAPES, "--track") as run:
        for name, options in VIEWS.items():
            shown = {"viewport": {"width": 1400, "height": 860}} | options
            watched = opened(**shown)
            page = watched.page
            page.goto(run.url)
            for camera in ("front", "gate", "yard"):
                page.wait_for_selector(
                    f".tile[data-camera={camera}][data-picture]:not([data-picture='0'])"
                )
            page.wait_for_function("() => /of 2 workers/.test(document.body.innerText)")
            if name == "page-large":
                page.click(".tile[data-camera=front] .open")
                page.wait_for_selector(".tile.large .results td")
            if name == "page-broken":
                page.wait_for_function("() => /next try in/.test(document.body.innerText)")
                page.eval_on_selector("[data-camera=street]", "it => it.scrollIntoView()")
            page.wait_for_timeout(FILLED_S * 1000)
            keep(page, folder / f"{name}.jpg")
            watched.assert_quiet(run.url)
            page.close()


MIXED = ("shapes", "people", "tall", "shapes", "4k", "value", "error", "crowd", "down", "people")
HEIGHTS = {390: 844, 1280: 720, 2560: 1440}
KEPT = {
    "page-wall": ("2560 dark", 40, MIXED),
    "page-crowd": ("1280 dark", 1, ("crowd",)),
    "page-values": ("1280 light", 3, ("value",)),
    "page-phone-many": ("390 light", 12, ("people", "tall", "shapes", "value")),
}
"""What docs/page.md shows: width and colours, how many cameras, and their kinds in turn."""
MORE = Path(os.environ.get("SCREENSHOTS_MORE") or "build/screenshots")
OTHERS = {
    f"{number}-at-{width}": (f"{width} {scheme}", number, MIXED if number > 4 else MIXED[4:8])
    for (width, number), scheme in zip(
        [(width, number) for width in HEIGHTS for number in (1, 4, 12, 40)],
        cycle(["light", "dark"]),
    )
}
"""To be looked at by who changes the page: `make screenshots` leaves them in build/screenshots."""
BARE = ".tile[data-picture='0']"
LEAST_TURNS, MOST_TURNS = 3, 12


@pytest.mark.parametrize("name", [*KEPT, *(OTHERS if "SCREENSHOTS" in os.environ else ())])
def test_screens_of_many_cameras(
    opened: Callable[..., Watched], feeder: Feeder, folder: Path, name: str
) -> None:
    look, number, kinds = (KEPT | OTHERS)[name]
    width, scheme = look.split()
    viewport = {"width": int(width), "height": HEIGHTS[int(width)]}
    names = (f"cam-{n}" for n in count(1))
    cameras = dict(zip(names, islice(cycle(kinds), number)))  # noqa: B905 - names do not end
    url = f"http://127.0.0.1:{feeder.gateway.port}"
    feed(feeder, cameras, 0)
    watched = opened(viewport=viewport, color_scheme=scheme)
    page = watched.page
    page.goto(f"{url}/")
    page.wait_for_selector("#connection[data-state=live]")
    began = clock.now()
    for turn in count(1):
        feed(feeder, cameras, turn, lambda: page.wait_for_timeout(60))
        page.wait_for_timeout(400)
        is_filled = name not in KEPT or clock.now() - began >= FILLED_S
        is_seen = page.query_selector(BARE) is None or turn > MOST_TURNS
        if turn >= LEAST_TURNS and is_filled and is_seen:
            break
    page.wait_for_function(
        "() => document.querySelector('.tile[data-picture]:not([data-picture=\"0\"])')"
    )
    to = folder if name in KEPT else MORE
    to.mkdir(parents=True, exist_ok=True)
    keep(page, to / f"{name}.jpg", 80)
    watched.assert_quiet(url)
