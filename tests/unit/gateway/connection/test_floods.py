"""What a client may send past its limit, and what is counted and told of its end."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

import pytest
from gateway_server import UPGRADE, WAIT_S, Gateway, running, until
from websockets.frames import Frame, Opcode

from framefan.base import clock
from framefan_gateway.connection import commands
from framefan_gateway.connection.connection import ClientConnection

PING = b"\x89\x80\0\0\0\0"


async def flood(sock: socket.socket, data: bytes) -> None:
    """All of it, read or not, until the other side has had enough."""
    with contextlib.suppress(ConnectionError):
        await asyncio.get_running_loop().sock_sendall(sock, data)


async def refused(gateway: Gateway, sock: socket.socket) -> None:
    """It is told 1008 and why, and its end is counted so once it has answered."""
    loop, data = asyncio.get_running_loop(), b""
    async with asyncio.timeout(WAIT_S):
        while b"\x03\xf0too many messages" not in data:
            chunk = await loop.sock_recv(sock, 65536)
            assert chunk
            data += chunk
    await flood(sock, b"\x88\x82\0\0\0\0\x03\xf0")
    await until(lambda: gateway.server.stats.closed_by == {"1008": 1})
    sock.close()


def pong(number: int) -> bytes:
    return b"\x8a\x8c" + bytes(4) + b"pace" + number.to_bytes(8, "big")


def only(gateway: Gateway) -> ClientConnection:
    return next(iter(gateway.server._connections))


async def test_a_burst_past_the_limit_ends_the_connection_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with running() as gateway:
        spawned: list[Any] = []
        spawn = gateway.server.spawn
        monkeypatch.setattr(gateway.server, "spawn", lambda task: (spawned.append(1), spawn(task)))
        sock = await gateway.raw()
        await flood(sock, PING * 5000)
        await refused(gateway, sock)
        assert len(spawned) == 1


async def test_pongs_that_answer_nothing_count_as_messages() -> None:
    async with running() as gateway:
        sock = await gateway.raw()
        await flood(sock, pong(77) * 1000)
        await refused(gateway, sock)


async def test_the_pong_that_answers_a_ping_is_free() -> None:
    async with running(inbound_per_s=0.001) as gateway:
        sock = await gateway.raw()
        connection = only(gateway)
        assert not connection._bucket.spend(Frame(Opcode.PING, b""), clock.now())
        window = connection._flow.window
        for number in range(1, 30):
            gateway.publish()
            await until(lambda: window.outstanding)
            await flood(sock, pong(number))
            await until(lambda: not window.outstanding)
        await flood(sock, pong(29))
        await refused(gateway, sock)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
        UPGRADE.replace(b"/ws", b"/nothing"),
        b"GET /ws HTTP/1.1\r\n",
    ],
)
async def test_what_never_became_a_client_is_no_clients_end(request_bytes: bytes) -> None:
    async with running(handshake_s=0.2) as gateway:
        reader, writer = await asyncio.open_connection("127.0.0.1", gateway.port)
        writer.write(request_bytes)
        await reader.read()
        writer.close()
        await until(lambda: not gateway.server._connections)
        assert not gateway.server.stats.closed_by
        client = await gateway.client()
        await client.close()
        await until(lambda: gateway.server.stats.closed_by == {"1000": 1})


async def test_an_unexpected_error_of_a_client_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    def fail(*_: object, **__: object) -> bytes:
        raise RuntimeError("a mistake of ours")

    monkeypatch.setattr(commands, "read", fail)
    monkeypatch.setattr(
        "framefan.base.logs.error", lambda what, **facts: told.append(f"{what} {facts}")
    )
    async with running() as gateway:
        client = await gateway.client()
        await client.send("{}")
        await client.wait_closed()
        assert client.close_code == 1011
    assert len(told) == 1
    assert "a mistake of ours" in told[0]
