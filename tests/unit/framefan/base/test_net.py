"""Which hosts are this machine's own, and how a URL is written."""

from __future__ import annotations

import pytest

from framefan.base import net


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.4", False),
        ("localhost.example.org", False),
        ("", False),
    ],
)
def test_loopback(host: str, loopback: bool) -> None:
    assert net.is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("arguments", "url"),
    [
        (("127.0.0.1", 1, False), "http://127.0.0.1:1/"),
        (("0.0.0.0", 1, False), "http://127.0.0.1:1/"),
        (("::", 1, True), "https://[::1]:1/"),
        (("cam.example", 1, False), "http://cam.example:1/"),
    ],
)
def test_urls(arguments: tuple[str, int, bool], url: str) -> None:
    assert net.url(*arguments) == url
