"""Several gateways on one socket: even, each for itself, and together one run to whoever asks."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections import Counter
from collections.abc import Callable
from typing import Any

import psutil
import pytest
from faults import limits
from prometheus_client.parser import text_string_to_metric_families
from runs import Run, framefan
from waiting import SCALE, wait_until
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.protocol import State

from framefan.base import clock

SOURCE = "cam=demo?size=160x120&fps=10"
OFTEN = limits(state_every_s=0.1)
CLIENTS = 100
STORM = 50
BACK_S = 2.0
STORM_BACK_S = 3.0
SCRAPES = 50
START_S = 20.0


class Client:
    """An ordinary client that comes back, and notes when it was cut off and when it had results."""

    def __init__(self, url: str, again_s: float = 0.05) -> None:
        self._url = url
        self._again_s = again_s
        self.port = 0
        self.cuts: list[float] = []
        self.codes: list[int] = []
        self.back: list[float] = []
        self.refusals: list[str] = []
        self.results = 0
        self.task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        while True:
            try:
                async with connect(self._url, proxy=None, open_timeout=30) as client:
                    self.port = client.local_address[1]
                    first = True
                    async for text in client:
                        if json.loads(text)["type"] == "result":
                            self.results += 1
                            if first and self.cuts:
                                self.back.append(clock.now())
                            first = False
            except ConnectionClosed:
                pass
            except InvalidStatus as error:
                self.refusals.append(str(error))
            except OSError as error:
                self.refusals.append(repr(error))
            else:
                self.codes.append(client.close_code or 0)
            if len(self.cuts) == len(self.back):
                self.cuts.append(clock.now())
            await asyncio.sleep(self._again_s)


async def until(condition: Callable[[], Any], seconds: float) -> None:
    deadline = clock.now() + seconds * SCALE
    while not condition():
        assert clock.now() < deadline, "waited too long"
        await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def crowd(run: Run, count: int, again_s: float = 0.05) -> Any:
    clients = [Client(run.ws, again_s) for _ in range(count)]
    await until(lambda: all(each.results for each in clients), START_S)
    try:
        yield clients
    finally:
        for each in clients:
            each.task.cancel()
        await asyncio.gather(*(each.task for each in clients), return_exceptions=True)


async def homes(run: Run) -> dict[int, int]:
    """By the client's port, its gateway."""
    _, listed = await asyncio.to_thread(run.get, "/api/clients")
    assert "missing" not in listed
    return {int(each["remote"].rsplit(":", 1)[1]): each["gateway"] for each in listed["clients"]}


async def counters(run: Run) -> dict[Any, float]:
    _, text = await asyncio.to_thread(run.get, "/metrics")
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
        if family.type in ("counter", "histogram")
    }


def kill(run: Run, gateway: int) -> None:
    os.kill(run.pid_of("gateway", gateway), signal.SIGKILL)


def restarted(run: Run) -> bool:
    """Whether another gateway 2 serves."""
    row = run.fresh_state().gateways[1]
    return row.restarts == 1 and row.state == "ready" and row.pid > 0


async def killed_one(run: Run) -> None:
    seen: dict[Any, float] = {}

    async def scrape() -> None:
        for key, value in (await counters(run)).items():
            assert value >= seen.get(key, 0), key
            seen[key] = value

    async with crowd(run, CLIENTS) as clients:
        where = await homes(run)
        shares = Counter(where[each.port] for each in clients)
        assert sum(shares.values()) == CLIENTS
        assert max(shares.values()) <= 1.05 * CLIENTS / 2 + 5, shares
        await scrape()
        there = [each for each in clients if where[each.port] == 2]
        await asyncio.to_thread(kill, run, 2)
        start = clock.now()
        await until(lambda: all(each.back for each in there), START_S)
        took = max(each.back[0] for each in there) - start
        assert took < BACK_S * SCALE, took
        for _ in range(SCRAPES):
            await scrape()
        assert not any(each.cuts for each in clients if each not in there), "they saw nothing of it"
        assert not any(each.refusals for each in clients)
        await until(lambda: restarted(run), START_S)
        for _ in range(SCRAPES):
            await scrape()


def test_one_is_killed_and_only_its_clients_notice() -> None:
    with Run(SOURCE, "--gateways", "2", env=OFTEN) as run:
        asyncio.run(killed_one(run))


