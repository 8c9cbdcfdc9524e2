"""Addresses as people write them."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest

from framefan.client import address
from framefan.client.position import Position
from framefan.errors import UsageError


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("ws://h:1/ws", "ws://h:1/ws"),
        ("http://h:1/", "ws://h:1/ws"),
        ("https://h", "wss://h/ws"),
        ("wss://h:1/elsewhere", "wss://h:1/elsewhere"),
        ("h:8765", "ws://h:8765/ws"),
        ("localhost", "ws://localhost/ws"),
        ("[::1]:8765", "ws://[::1]:8765/ws"),
        ("h:1/ws?camera=a", "ws://h:1/ws?camera=a"),
        ("ws://h:1/ws#x", "ws://h:1/ws"),
    ],
)
def test_what_is_written_and_what_is_meant(written: str, meant: str) -> None:
    assert address.websocket(written) == meant


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("rtsp://h/x", "rtsp:// is not an address"),
        ("", "no host"),
        ("ws://:80", "no host"),
        ("h:99999", "ort"),
        ("h:0", "no host, or port 0"),
        ("ws://user:hunter2@h/ws", "token is"),
        ("ws://h/ws?token=hunter2", "logs"),
        ("ws://h/ws?camera=a&access_token=hunter2", "logs"),
    ],
)
def test_what_cannot_be_meant(written: str, why: str) -> None:
    with pytest.raises(UsageError) as caught:
        address.websocket(written)
    assert why in caught.value.why
    assert "user:hunter2" not in "\n".join(caught.value.lines())


def test_a_query_names_what_is_asked_for_and_nothing_else() -> None:
    subscription = {
        "cameras": ["a", "b"],
        "labels": ["50% & more"],
        "max_fps": 2.5,
        "nonempty": True,
        "history": 0,
        "min_confidence": None,
        "delivery": "every",
    }
    since = {"a": Position("e1", 3), "b": Position("e2", 4)}
    whole = address.asking("ws://h/ws?x=1", subscription, since)
    assert parse_qs(urlsplit(whole).query) == {
        "x": ["1"],
        "camera": ["a,b"],
        "label": ["50% & more"],
        "max_fps": ["2.5"],
        "nonempty": ["1"],
        "history": ["0"],
        "delivery": ["every"],
        "since": ["a:e1:3,b:e2:4"],
    }
    assert address.asking("ws://h/ws", {"nonempty": False}, {}) == "ws://h/ws"


def test_who_names_a_certificate_means_tls() -> None:
    assert address.websocket("h:1", tls=True) == "wss://h:1/ws"
    assert address.websocket("https://h:1", tls=True) == "wss://h:1/ws"
    with pytest.raises(UsageError, match="not an address") as caught:
        address.websocket("http://h:1", tls=True)
    assert "does not use TLS" in caught.value.why
