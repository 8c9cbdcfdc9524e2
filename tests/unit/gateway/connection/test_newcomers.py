"""While a crowd joins, newcomers get little, and everybody else what they always get."""

from __future__ import annotations

import asyncio
import json
import math
from itertools import pairwise
from typing import Any

import pytest
from gateway_server import running, until
from hypothesis import given
from hypothesis import strategies as st
from talk import seqs
from websockets.asyncio.client import ClientConnection, connect

from framefan.base import clock
from framefan_gateway import server
from framefan_gateway.connection import crowd
from framefan_gateway.connection.crowd import Crowd, Newcomer

TICK_S = 0.01
CROWD_RATE = 50.0


def write_as_allowed(newcomer: Newcomer, times: list[float]) -> list[float]:
    """When a client is written to that always has something due."""
    written = []
    for now in times:
        if not newcomer.must_wait(now):
            newcomer.record_write(now)
            written.append(now)
    return written


@pytest.mark.parametrize(
    ("rate", "joins", "after_s", "is_one"),
    [
        (CROWD_RATE, crowd.LEAST - 1, 0.0, False),
        (CROWD_RATE, crowd.LEAST, 0.0, True),
        (CROWD_RATE, crowd.LEAST, crowd.GAP_S * 0.9, True),
        (CROWD_RATE, crowd.LEAST, crowd.GAP_S * 1.1, False),
        (10.0, 500, 0.0, False),
    ],
)
def test_a_crowd_is_many_that_join_at_about_the_same_time(
    rate: float, joins: int, after_s: float, is_one: bool
) -> None:
    those = Crowd()
    assert not those.is_joining(0.0)
    for number in range(joins):
        those.join(number / rate)
    assert those.is_joining((joins - 1) / rate + after_s) == is_one


@given(joined_at=st.floats(0, 5), crowd_s=st.floats(1, 25), first=st.floats(0, 20))
def test_a_newcomer_is_written_to_twice_and_then_once_a_second(
    joined_at: float, crowd_s: float, first: float
) -> None:
    those, newcomer = Crowd(), Newcomer(Crowd(), joined_at)
    newcomer._crowd = those
    written: list[float] = []
    for number in range(int(crowd_s * CROWD_RATE)):
        now = number / CROWD_RATE
        those.join(now)
        if now >= joined_at + first:
            written += write_as_allowed(newcomer, [now])
    grown_at = joined_at + crowd.NEWCOMER_S
    joining = [at for at in written if those_were_joining(at) and at < grown_at]
    gaps = [b - a for a, b in pairwise(joining[1:])]
    assert all(gap >= crowd.EACH_S - TICK_S for gap in gaps)
    over = crowd_s + crowd.GAP_S + TICK_S
    for free_from in (over, grown_at):
        times = [free_from + each * TICK_S for each in range(50)]
        late = [at for at in times if at >= max(joined_at, free_from)]
        assert write_as_allowed(newcomer, late) == late


def those_were_joining(at: float) -> bool:
    return at >= (crowd.LEAST - 1) / CROWD_RATE


async def read(client: ClientConnection, results: list[dict[str, Any]], acks: bool) -> None:
    async for text in client:
        results.append(json.loads(text))
        if acks:
            await client.send(json.dumps({"ack": len(results)}))


@pytest.mark.parametrize("query", ["", "?ack=2", "?ack=auto"])
async def test_an_older_client_gets_all_and_a_newcomer_gets_the_count_of_the_missed(
    query: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = 60
    async with running() as gateway, asyncio.TaskGroup() as tasks:
        seen: tuple[list[dict[str, Any]], ...] = ([], [])
        readers = []
        for results, newcomer_s in zip(seen, (-math.inf, crowd.NEWCOMER_S), strict=True):
            monkeypatch.setattr(crowd, "NEWCOMER_S", newcomer_s)
            before = gateway.hub.clients
            client = await connect(gateway.url + query, proxy=None, compression=None)
            await until(lambda before=before: gateway.hub.clients > before)
            readers.append(tasks.create_task(read(client, results, acks=bool(query))))
        older, newcomer = seen
        for seq in range(last):
            for _ in range(crowd.LEAST):
                gateway.server.crowd.join(clock.now())
            gateway.publish()
            await until(lambda seq=seq: older and older[-1]["seq"] == seq)
        assert seqs(older) == list(range(last))
        assert len(newcomer) < last / 2
        await until(lambda: newcomer[-1]["seq"] == last - 1)
        for before, after in pairwise(newcomer):
            assert after["missed"] == after["seq"] - before["seq"] - 1
        for reader in readers:
            reader.cancel()


async def test_clients_held_back_are_served_as_soon_as_the_crowd_has_joined(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "_PULSES", 1)  # as if there were thousands of clients
    count, rounds = 2 * crowd.LEAST, 20
    async with running() as gateway, asyncio.TaskGroup() as tasks:
        seen: list[list[dict[str, Any]]] = [[] for _ in range(count)]
        clients = [await connect(gateway.url, proxy=None, compression=None) for _ in range(count)]
        await until(lambda: gateway.hub.clients == count)
        readers = [
            tasks.create_task(read(client, results, acks=False))
            for client, results in zip(clients, seen, strict=True)
        ]
        for seq in range(rounds):
            gateway.server.crowd.join(clock.now())
            gateway.publish()
            await until(lambda seq=seq: gateway.hub.totals().offered >= count * (seq + 1))
        began = clock.now()
        await until(lambda: all(results[-1]["seq"] == rounds - 1 for results in seen if results))
        assert clock.now() - began < count * server._PULSE_S / 2
        for reader in readers:
            reader.cancel()
