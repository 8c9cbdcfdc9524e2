"""A page in Chromium, and what it complains of."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Page


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
