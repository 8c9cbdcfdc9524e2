"""A gateway that is killed, or stands still: each client learns exactly what it missed."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
from typing import TYPE_CHECKING, Any

import psutil
from faults import limits, sabotage
from runs import Run, assert_balanced, assert_exactly_once
from waiting import SCALE, slack, wait_until
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from framefan.base.clock import now

if TYPE_CHECKING:
    from pathlib import Path

SOURCE = "cam=demo?size=160x120&fps=30"
OFTEN = limits(state_every_s=0.1)
BACK_S = 20.0 * SCALE
KILLS = 2
STANDS_S = 10.0
MAY_GROW = 24 << 20
OLD_MS = 1000.0


class Returning:
    """A plain client that comes back by itself, with the last epoch and seq it had."""

    def __init__(self, ws: str, delivery: str) -> None:
        self._ws = f"{ws}?delivery={delivery}"
        self.told: list[dict[str, Any]] = []
        self.returns = 0
        self.enough = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Returning:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.enough.set()
        self._thread.join(BACK_S)
        assert not self._thread.is_alive()

    @property
    def results(self) -> list[dict[str, Any]]:
        return [message for message in list(self.told) if message["type"] == "result"]

    def _run(self) -> None:
        while not self.enough.is_set():
            with (
                contextlib.suppress(OSError, WebSocketException),
                connect(self._since(), proxy=None, open_timeout=1) as client,
            ):
                while not self.enough.is_set():
                    with contextlib.suppress(TimeoutError):
                        self.told.append(json.loads(client.recv(timeout=0.2)))
            self.returns += 1
            self.enough.wait(0.05)

    def _since(self) -> str:
        if not self.results:
            return self._ws
        last = self.results[-1]
        return f"{self._ws}&since=cam:{last['epoch']}:{last['seq']}"

    def causes(self) -> dict[str, int]:
        """By cause, all that it was told it missed; each hole is checked on the way."""
        found: dict[str, int] = {}
        last, told = self.results[0]["seq"] - 1, 0
        for message in self.told:
            if message["type"] not in ("result", "gap"):
                continue
            told += message["missed"]
            for cause, count in message.get("missed_by", {}).items():
                found[cause] = found.get(cause, 0) + count
            if message["type"] == "result":
                assert message["seq"] == last + 1 + told, (last, told, message)
                last, told = message["seq"], 0
        return found


def test_clients_that_come_back_to_another_gateway_learn_what_they_missed() -> None:
    with Run(SOURCE, env=OFTEN) as run, contextlib.closing(run.results()) as outcomes:
        pool = run.pid_of("pool")
        with (
            Returning(run.ws, "every") as one,
            Returning(run.ws, "every") as two,
            Returning(run.ws, "latest") as latest,
        ):
            clients = (one, two, latest)
            for kill in range(KILLS):
                counts = [len(client.results) + 20 for client in clients]
                wait_until(lambda c=counts: _have(clients, c), BACK_S, "results")
                gateway = run.pid_of("gateway")
                os.kill(gateway, signal.SIGKILL)
                wait_until(lambda g=gateway: run.pid_of("gateway") not in (g, 0), BACK_S, "another")
                wait_until(
                    lambda k=kill: min(client.returns for client in clients) > k, BACK_S, "returns"
                )
            counts = [len(client.results) + 20 for client in clients]
            wait_until(lambda: _have(clients, counts), BACK_S, "results")
            said = run.fresh_state()
        seen = outcomes.read()
        assert_exactly_once(seen)
        assert_balanced(said)
        assert run.pid_of("pool") == pool
        for client in clients:
            resumed = [message for message in client.told if message["type"] == "resumed"]
            assert len(resumed) == KILLS
            assert not any(message["recovered"] for message in resumed)
            assert {message["epoch"] for message in resumed} == {seen[0].epoch}
            causes, results = client.causes(), client.results
            span = results[-1]["seq"] - results[0]["seq"] + 1
            assert span == len(results) + sum(causes.values())
            assert causes["history"] >= KILLS, "a gateway was killed, and nothing was missed?"
            assert set(causes) <= {"history", "bus", "conflated", "lost"}


def _have(clients: tuple[Returning, ...], counts: list[int]) -> bool:
    pairs = zip(clients, counts, strict=True)
    return all(len(client.results) >= count for client, count in pairs)


def test_a_gateway_that_hung_sends_no_old_results() -> None:
    with Run(SOURCE.replace("30", "60"), env=OFTEN) as run:
        gateway, pool = run.pid_of("gateway"), run.pid_of("pool")
        told: list[dict[str, Any]] = []
        with connect(run.ws, proxy=None) as client:

            def read(count: int) -> list[dict[str, Any]]:
                start = len(told)
                while sum(message["type"] == "result" for message in told[start:]) < count:
                    told.append(json.loads(client.recv(timeout=10 * SCALE)))
                return [message for message in told[start:] if message["type"] == "result"]

            read(60)
            before = psutil.Process(gateway).memory_info().rss
            psutil.Process(gateway).suspend()
            until = now() + STANDS_S
            try:
                wait_until(lambda: now() > until, STANDS_S + 1, "a while")
            finally:
                psutil.Process(gateway).resume()
            late = read(120)
            grown = psutil.Process(gateway).memory_info().rss - before
            late += read(60)
        assert run.pid_of("gateway") == gateway, "it was restarted"
        assert run.pid_of("pool") == pool
        assert grown < MAY_GROW, grown
        assert not [message for message in told if message.get("subject") == "pool"]
        old = [message for message in late if message["latency_ms"]["total"] > OLD_MS]
        assert len(old) <= 5, [message["latency_ms"]["total"] for message in old]
        causes: dict[str, int] = {}
        for message in late:
            for cause, count in message.get("missed_by", {}).items():
                causes[cause] = causes.get(cause, 0) + count
        results = [message for message in told if message["type"] == "result"]
        span = results[-1]["seq"] - results[0]["seq"] + 1
        assert span == len(results) + sum(message["missed"] for message in results[1:])
        assert sum(causes.values()) > STANDS_S * 60 / 2 / slack()
        assert causes["conflated"] > 100 / slack(), (
            "nothing old waited for it, so nothing was shown"
        )
        facts = run.fresh_state().gateways[0]
        assert facts.offered == facts.sent + facts.missed
        assert_balanced(run.fresh_state())


def test_an_error_while_one_client_is_served_ends_that_client_alone(tmp_path: Path) -> None:
    code = """
import framefan_gateway.connection.flow as m
pong = m.Paced.pong
def fail(self, number):
    if self._port.subscription.max_fps == 5.0:
        raise ArithmeticError("of this client")
    pong(self, number)
m.Paced.pong = fail
"""
    env = OFTEN | sabotage(tmp_path, "framefan_gateway.main", code)
    with Run(SOURCE, env=env) as run, connect(run.ws, proxy=None) as good:
        gateway = run.pid_of("gateway")
        with (
            connect(f"{run.ws}?max_fps=5", proxy=None) as bad,
            contextlib.suppress(ConnectionError),
            contextlib.suppress(WebSocketException),
        ):
            while True:
                bad.recv(timeout=10)
        assert bad.close_code != 1001, "the whole gateway went"
        for _ in range(60):
            good.recv(timeout=10)
        assert run.pid_of("gateway") == gateway
        assert "of this client" in run.log()
        ends = run.get("/metrics")[1].decode()
        assert 'framefan_closes_total{code="error",gateway="1"} 1.0' in ends
