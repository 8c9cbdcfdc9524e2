"""The list of clients at /api/clients, by itself and from the server."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from gateway_fakes import outcome, parts
from gateway_server import LARGE, WAIT_S, Gateway, read, running, until
from test_web import Site
from websockets.datastructures import Headers
from websockets.http11 import Request

from framefan_gateway.delivery.subscription import DEFAULT, Subscription
from framefan_gateway.http import client_list


@pytest.fixture
def site() -> Site:
    return Site()


# ---- the list of clients -------------------------------------------------------------------------


async def clients(site: Site) -> Any:
    response = await site.read("/api/clients")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    return json.loads(response.body)["clients"]


async def test_each_client_is_listed_with_its_account(site: Site) -> None:
    assert await clients(site) == []
    subscription = Subscription(
        cameras=frozenset({"cam", "yard"}), delivery="every", format="msgpack"
    )
    plain, other = site.connect(), site.connect(subscription, blocked_since=98.5)
    site.hub.block(other.client)
    for seq in (0, 1, 4):
        site.intake.take(parts("result/cam/", outcome(seq)), 0.0, 0.0)
        site.hub.flush(0.0)
    first, second = await clients(site)
    assert first["id"] == str(plain.id)
    assert first["remote"] == "127.0.0.1:4711"
    assert first["user_agent"] == "viewer/1"
    assert first["contract"] == DEFAULT.to_dict()
    assert second["contract"] == subscription.to_dict()
    assert (first["connected_s"], first["lag_s"], second["lag_s"]) == (10, 0, 1.5)
    assert (first["offered"], first["sent"], first["pending"]) == (5, 3, 0)
    assert (first["missed"], first["missed_by"]) == (2, {"bus": 2})
    assert first["bytes"] > 0
    assert (second["sent"], second["bytes"]) == (0, 0)
    for each in (first, second):
        assert each["offered"] == each["sent"] + each["missed"] + each["pending"]
        assert each["missed"] == sum(each["missed_by"].values())


async def test_only_clients_are_listed(site: Site) -> None:
    site.connect(client=None)
    leaving, staying = site.connect(), site.connect()
    listed = site.clients()
    leaving.client = None
    assert [each.id for each in listed] == [str(staying.id)]


@pytest.mark.parametrize(
    ("address", "shown"),
    [(("::1", 80, 0, 0), "[::1]:80"), (("10.0.0.7", 9), "10.0.0.7:9"), ("", ""), (None, "")],
)
async def test_an_address_of_any_family_is_shown(site: Site, address: Any, shown: str) -> None:
    site.connect(remote_address=address)
    assert [each["remote"] for each in await clients(site)] == [shown]


@pytest.mark.parametrize("names", [[], ["x" * 121], ["a", "b"]])
async def test_a_name_that_is_absent_long_or_doubled_is_left_out(
    site: Site, names: list[str]
) -> None:
    headers = Headers()
    for name in names:
        headers["User-Agent"] = name
    site.connect(request=Request("/ws", headers))
    site.connect(request=None)
    assert [each["user_agent"] for each in await clients(site)] == ["", ""]


async def test_the_loop_turns_while_many_clients_are_listed(site: Site) -> None:
    for _ in range(4 * client_list.SLICE + 1):
        site.connect()
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    turning = asyncio.create_task(turn())
    listed = await clients(site)
    turning.cancel()
    assert turns > 4
    assert len({each["id"] for each in listed}) == 4 * client_list.SLICE + 1


# ---- from the server -----------------------------------------------------------------------------


async def fetch(gateway: Gateway, path: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port, limit=1 << 12)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    async with asyncio.timeout(WAIT_S * 3):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert head.startswith(b"HTTP/1.1 200")
    return body


async def test_a_long_list_arrives_whole() -> None:
    """Longer than what any buffer on the way takes at once."""
    facts = next(client_list.facts((Site().connect(),), 100.0))
    async with running() as gateway:
        gateway.server._web._clients = lambda: (facts for _ in range(20_000))
        body = await fetch(gateway, "/api/clients")
    assert len(body) > 5 << 20
    assert len(json.loads(body)["clients"]) == 20_000


async def test_the_servers_clients_are_listed_with_how_long_their_lines_are_full() -> None:
    async def listed() -> Any:
        return json.loads(await fetch(gateway, "/api/clients"))["clients"]

    async with running(stall_s=WAIT_S * 10) as gateway:
        fine = await gateway.client(user_agent_header="fine/1")
        (one,) = await listed()
        host, port = fine.local_address
        assert (one["user_agent"], one["remote"]) == ("fine/1", f"{host}:{port}")
        assert one["lag_s"] == 0
        gateway.publish()
        assert (await read(fine))["seq"] == 0
        (one,) = await listed()
        assert (one["offered"], one["sent"], one["missed"], one["pending"]) == (1, 1, 0, 0)
        slow = await gateway.raw()
        lags = {"fine/1": 0.0, "": 0.0}
        async with asyncio.timeout(WAIT_S * 3):
            while lags["fine/1"] > 0 or lags[""] < 0.1:
                gateway.publish(**LARGE)
                await read(fine)
                lags = {each["user_agent"]: each["lag_s"] for each in await listed()}
        slow.close()
        await fine.close()


async def test_the_server_exports_its_metrics() -> None:
    async with running() as gateway:
        client = await gateway.client()
        for kind in ("detections", "error", "value"):
            gateway.publish(kind=kind)
            await read(client)
        await client.close()
        await until(lambda: not gateway.hub.clients)
        await until(lambda: gateway.server.stats.lag.histogram.cumulative()[-1][1])
        lines = (await fetch(gateway, "/metrics")).decode().splitlines()
    assert 'framefan_stage_seconds_count{camera="cam",gateway="1",stage="total"} 3.0' in lines
    assert 'framefan_deliveries_sent_total{gateway="1"} 3.0' in lines
    assert 'framefan_closes_total{code="1000",gateway="1"} 1.0' in lines
    assert 'framefan_loop_lag_seconds_count{gateway="1"} 0.0' not in lines
