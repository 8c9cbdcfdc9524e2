"""What people see, as pictures: `make screenshots` keeps them in docs/pictures."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest
from runs import Run
from watched import Watched

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
            overflow = page.evaluate("document.documentElement.scrollWidth > innerWidth")
            assert not overflow, f"{name} is wider than the screen"
            path = folder / f"{name}.jpg"
            page.screenshot(path=path, type="jpeg", quality=85)
            image = cv2.imread(str(path))
            assert image is not None
            assert image.std() > 15, f"{name} is one flat colour"
            watched.assert_quiet(run.url)
            page.close()
