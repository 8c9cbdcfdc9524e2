"""The shell with real sockets: slow, stalled, flooding and plain clients, HTTP, and the end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from collections.abc import AsyncIterator

import pytest
from gateway_fakes import parts, state
from gateway_server import (
    LARGE,
    STALL_S,
    UPGRADE,
    WAIT_S,
    Gateway,
    pace,
    read,
    receive,
    running,
    until,
)
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from framefan.base import clock


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with running() as made:
        yield made


async def test_a_plain_client_needs_nothing_but_the_address(gateway: Gateway) -> None:
    gateway.publish()
    client = await gateway.client()
    assert (await read(client))["seq"] == 0
    assert client.subprotocol is None
    gateway.publish()
    message = await read(client)
    assert (message["type"], message["seq"], message["missed"]) == ("result", 1, 0)
    await client.close()
    await until(lambda: gateway.server.stats.closed_by == {"1000": 1})


async def test_compression_is_not_negotiated_and_a_subprotocol_not_demanded(
    gateway: Gateway,
) -> None:
    async with connect(gateway.url, proxy=None, compression="deflate") as client:
        assert client.protocol.extensions == []
    async with connect(gateway.url, proxy=None, subprotocols=["any"]) as client:  # type: ignore[list-item]
        assert client.subprotocol is None


async def test_a_stalled_client_is_aborted_in_time_and_the_others_are_served(
    gateway: Gateway,
) -> None:
    stalled, fine = await gateway.raw(), await gateway.client()
    published, full_at = 0, 0.0
    while gateway.hub.clients == 2:
        gateway.publish(**LARGE)
        published += 1
        if not full_at and gateway.hub.totals().pending:
            full_at = clock.now()
        assert not full_at or clock.now() - full_at <= STALL_S + 1, "it is not aborted"
        assert (await read(fine))["missed"] == 0
    assert full_at
    assert STALL_S <= clock.now() - full_at <= STALL_S + 1
    await until(lambda: gateway.server.stats.closed_by == {"stalled": 1})
    assert gateway.hub.totals().missed > 0
    stalled.close()
    await fine.close()


async def test_what_waits_for_a_stalled_client_does_not_grow(gateway: Gateway) -> None:
    stalled = await gateway.raw()
    connection = next(iter(gateway.server._connections))
    for _ in range(400):
        gateway.publish(**LARGE)
        await asyncio.sleep(0)
        assert connection.transport.get_write_buffer_size() < 21_000
    await until(lambda: gateway.hub.totals().conflated > 300)
    stalled.close()


async def test_a_slow_client_that_moves_is_not_stalled(gateway: Gateway) -> None:
    sock = await gateway.raw()
    loop = asyncio.get_running_loop()
    start = clock.now()
    while clock.now() - start < 3 * STALL_S:
        gateway.publish(**LARGE)
        assert await loop.sock_recv(sock, 1000)
        await pace(0.02)
    assert gateway.hub.totals().conflated > 0
    assert gateway.hub.clients == 1
    sock.close()


PING = 0x89


async def test_a_slow_reader_reads_what_is_new(gateway: Gateway) -> None:
    """20 KiB/s of 200 results a second, in short: what it reads is at most 1.5 s old."""
    slow, fast = await gateway.raw(), await gateway.client()
    loop = asyncio.get_running_loop()
    seen: list[tuple[int, int]] = []

    async def collect() -> None:
        async for text in fast:
            message = json.loads(text)
            seen.append((message["seq"], message["missed"]))

    collecting = asyncio.create_task(collect())
    start, published, got, data, oldest = clock.now(), 0, 0, b"", 0.0
    while (passed := clock.now() - start) < 3.0:
        while published < passed * 200:
            gateway.publish()
            published += 1
        while got < passed * 20_480:
            chunk = await receive(slow, 512)
            got += len(chunk)
            data += chunk
            while len(data) > 4:
                if data[0] == PING:
                    if len(data) < 2 + data[1]:
                        break
                    pong, data = data[2 : 2 + data[1]], data[2 + data[1] :]
                    await loop.sock_sendall(slow, bytes([0x8A, 0x80 | len(pong)]) + bytes(4) + pong)
                    continue
                size = int.from_bytes(data[2:4], "big")
                if len(data) < 4 + size:
                    break
                oldest = max(oldest, clock.wall() - json.loads(data[4 : 4 + size])["ts"])
                data = data[4 + size :]
        await pace(0.002)
    assert 0.05 < oldest < 1.5
    await until(lambda: seen[-1][0] == published - 1)
    assert len(seen) + sum(missed for _, missed in seen) == published
    assert not any(missed for _, missed in seen[-100:])
    slow.close()
    await fast.close()
    await collecting


async def test_shutdown_with_a_stalled_client_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("framefan_gateway.server._FAREWELL_S", 0.3)
    async with running(stall_s=2.5) as gateway:
        stalled, fine = await gateway.raw(), await gateway.client()
        reading = asyncio.create_task(fine.wait_closed())
        while not gateway.hub.totals().pending:
            gateway.publish(**LARGE)
            await read(fine)
        start = clock.now()
        await gateway.server.close()
        assert 0.2 < clock.now() - start < 2.0
        assert fine.close_code == 1001
        assert gateway.server.stats.closed_by["shutdown"] == 1
        await reading
        stalled.close()


async def test_nothing_follows_a_close_frame(gateway: Gateway) -> None:
    sock = await gateway.raw(rcvbuf=0)
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, b"\x88\x82\0\0\0\0\x03\xe8")
    await until(lambda: gateway.hub.clients == 0)
    gateway.publish()
    data = b""
    async with asyncio.timeout(WAIT_S):
        while chunk := await loop.sock_recv(sock, 4096):
            data += chunk
    assert data.endswith(b"\x88\x02\x03\xe8")
    assert b'"type"' not in data
    sock.close()


async def test_a_client_that_is_being_closed_gets_no_more_results(gateway: Gateway) -> None:
    sock = await gateway.raw(rcvbuf=0)
    connection = next(iter(gateway.server._connections))
    closing = asyncio.create_task(connection.close(1001))
    await until(lambda: connection.state.name == "CLOSING")
    gateway.publish()
    data = b""
    async with asyncio.timeout(WAIT_S):
        while b"\x88\x02\x03\xe9" not in data:
            data += await receive(sock, 4096)
    assert b'"type"' not in data
    sock.close()
    await closing


async def test_any_text_gets_an_answer_and_no_client_is_dropped(gateway: Gateway) -> None:
    client = await gateway.client()
    for text in ("hello", "[1]", '{"id":7,"dance":{}}', '{"id":"x"}', "NaN", "[" * 5000):
        await client.send(text)
        reply = await read(client)
        assert set(reply["error"]) == {"code", "message", "temporary"}
        if text.startswith('{"id":7'):
            assert reply["id"] == 7
            assert "dance" in reply["error"]["message"]
    gateway.publish()
    assert (await read(client))["seq"] == 0
    await client.close()


async def test_a_message_too_big_closes_with_1009(gateway: Gateway) -> None:
    client = await gateway.client()
    await client.send("x" * (17 * 1024))
    await asyncio.wait_for(client.wait_closed(), WAIT_S)
    assert client.close_code == 1009


async def test_a_flood_of_messages_closes_with_1008(gateway: Gateway) -> None:
    client = await gateway.client()
    with contextlib.suppress(ConnectionClosed):
        for _ in range(200):
            await client.ping()
    await asyncio.wait_for(client.wait_closed(), WAIT_S)
    assert client.close_code == 1008


async def test_a_ping_flood_of_a_client_that_does_not_read_is_aborted_at_the_cap() -> None:
    async with running(client_buffer_bytes=20_000, inbound_per_s=1e9, stall_s=60.0) as gateway:
        sock = await gateway.raw()
        loop = asyncio.get_running_loop()
        ping = b"\x89\xfd" + bytes(4) + bytes(125)
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):  # 6 MB of answers, if nobody stops it
                await loop.sock_sendall(sock, ping * 50)
        await until(lambda: gateway.server.stats.closed_by == {"flood": 1})
        sock.close()


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x81\x05hello", 1002),  # unmasked
        (b"\x83\x80\0\0\0\0", 1002),  # an opcode that does not exist
        (b"\xc1\x80\0\0\0\0", 1002),  # RSV1 without an extension
        (b"\x81\x82\0\0\0\0\xff\xff", 1007),  # not UTF-8
        (b"\x81\xff" + (500 << 30).to_bytes(8, "big") + bytes(4), 1009),
    ],
)
async def test_frames_against_the_protocol_close_with_the_right_code(
    gateway: Gateway, data: bytes, code: int
) -> None:
    sock = await gateway.raw(rcvbuf=0)
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(sock, data)
    async with asyncio.timeout(WAIT_S):
        answer = await loop.sock_recv(sock, 4096)
    assert answer[0] == 0x88
    assert int.from_bytes(answer[2:4], "big") == code
    sock.close()
    await until(lambda: gateway.hub.clients == 0)


async def test_clients_above_the_cap_get_503_and_the_others_stay() -> None:
    async with running() as gateway:
        gateway.server.most_clients = 1
        client = await gateway.client()
        sock = socket.socket()
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", gateway.port))
        await loop.sock_sendall(sock, UPGRADE)
        assert (await loop.sock_recv(sock, 4096)).startswith(b"HTTP/1.1 503")
        sock.close()
        gateway.publish()
        assert (await read(client))["seq"] == 0
        await client.close()
        await until(lambda: gateway.hub.clients == 0)
        await (await gateway.client()).close()


async def test_idle_connections_are_closed_at_the_deadline_and_good_ones_get_in() -> None:
    async with running(handshake_s=0.3, max_handshakes=4) as gateway:
        idle = []
        for _ in range(3):
            _, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
            writer.write(b"GET /ws HTTP/1.1\r\n")
            idle.append(writer)
        await (await gateway.client()).close()
        await until(lambda: not gateway.server._connections)
        for writer in idle:
            writer.close()


async def fetch(gateway: Gateway, request: str) -> tuple[bytes, bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
    writer.write(request.encode())
    async with asyncio.timeout(WAIT_S):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return head, body


@pytest.mark.parametrize("path", ["/", "/main.js", "/healthz", "/readyz", "/api/status"])
async def test_http_on_the_same_port(gateway: Gateway, path: str) -> None:
    record = state()
    gateway.intake.take(parts("state/", record), clock.now(), clock.wall())
    head, body = await fetch(gateway, f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert f"Content-Length: {len(body)}".encode() in head
    head, body = await fetch(gateway, f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK")
    assert body == b""


async def test_what_is_almost_right_is_answered_with_what_is(gateway: Gateway) -> None:
    head, body = await fetch(gateway, "GET /healthz HTTP/1.0\r\n\r\n")
    assert (head[:15], body) == (b"HTTP/1.1 200 OK", b"ok\n")
    for path in ("/", "/ws/"):
        head, body = await fetch(gateway, UPGRADE.decode().replace("/ws", path, 1))
        assert head.startswith(b"HTTP/1.1 404")
        assert b"the WebSocket is at /ws" in body


async def test_a_large_page_arrives_whole_at_a_slow_reader(gateway: Gateway) -> None:
    gateway.server._web._files["/"] = (os.urandom(500_000), "text/plain")
    _, body = await fetch(gateway, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert len(body) == 500_000


async def test_a_foreign_origin_gets_403_on_the_socket_too(gateway: Gateway) -> None:
    head, _ = await fetch(
        gateway, UPGRADE.decode().replace("\r\n\r\n", "\r\nOrigin: http://evil.example\r\n\r\n")
    )
    assert head.startswith(b"HTTP/1.1 403")


async def test_one_camera_on_an_idle_loop_is_not_held_back(gateway: Gateway) -> None:
    for _ in range(5):
        gateway.server._pause._until = 0.0
        gateway.publish()
        await asyncio.sleep(0)
        assert gateway.hub.waiting == 0


async def test_news_during_the_rest_shares_the_next_flush(gateway: Gateway) -> None:
    client = await gateway.client()
    gateway.server._pause._until = clock.now() + 0.05
    for _ in range(5):
        gateway.publish()
    assert gateway.hub.waiting == 5
    assert [(await read(client))["seq"] for _ in range(5)] == [0, 1, 2, 3, 4]
    await client.close()
