"""A real Chromium, and what it complains of."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


class Watched:
    """What a page said and asked for."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", self._said)

    def _said(self, message: Any) -> None:
        if message.type == "error":
            self.complaints.append(message.text)

    def assert_quiet(self, url: str) -> None:
        """No error, and nothing asked of anybody but `url`."""
        assert self.complaints == []
        origin = url.rstrip("/").split("://")[1]
        for asked in self.requests:
            scheme, _, rest = asked.partition("://")
            assert scheme.startswith("blob:") or rest.startswith(origin), asked


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
