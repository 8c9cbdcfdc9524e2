"""What waits for clients has bounds, for each and for all; who is beyond them goes, nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from typing import Any

import pytest
from gateway_server import LARGE, UPGRADE, WAIT_S, Gateway, pace, read, running, until
from talk import Talk, seqs, talking
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from framefan.base import clock, host
from framefan_gateway.connection.connection import ClientConnection


def frame(command: dict[str, Any]) -> bytes:
    """A masked text frame."""
    text = json.dumps(command).encode()
    assert len(text) < 126
    return bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text


def only(gateway: Gateway) -> ClientConnection:
    (found,) = gateway.server._connections
    return found


async def joined(gateway: Gateway, query: str = "") -> tuple[socket.socket, ClientConnection]:
    """A client that reads nothing but its handshake, and the server's side of it."""
    before = set(gateway.server._connections)
    sock = await gateway.raw(query=query)
    (connection,) = gateway.server._connections - before
    return sock, connection


# ---- clients of one address ---------------------------------------------------------------------


async def test_an_address_has_so_many_clients_and_no_more() -> None:
    async with running(clients_per_address=2) as gateway:
        first, second = await gateway.client(), await gateway.client()
        for _ in range(3):
            with pytest.raises(InvalidStatus) as caught:
                await connect(gateway.url, proxy=None)
            assert caught.value.response.status_code == 503
            assert caught.value.response.headers["Retry-After"] == "1"
            assert b"this address" in caught.value.response.body
        await until(lambda: len(gateway.server._connections) == 2)
        if host.LINUX:  # elsewhere there is one loopback address
            async with connect(gateway.url, proxy=None, local_addr=("127.0.0.2", 0)):
                await until(lambda: gateway.hub.clients == 3)
        gateway.publish()
        assert (await read(first))["seq"] == (await read(second))["seq"] == 0
        await first.close()
        await until(lambda: len(gateway.server._connections) == 1)
        await (await gateway.client()).close()
        await second.close()
        await until(lambda: not gateway.server._addresses)


async def test_an_address_is_free_again_however_its_connections_end() -> None:
    async with running(clients_per_address=2, handshake_s=0.2) as gateway:
        idle = [await asyncio.open_connection("127.0.0.1", gateway.port) for _ in range(2)]
        await until(lambda: len(gateway.server._connections) == 2)
        with pytest.raises(InvalidStatus):
            await connect(gateway.url, proxy=None)
        await until(lambda: not gateway.server._connections)  # they said nothing in time
        for query in ("?max_fps=x", ""):
            sock = socket.create_connection(("127.0.0.1", gateway.port))
            sock.sendall(UPGRADE.replace(b"/ws", f"/ws{query}".encode(), 1))
            await pace()
            sock.close()
        await until(lambda: not gateway.server._connections)
        assert not gateway.server._addresses
        await (await gateway.client()).close()
        for _, writer in idle:
            writer.close()


async def test_without_that_limit_there_is_none() -> None:
    async with running() as gateway:
        clients = [await gateway.client() for _ in range(20)]
        for client in clients:
            await client.close()


# ---- what waits for all -------------------------------------------------------------------------


async def test_beyond_the_bound_for_all_the_furthest_behind_goes_first() -> None:
    bound = 400_000
    async with running(gateway_buffer_bytes=bound, stall_s=60.0) as gateway:
        fine = await gateway.client()
        far, far_side = await joined(gateway, "?delivery=every")
        for _ in range(10):
            gateway.publish(**LARGE)
            await read(fine)
        near, near_side = await joined(gateway, "?delivery=every&max_fps=1000")
        while gateway.hub.log_bytes <= bound:
            gateway.publish(**LARGE)
            await read(fine)
        await until(lambda: far_side.aborted or near_side.aborted)
        assert (far_side.aborted, near_side.aborted) == ("shed", "")
        assert far_side.backlog_bytes() < 30_000, "it holds its part no more"
        await until(lambda: gateway.server.stats.closed_by == {"shed": 1})
        for _ in range(5):  # several looks later
            await pace(0.1)
        assert not near_side.aborted
        gateway.publish(**LARGE)
        assert (await read(fine))["missed"] == 0
        await until(lambda: gateway.server.stats.closed_by == {"shed": 1})
        for sock in (far, near):
            sock.close()
        await fine.close()