async def storm(run: Run) -> None:
    async with crowd(run, STORM, again_s=1.0) as clients:
        await asyncio.to_thread(kill, run, 1)
        start = clock.now()
        await until(lambda: all(each.back for each in clients), START_S)
        assert max(each.back[0] for each in clients) - start < STORM_BACK_S * SCALE
        assert not any(each.refusals for each in clients)


def test_all_clients_of_a_gateway_that_is_killed_are_back_and_none_is_refused() -> None:
    with Run(SOURCE, env=OFTEN) as run:
        asyncio.run(storm(run))


# ---- scale --------------------------------------------------------------------------------------


def scale(run: Run, *arguments: str) -> Any:
    env = {"XDG_RUNTIME_DIR": str(run.runtime)}
    return framefan("scale", "--name", run.name, *arguments, env=env)


async def scaled(run: Run) -> None:
    async with crowd(run, 20) as clients:
        done = await asyncio.to_thread(scale, run, "--gateways", "3")
        assert (done.returncode, done.stdout) == (0, "gateways   1 -> 3\n"), done.stderr
        assert [row.id for row in run.fresh_state().gateways] == [1, 2, 3]
        assert not any(each.cuts for each in clients)
        async with crowd(run, 30) as more:
            assert set((await homes(run)).values()) == {1, 2, 3}
            done = await asyncio.to_thread(scale, run, "--gateways", "1", "--json")
            assert json.loads(done.stdout)["now"] == "1"
            await until(lambda: [row.id for row in run.fresh_state().gateways] == [1], START_S)
            await until(lambda: all(len(each.back) == len(each.cuts) for each in more), START_S)
            assert {code for each in more for code in each.codes} == {1001}
            assert not any(each.refusals for each in more)
        assert not any(each.cuts for each in clients), "the first gateway has stayed"


def test_gateways_are_added_and_taken_away_while_it_runs() -> None:
    with Run(SOURCE, env=OFTEN) as run:
        asyncio.run(scaled(run))


def test_scale_takes_one_number_at_a_time() -> None:
    for wrong in ((), ("4", "--gateways", "2"), ("--gateways", "0"), ("--gateways", "33")):
        done = framefan("scale", *wrong)
        assert done.returncode == 2, wrong


# ---- caps ---------------------------------------------------------------------------------------


async def capped(run: Run, most: int) -> None:
    clients = [await connect(run.ws, proxy=None) for _ in range(most)]
    await until(lambda: sum(row.clients for row in run.fresh_state().gateways) == most, START_S)
    assert {row.clients > 0 for row in run.fresh_state().gateways} == {True}
    for _ in range(4):  # whichever gateway takes it
        with pytest.raises(InvalidStatus) as refused:
            await connect(run.ws, proxy=None)
        assert refused.value.response.status_code == 503
    there = next(row.clients for row in run.fresh_state().gateways if row.id == 2)
    await asyncio.to_thread(kill, run, 2)
    await until(lambda: sum(each.state is State.CLOSED for each in clients) == there, START_S)
    again = [await connect(run.ws, proxy=None, open_timeout=20) for _ in range(there)]
    with pytest.raises(InvalidStatus):
        await connect(run.ws, proxy=None)
    for each in (*clients, *again):
        each.transport.abort()


@pytest.mark.parametrize("limit", ["max_clients", "clients_per_address"])
def test_a_cap_is_of_the_run(limit: str) -> None:
    most = 12
    with Run(SOURCE, "--gateways", "2", env=limits(state_every_s=0.1, **{limit: most})) as run:
        asyncio.run(capped(run, most))


# ---- one that stands still ----------------------------------------------------------------------


def test_new_clients_are_not_left_to_a_gateway_that_hangs() -> None:
    with Run(SOURCE, "--gateways", "2", env=limits(state_every_s=0.1, state_lost_s=1)) as run:
        still = psutil.Process(run.pid_of("gateway", 2))
        still.suspend()
        try:
            wait_until(lambda: run.fresh_state().gateways[1].state == "silent", 10)

            async def come() -> list[int]:
                clients = await asyncio.gather(
                    *(connect(run.ws, proxy=None, open_timeout=20) for _ in range(60))
                )
                for each in clients:
                    each.transport.abort()
                return [0] * len(clients)

            assert len(asyncio.run(come())) == 60
        finally:
            still.resume()
