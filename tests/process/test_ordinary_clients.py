"""The libraries that people use, at a real run: slow handlers, stops, and a long way."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import pytest
from far_proxy import FarProxy
from runs import Run
from waiting import pause, slack, wait_until

from framefan.base.clock import now, wall

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

pytestmark = pytest.mark.alone

PROGRAM = Path(__file__).parents[1] / "ordinary_client.py"
RATE = 30
HANDLER_S = 0.5
SETTLED_S = 8.0
PLAYED_S = 17.0
ONE_WAY_S = 0.1
STOPS = {"stopped": (8.0, 14.0), "far": (8.0, 9.0)}
"""From when to when a client's process stands still, in seconds: one of them for longer than a line
with bytes in it may."""
HOARDS = {
    "websockets": 18,
    "websockets-1": 3,
    "websockets-sync": 18,
    "websocket-client": 2,
    "aiohttp": 2,
}
"""How many handler times old a result may be, in each library as it comes: what it keeps ahead."""
QUERIES = ("", "?ack=1", "?ack=auto")


@dataclass
class Ordinary:
    """One such client, in a process of its own."""

    library: str
    url: str
    handler_s: float = 0.0

    def __enter__(self) -> Self:
        self.process = subprocess.Popen(
            [sys.executable, PROGRAM, self.library, self.url, str(self.handler_s)],
            stdout=subprocess.PIPE,
        )
        assert self.process.stdout
        os.set_blocking(self.process.stdout.fileno(), False)
        self._unread = b""
        self.said: list[dict[str, Any]] = []
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdout
        self.process.stdout.close()

    def results(self) -> list[dict[str, Any]]:
        """All that its handler has begun with. It must not have been closed."""
        assert self.process.stdout
        self._unread += self.process.stdout.read() or b""
        *lines, self._unread = self._unread.split(b"\n")
        self.said += map(json.loads, lines)
        assert not any("closed" in each for each in self.said), self.said[-1]
        return self.said

    def ages(self, after: float) -> list[float]:
        """Of what its handler began with after this wall time, in seconds."""
        return [each["at"] - each["ts"] for each in self.results() if each["at"] > after]

    def check_account(self) -> None:
        """What it was told as missed is the hole, each time."""
        for before, each in zip(self.said, self.said[1:], strict=False):
            assert each["epoch"] == before["epoch"]
            assert each["seq"] == before["seq"] + 1 + each["missed"]


class Play:
    """All of them at one run, beside each other."""

    def __init__(self, run: Run, far_port: int) -> None:
        self.slow = {
            (library, query): Ordinary(library, run.ws + query, HANDLER_S)
            for library in HOARDS
            for query in QUERIES
        }
        self.stopped = {query: Ordinary("websockets", run.ws + query) for query in QUERIES}
        self.far = Ordinary("websockets", f"ws://127.0.0.1:{far_port}/ws")

    def play(self) -> None:
        began, self.began = now(), wall()
        stops = [(each, STOPS["stopped"]) for each in self.stopped.values()]
        stops.append((self.far, STOPS["far"]))
        signals = [
            moment
            for each, (still, moves) in stops
            for moment in ((still, each, signal.SIGSTOP), (moves, each, signal.SIGCONT))
        ]
        for at, client, sent in sorted(signals, key=lambda each: each[0]):
            self.watch(began + at)
            client.process.send_signal(sent)
        self.watch(began + PLAYED_S)

    def clients(self) -> list[Ordinary]:
        return [*self.slow.values(), *self.stopped.values(), self.far]

    def watch(self, end: float) -> None:
        while now() < end:
            pause(0.1)
            for client in self.clients():
                client.results()


@pytest.fixture(scope="module")
def play() -> Iterator[Play]:
    with (
        ExitStack() as stack,
        Run(f"demo?size=320x240&fps={RATE}") as run,
        FarProxy(run.port, ONE_WAY_S) as proxy,
    ):
        played = Play(run, proxy.port)
        for client in played.clients():
            stack.enter_context(client)
        wait_until(lambda: all(client.results() for client in played.clients()), 30)
        played.play()
        yield played


@pytest.mark.parametrize("query", QUERIES)
@pytest.mark.parametrize("library", HOARDS)
def test_a_slow_handler_is_never_cut_and_handles_what_is_new(
    play: Play, library: str, query: str
) -> None:
    """At most two handler times old where it acknowledges; else as old as its library's queue."""
    client = play.slow[library, query]
    ages = client.ages(play.began + SETTLED_S)
    assert len(ages) > 5
    most = 2 * HANDLER_S + 0.5 if query else HOARDS[library] * HANDLER_S + 1.0
    assert max(ages) <= most * slack()
    client.check_account()


@pytest.mark.parametrize("query", QUERIES)
def test_a_client_that_is_stopped_resumes_with_fresh_results(play: Play, query: str) -> None:
    """As in a debugger. It is not cut, and the gap is told."""
    client = play.stopped[query]
    ages = client.ages(play.began + STOPS["stopped"][1] + 1.0)
    assert len(ages) > RATE / slack()
    assert max(ages) < 0.5 * slack()
    client.check_account()
    assert max(each["missed"] for each in client.said) > 3 * RATE


def test_a_fast_client_far_away_has_the_full_rate_within_four_seconds(play: Play) -> None:
    """Of its first second, and of a pause of one."""
    client = play.far
    for since in (0.0, STOPS["far"][1]):
        start = play.began + since + 4.0
        got = [each for each in client.said if start <= each["at"] < start + 3.0]
        assert len(got) >= 3 * RATE * 0.9 / slack()
        ages = sorted(each["at"] - each["ts"] for each in got)
        assert ages[len(ages) // 2] <= ONE_WAY_S + 0.05 * slack()
    client.check_account()
