"""Whatever is no valid request gets an answer: JSON that says why."""

from __future__ import annotations

import asyncio
import json
import ssl

import pytest
from gateway_server import UPGRADE, pace, running, until
from waiting import SCALE

from framefan.base import clock
from framefan.client.retry_rules import of_opening


def get(extra: str = "", target: str = "/healthz") -> bytes:
    return f"GET {target} HTTP/1.1\r\nHost: localhost\r\n{extra}\r\n".encode()


def upgrade(old: str, new: str) -> bytes:
    return UPGRADE.replace(old.encode(), new.encode(), 1)


async def answer(port: int, request: bytes) -> tuple[int, bytes, bytes]:
    """The status, the head and the body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    async with asyncio.timeout(10):
        whole = await reader.read()
    writer.close()
    head, _, body = whole.partition(b"\r\n\r\n")
    return int(head.split()[1]), head, body


@pytest.mark.parametrize(
    ("request_", "status", "said"),
    [
        (get("Content-Length: 2\r\n") + b"{}", 400, "with a body"),
        (get("Transfer-Encoding: chunked\r\n") + b"0\r\n\r\n", 400, "with a body"),
        (get(target="/ws?camera=\u00e9"), 400, "percent-encode"),
        (get(target="/ws?label=a b"), 400, "no valid HTTP request"),
        (get("X-A: b\r\n c\r\n"), 400, "no valid HTTP request"),
        (get().replace(b"\r\n", b"\n"), 400, "CRLF"),
        (get("X-Big: " + 9000 * "a" + "\r\n"), 431, "longer than 8192"),
        (get("".join(f"X-{n}: a\r\n" for n in range(150))), 431, "more than 128 headers"),
        (get(target="/" + 9000 * "a"), 414, "longer than 8192"),
        (upgrade("Version: 13", "Version: 8"), 400, "Sec-WebSocket-Version"),
        (upgrade("Key: dGhlIHNhbXBsZSBub25jZQ==", "Key: abc"), 400, "Sec-WebSocket-Key"),
        (upgrade("HTTP/1.1", "HTTP/1.0"), 505, "HTTP/1.0"),
        (upgrade("GET", "HEAD"), 405, "HEAD"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, "no TLS"),
    ],
)
async def test_an_invalid_request_gets_the_reason_in_json(
    request_: bytes, status: int, said: str
) -> None:
    async with running() as gateway:
        code, head, body = await answer(gateway.port, request_)
        assert code == status
        assert b"application/json" in head
        assert said in json.loads(body)["error"]
        assert b"WebSocket connection" not in body


async def test_tls_on_a_plain_port_is_explained_by_the_client_library() -> None:
    async with running() as gateway:
        context = ssl.create_default_context()
        with pytest.raises(ssl.SSLError) as raised:
            await asyncio.open_connection("127.0.0.1", gateway.port, ssl=context)
    refused = of_opening(f"wss://127.0.0.1:{gateway.port}/ws", raised.value)
    assert refused is not None
    assert "does not use TLS" in refused.what


async def test_a_file_of_the_page_loads_from_any_origin_and_data_does_not() -> None:
    """Behind a proxy that changes Host the page has to load, or it cannot say why nothing comes."""
    async with running() as gateway:
        foreign = "Origin: http://proxy.example\r\n"
        assert (await answer(gateway.port, get(foreign, "/main.js")))[0] == 200
        for target in ("/api/status", "/ws", "/snapshot/cam.jpg"):
            code, _, body = await answer(gateway.port, get(foreign, target))
            assert code == 403
            assert "--origin http://proxy.example" in json.loads(body)["error"]


async def test_an_address_that_cannot_be_split_is_an_invalid_request() -> None:
    async with running() as gateway:
        code, _, body = await answer(gateway.port, get(target="//[/ws"))
        assert code == 400
        assert "not valid" in json.loads(body)["error"]


async def test_a_long_reason_is_cut_and_ends_one_connection_only() -> None:
    async with running() as gateway:
        client, other = await gateway.client(), await gateway.client()
        for connection in tuple(gateway.server._connections):
            if connection.remote_address == client.local_address:
                connection.end(4400, "\u00e9" * 200)
        await client.wait_closed()
        assert client.close_code == 4400
        assert len((client.close_reason or "").encode()) <= 123
        await other.ping()


async def test_a_slow_reader_of_the_last_bytes_does_not_delay_the_close() -> None:
    """Every byte restarts the deadline of a paused connection, and a close waits behind them."""
    async with running(stall_s=0.3) as gateway:
        sock = await gateway.raw()
        (connection,) = gateway.server._connections
        connection.transport.write(bytes(8 << 20))
        connection.end(1008, "too many messages")
        began, loop = clock.now(), asyncio.get_running_loop()
        while gateway.server._connections:
            assert clock.now() - began < 10 * SCALE
            await loop.sock_recv(sock, 64)
            await asyncio.sleep(0.02)
        assert connection.aborted == "stalled"
        sock.close()


async def test_a_request_in_two_parts_is_one_like_any_other() -> None:
    async with running() as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(UPGRADE[:100])
        await writer.drain()
        await pace(0.05)
        writer.write(UPGRADE[100:])
        assert b"101" in await reader.readuntil(b"\r\n\r\n")
        await until(lambda: gateway.hub.clients)
        (connection,) = gateway.server._connections
        assert connection._at_frame_end, "its pongs are read without the library"
        writer.close()
