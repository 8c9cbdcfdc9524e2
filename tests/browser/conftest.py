"""A real Chromium, and what it complains of."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright
from watched import Watched

sys.path.append(str(Path(__file__).parents[1] / "unit" / "gateway"))
from gateway_thread import Feeder

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium: Browser) -> Iterator[Callable[..., Watched]]:
    """Opens a page in a context of its own; the options are the context's."""
    contexts = []

    def open_page(**options: Any) -> Watched:
        context = chromium.new_context(**({"viewport": {"width": 1000, "height": 700}} | options))
        contexts.append(context)
        return Watched(context.new_page())

    yield open_page
    for context in contexts:
        context.close()


@pytest.fixture
def feeder() -> Iterator[Feeder]:
    made = Feeder()
    yield made
    made.close()


@pytest.fixture
def page(request: pytest.FixtureRequest, feeder: Feeder, chromium: Browser) -> Iterator[Page]:
    """The gateway's page, as large as the module's VIEWPORT."""
    opened = chromium.new_page(viewport=request.module.VIEWPORT)
    opened.goto(f"http://127.0.0.1:{feeder.gateway.port}/")
    opened.wait_for_selector("#connection[data-state=live]")
    yield opened
    opened.close()