async def test_a_past_that_only_one_client_still_holds_counts_among_what_waits_for_all() -> None:
    limits = {"gateway_buffer_bytes": 600_000, "stall_s": 60.0, "history_bytes": 1 << 20}
    async with running(**limits) as gateway:
        for _ in range(50):
            gateway.publish(**LARGE)
        gateway.server.flush()
        fine = await gateway.client()
        slow, slow_side = await joined(gateway, "?history=100")
        assert slow_side.held_bytes < 100_000, "it shares it with the history"
        for _ in range(60):
            gateway.publish(**LARGE)
            await read(fine)
        await until(lambda: slow_side.aborted)
        assert slow_side.aborted == "shed"
        slow.close()
        await fine.close()


# ---- what waits for one -------------------------------------------------------------------------


COMMANDS = (
    {"id": 1, "ping": {}},
    {"id": 1, "dance": {}},
    {"id": 1, "subscribe": {"max_fps": 3}},
    {"id": 1, "subscribe": {"max_fps": None, "format": "msgpack"}},
    {"id": 1, "unsubscribe": {}},
)


@pytest.mark.parametrize("delivery", ["latest", "every"])
@pytest.mark.parametrize("command", COMMANDS)
async def test_unread_replies_are_bounded(command: dict[str, Any], delivery: str) -> None:
    bound = 20_000
    limits = {"client_buffer_bytes": bound, "inbound_per_s": 1e9, "stall_s": 60.0}
    async with running(**limits) as gateway:
        sock, connection = await joined(gateway, f"?delivery={delivery}")
        most = 0
        data = frame(command) * 50
        with contextlib.suppress(ConnectionError):
            for _ in range(20_000):  # 50 MB of answers, if nobody stops it
                await asyncio.wait_for(asyncio.get_running_loop().sock_sendall(sock, data), WAIT_S)
                most = max(most, connection.held_bytes)
        await until(lambda: gateway.server.stats.closed_by == {"flood": 1})
        assert most <= bound + 1000
        sock.close()


async def test_a_client_that_reads_its_replies_may_send_any_number_of_commands() -> None:
    limits = {"client_buffer_bytes": 20_000, "inbound_per_s": 1e9}
    async with running(**limits) as gateway, talking(gateway) as talk:
        for _ in range(500):
            await talk.ready()
        assert gateway.hub.clients == 1


# ---- a replay -----------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["?history=1000", "?since=cam:k3f9:0&delivery=every"])
async def test_an_unread_replay_is_bounded_and_ends_at_the_stall_deadline(
    query: str,
) -> None:
    async with running(stall_s=1.0, history_bytes=1 << 20) as gateway:
        for _ in range(200):
            gateway.publish(**LARGE)
        gateway.server.flush()
        sock, connection = await joined(gateway, query)
        start, most, buffered = clock.now(), 0, 0
        while not connection.aborted:
            most = max(most, connection.held_bytes)
            buffered = max(buffered, connection.transport.get_write_buffer_size())
            gateway.publish(kind="value", payload=1)
            await pace(0.01)
            assert clock.now() < start + 10
        assert connection.aborted == "stalled"
        assert clock.now() - start >= 0.9
        assert most < 200_000, "it is made as its line takes it"
        assert buffered < (1 << 16) + 30_000, "it was not all given to the transport at once"
        await until(lambda: connection.held_bytes == 0)
        account = gateway.hub.totals()
        assert account.offered >= account.sent + account.missed
        sock.close()


@pytest.mark.parametrize("name", ["ping", "subscribe"])
async def test_a_command_during_a_long_replay_is_answered_behind_it(name: str) -> None:
    """What was asked for and is on its way is no flood of answers."""
    async with running(stall_s=60.0) as gateway:
        for _ in range(150):
            gateway.publish(**LARGE)
        gateway.server.flush()
        async with connect(gateway.url + "?history=150", proxy=None, max_queue=2) as client:
            talk = Talk(client)
            connection = only(gateway)
            await until(lambda: connection.blocked_since is not None)
            assert connection.client.cursor.replaying
            answer = await talk.ask(name)
            assert name in answer
            assert seqs(talk.seen) == list(range(150))


async def test_a_long_history_by_command_is_sent_whole() -> None:
    async with running(stall_s=60.0) as gateway:
        for _ in range(150):
            gateway.publish(**LARGE)
        gateway.server.flush()
        async with connect(gateway.url + "?history=0", proxy=None, max_queue=2) as client:
            talk = Talk(client)
            await talk.ask("unsubscribe")
            await talk.ask("subscribe", cameras=None, history=150)
            assert seqs(await talk.results(150)) == list(range(150))
