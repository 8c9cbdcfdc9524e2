"""Many clients: idle ones cost little, those that leave in any way leave nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import socket
import tracemalloc

import pytest
from gateway_server import UPGRADE, Gateway, pace, read, running, until

from framefan.base import host

IDLE = 200
MAY_COST = (20 + 4) << 10
"""The 4 KiB are for the other end, which is in this process, too."""
OFFER = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"


async def connected(gateway: Gateway, request: bytes = UPGRADE) -> socket.socket:
    """A connection that has said so much, and nothing was read of it."""
    sock = socket.socket()
    sock.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(sock, ("127.0.0.1", gateway.port))
    await loop.sock_sendall(sock, request)
    return sock


async def idle(gateway: Gateway, count: int) -> list[socket.socket]:
    """Clients that offer compression, as browsers do, and read nothing."""
    before = gateway.hub.clients
    socks = []
    for _ in range(count):
        socks.append(await connected(gateway, UPGRADE.removesuffix(b"\r\n") + OFFER))
        await asyncio.sleep(0)
    await until(lambda: gateway.hub.clients == before + count)
    return socks


async def test_idle_clients_cost_next_to_nothing() -> None:
    async with running(max_handshakes=1000) as gateway:
        socks = await idle(gateway, 20)  # what the first ones bring along is not theirs
        tracemalloc.start(1)
        socks += await idle(gateway, IDLE)
        gc.collect()
        each = tracemalloc.get_traced_memory()[0] / IDLE
        tracemalloc.stop()
        assert each < MAY_COST, f"{each:,.0f} bytes each"
        for sock in socks:
            sock.close()
        await until(lambda: gateway.hub.clients == 0)


async def test_a_client_that_vanished_is_dropped() -> None:
    """As a machine that loses its network: no FIN, no answer to a ping. Others are asked."""
    async with running(silence_s=0.6) as gateway:
        gone, fine = await gateway.raw(), await gateway.client()
        await until(lambda: gateway.hub.clients == 1)
        await until(lambda: gateway.server.stats.closed_by == {"4409": 1})
        assert b"silent: no pong and no byte for 0.6 s" in gone.recv(1 << 16)
        for _ in range(3):
            await pace(0.3)
        gateway.publish()
        assert (await read(fine))["seq"] == 0
        gone.close()
        await fine.close()


@pytest.mark.skipif(not host.LINUX, reason="/proc")
async def test_a_hundred_come_and_go_and_leave_nothing() -> None:
    async with running(max_handshakes=1000, inbound_per_s=1e6) as gateway:
        before = len(os.listdir("/proc/self/fd"))
        for n in range(100):
            request = (UPGRADE, UPGRADE[: n + 1], b"", b"\x16\x03\x01 no HTTP\r\n\r\n")[n % 4]
            sock = await connected(gateway, request)
            gateway.publish()
            with contextlib.suppress(OSError):
                sock.shutdown((socket.SHUT_RD, socket.SHUT_WR, socket.SHUT_RDWR)[n % 3])
            sock.close()
        await until(lambda: not gateway.server._connections)
        assert not gateway.hub.clients
        assert not gateway.server._addresses
        assert not len(gateway.server.admission)
        await until(lambda: len(os.listdir("/proc/self/fd")) == before)
        await (await gateway.client()).close()
