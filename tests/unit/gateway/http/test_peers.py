"""A list of the clients of all gateways, from whichever is asked."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from gateway_server import WAIT_S
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from framefan.base import clock
from framefan.ipc.gateway_counts import GatewayCounts
from framefan.settings.run import Settings
from framefan_gateway.delivery.hub import Hub
from framefan_gateway.delivery.subscribers import Writer
from framefan_gateway.delivery.subscription import DEFAULT
from framefan_gateway.http import client_list, peers
from framefan_gateway.http.peers import Peers
from framefan_gateway.http.web import Web
from framefan_gateway.intake import Intake


class Member:
    def __init__(self, folder: Path, fd: int, number: int, clients: int) -> None:
        self.settings = Settings(run_dir=str(folder))
        counts = GatewayCounts(fd, number)
        counts.beat(clock.now())
        self.hub = Hub(1000, 1 << 20)
        self.connections = [self._connected(number, each) for each in range(clients)]
        self.peers = Peers(self.settings, number, counts, self.facts)
        self.number = number

    def _connected(self, number: int, each: int) -> Any:
        client = self.hub.join(DEFAULT, Writer(len, len), lambda _: None, 0.0)
        facts = {"id": f"{number}-{each}", "remote_address": ("::1", each), "request": None,
                 "joined_at": 0.0, "blocked_since": None, "client": client}  # fmt: skip
        return SimpleNamespace(**facts)

    def facts(self) -> Iterator[Any]:
        return client_list.facts(self.connections, 1.0, self.number)

    def web(self) -> Web:
        return Web(self.settings, self.number, self.hub, Intake(self.hub, 3.0),
                   clients=self.facts, others=self.peers.ask)  # fmt: skip

    async def listed(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(await read(self.web(), "/api/clients"))
        return found


async def read(web: Web, path: str) -> bytes:
    answer = web.answer(Request(path, Headers({"Host": "localhost"})))
    assert answer is not None
    assert not isinstance(answer, Response)
    return (await answer).body


@contextlib.asynccontextmanager
async def members(folder: Path, *clients: int) -> Any:
    fd = GatewayCounts.make(len(clients), addresses=False)
    made = [Member(folder, fd, n + 1, count) for n, count in enumerate(clients)]
    for each in made:
        await each.peers.open()
    yield made, GatewayCounts(fd)
    for each in made:
        each.peers.close()
    os.close(fd)


async def test_any_gateway_lists_the_clients_of_all(tmp_path: Path) -> None:
    async with members(tmp_path, 2, 350, 0) as (made, _):
        for each in made:
            found = await each.listed()
            assert set(found) == {"clients"}
            where = [client["gateway"] for client in found["clients"]]
            assert sorted(where) == [1] * 2 + [2] * 350
            assert len({client["id"] for client in found["clients"]}) == 352
    assert not list(tmp_path.iterdir())


async def test_a_stopped_gateway_is_reported_as_missing_and_delays_no_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "PATIENCE_S", 0.2)
    async with members(tmp_path, 1, 1) as (made, _):
        made[1].peers.close()
        with socket.socket(socket.AF_UNIX) as silent:
            silent.bind(str(tmp_path / "gateway-2"))
            silent.listen()
            found = await asyncio.wait_for(made[0].listed(), WAIT_S)
        assert found["missing"] == [2]
        assert [client["gateway"] for client in found["clients"]] == [1]


async def test_metrics_do_not_wait_for_one_that_stands_still(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "PATIENCE_S", 10 * WAIT_S)
    async with members(tmp_path, 1, 1) as (made, _):
        made[1].peers.close()
        with socket.socket(socket.AF_UNIX) as silent:
            silent.bind(str(tmp_path / "gateway-2"))
            silent.listen(100)
            web = made[0].web()
            lists = [asyncio.ensure_future(read(web, "/api/clients")) for _ in range(20)]
            await asyncio.sleep(0)
            assert await asyncio.wait_for(read(web, "/metrics"), WAIT_S)
            for each in lists:
                each.cancel()
            await asyncio.wait(lists)


async def test_half_a_list_is_none(tmp_path: Path) -> None:
    async with members(tmp_path, 1, 0) as (made, _):
        made[1].peers.close()

        async def half(_: object, writer: asyncio.StreamWriter) -> None:
            writer.write(b'{"id":"x"},{"i')
            writer.close()

        server = await asyncio.start_unix_server(half, tmp_path / "gateway-2")
        found = await made[0].listed()
        server.close()
        (tmp_path / "gateway-2").unlink()
        assert (found["missing"], len(found["clients"])) == ([2], 1)


async def test_one_that_has_died_is_not_asked(tmp_path: Path) -> None:
    async with members(tmp_path, 1, 1) as (made, supervisor):
        supervisor.clear(2)
        assert "missing" not in await made[0].listed()


async def test_without_a_folder_each_answers_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr("framefan.base.logs.warning", lambda text, **_: told.append(text))
    async with members(tmp_path / "gone", 1, 1) as (made, _):
        assert (await made[0].listed())["missing"] == [2]
    assert len(told) == 2


async def test_what_a_killed_one_left_is_in_nobodys_way(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(tmp_path / "gateway-2"))
    async with members(tmp_path, 0, 3) as (made, _):
        assert len((await made[0].listed())["clients"]) == 3
