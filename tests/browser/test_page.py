"""The page in a real browser: live, self-contained, and honest when the server is gone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from playwright.sync_api import Page, sync_playwright
from runs import Run

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]

# True once the lines of boxes and their labels brighten more than 100 pixels of the canvases. It is
# waited for, not looked at once: between two boxes a canvas may be bare.
BRIGHT_PIXELS = """() => [...document.querySelectorAll('canvas')].map(canvas => {
    const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    let bright = 0;
    for (let i = 0; i < data.length; i += 4)
        if (data[i + 3] > 0 && data[i] + data[i + 1] + data[i + 2] > 350) bright++;
    return bright;
}).reduce((a, b) => a + b, 0) > 100"""

pytestmark = pytest.mark.chromium


@pytest.fixture
def page() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser.new_page(viewport={"width": 1000, "height": 700})
        browser.close()


def test_it_shows_results_live_and_says_when_they_stop(page: Page) -> None:
    complaints: list[str] = []
    requests: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    with Run("front=demo?size=640x360", "back=demo?size=640x360&seed=2") as run:
        page.on(
            "console",
            lambda message: complaints.append(message.text) if message.type == "error" else None,
        )
        page.goto(run.url)
        for name in ("front", "back"):
            page.wait_for_function("name => document.body.innerText.includes(name)", arg=name)
        page.wait_for_function("() => /motion .{1,3}[1-9]/.test(document.body.innerText)")
        first = page.inner_text("body")
        page.wait_for_function("before => document.body.innerText !== before", arg=first)
        page.wait_for_function(BRIGHT_PIXELS)
        assert complaints == []
        origin = run.url.split("://")[1]
        assert all(url.split("://")[1].startswith(origin) for url in requests), requests
        assert "live" in page.inner_text("header")
    page.wait_for_function("() => !document.querySelector('header').innerText.includes('live')")
