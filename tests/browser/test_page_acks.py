"""When the page acknowledges what came, on a WebSocket that this test speaks for."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, WebSocketRoute
from waiting import SCALE

sys.path.append(str(Path(__file__).parents[1] / "unit" / "framefan"))
sys.path.append(str(Path(__file__).parents[1] / "unit" / "gateway"))
from gateway_thread import Feeder
from scripted_gateway import result

pytestmark = pytest.mark.chromium

FRAMES_BY_HAND = """
    window.due = [];
    window.requestAnimationFrame = (callback) => due.push(callback);
    window.drawNow = () => { for (const each of due.splice(0)) each(performance.now()); };
"""
HIDDEN = "Object.defineProperty(document, 'hidden', { get: () => window.away });"
STATUS = {"type": "status", "ts": 1.0, "epoch": "e1", "subject": "pool", "state": "live"}
HEAD = json.dumps(result(1)).encode()
PICTURE = len(HEAD).to_bytes(4, "big") + HEAD + b"\xff\xd8"


class Spoken:
    """The page's WebSockets: what it said on each, and what is said to it."""

    def __init__(self) -> None:
        self.sockets: list[WebSocketRoute] = []
        self.acks: list[list[int]] = []

    def take(self, socket: WebSocketRoute) -> None:
        self.sockets.append(socket)
        acks: list[int] = []
        self.acks.append(acks)
        socket.on_message(lambda text: self._heard(acks, json.loads(text)))

    def _heard(self, acks: list[int], message: dict[str, Any]) -> None:
        if "ack" in message:
            assert message == {"ack": message["ack"]}
            acks.append(message["ack"])

    def say(self, *messages: dict[str, Any] | bytes) -> None:
        for each in messages:
            self.sockets[-1].send(json.dumps(each) if isinstance(each, dict) else each)


@pytest.fixture(scope="module")
def feeder() -> Iterator[Feeder]:
    made = Feeder()
    yield made
    made.close()


@pytest.fixture
def opened(feeder: Feeder, chromium: Browser) -> Iterator[Callable[..., tuple[Page, Spoken]]]:
    pages = []

    def open_page(*scripts: str) -> tuple[Page, Spoken]:
        page, spoken = chromium.new_page(), Spoken()
        pages.append(page)
        page.route_web_socket("**/ws?*", spoken.take)
        for each in scripts:
            page.add_init_script(each)
        page.goto(f"http://127.0.0.1:{feeder.gateway.port}/")
        page.wait_for_selector("#connection[data-state=live]")
        return page, spoken

    yield open_page
    for each in pages:
        each.close()


def until(page: Page, condition: Callable[[], Any]) -> None:
    """The page's words are heard while it is waited for."""
    for _ in range(int(500 * SCALE)):
        if condition():
            return
        page.wait_for_timeout(10)
    assert condition()


def test_what_came_is_acknowledged_when_it_is_drawn(opened: Any) -> None:
    page, spoken = opened(FRAMES_BY_HAND)
    spoken.say(result(1), STATUS, {"type": "weather"}, {"type": "reply", "id": 9, "ping": {}})
    page.wait_for_selector(".tile[data-camera=cam]")
    page.wait_for_function("() => due.length > 0")
    assert spoken.acks == [[]], "nothing is drawn yet"
    page.evaluate("drawNow()")
    until(page, lambda: spoken.acks == [[4]])
    spoken.say(PICTURE, result(2))
    page.wait_for_function("() => due.length > 0")
    assert spoken.acks == [[4]]
    page.evaluate("drawNow()")
    until(page, lambda: spoken.acks == [[4, 6]])
    assert spoken.sockets[0].url.endswith("?ack=auto&preview=640")


def test_a_page_that_nobody_sees_acknowledges_what_it_took(opened: Any) -> None:
    page, spoken = opened(FRAMES_BY_HAND, "window.away = true;", HIDDEN)
    for seq in range(1, 6):
        spoken.say(result(seq))
        until(page, lambda seq=seq: spoken.acks == [list(range(1, seq + 1))])


def test_a_page_that_is_left_before_it_drew_acknowledges(opened: Any) -> None:
    page, spoken = opened(FRAMES_BY_HAND, "window.away = false;", HIDDEN)
    spoken.say(result(1))
    page.wait_for_function("() => due.length > 0")
    assert spoken.acks == [[]]
    page.evaluate("away = true; document.dispatchEvent(new Event('visibilitychange'))")
    until(page, lambda: spoken.acks == [[1]])
    page.evaluate("drawNow()")
    spoken.say(result(2))
    until(page, lambda: spoken.acks == [[1, 2]])


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (1001, "the server was stopped"),
        (4409, "this page did not answer for a minute"),
        (4999, "connection lost"),
    ],
)
def test_it_says_why_it_was_closed_and_counts_anew(opened: Any, code: int, words: str) -> None:
    page, spoken = opened("Math.random = () => 60;")  # or it tries again before it is looked at
    spoken.say(result(1), result(2))
    until(page, lambda: spoken.acks[0][-1:] == [2])
    spoken.sockets[0].close(code=code, reason="as told")
    page.wait_for_selector("#connection[data-state=lost]")
    assert page.inner_text("#connection") == f"{words}, trying again in"
    page.click("#again")
    page.wait_for_selector("#connection[data-state=live]")
    spoken.say(result(3))
    until(page, lambda: spoken.acks[-1] == [1])
