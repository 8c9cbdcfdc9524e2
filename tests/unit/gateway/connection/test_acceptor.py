"""The door: who comes at the same moment as others, who says nothing, and what runs out."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import inspect
import os
import re
import socket
from typing import Any

import pytest
from gateway_server import UPGRADE, WAIT_S, Gateway, pace, read, running, until
from waiting import is_within
from websockets.asyncio import server as websockets_server
from websockets.asyncio.client import connect
from websockets.protocol import State

from framefan.base import clock, host
from framefan.supervisor import listen_sockets
from framefan_gateway.connection import acceptor
from framefan_gateway.connection.acceptor import get_factory
from framefan_gateway.connection.connection import ClientConnection

AT_ONCE = 300
IDLE_PER_S, IDLE_FOR_S = 50, 1.5


class Listener(socket.socket):
    """A listening socket that notes what is done to it, and can fail."""

    accepts = 0
    listens = 0
    error = 0

    def accept(self) -> Any:
        Listener.accepts += 1
        if Listener.error:
            raise OSError(Listener.error, os.strerror(Listener.error))
        return super().accept()

    def listen(self, backlog: int = 0) -> None:
        Listener.listens += 1
        super().listen(backlog)


@contextlib.asynccontextmanager
async def watched() -> Any:
    """A running gateway on a Listener."""
    with listen_sockets.tcp("127.0.0.1", 0) as made:
        listener = Listener(fileno=os.dup(made.fileno()))
    listener.setblocking(False)
    Listener.accepts = Listener.listens = Listener.error = 0
    gateway = Gateway()
    gateway.port = listener.getsockname()[1]
    await gateway.server.start(listener)
    try:
        yield gateway
    finally:
        Listener.error = 0
        await gateway.server.close()


# ---- websockets ---------------------------------------------------------------------------------


async def test_websockets_has_what_the_door_takes_from_it() -> None:
    """After an upgrade: the names below, in acceptor.py and server.py, are what to look at."""
    made: list[Any] = []

    class Connection(websockets_server.ServerConnection):
        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            made.append(args)

    async def nothing(_: Any) -> None: ...

    server = websockets_server.serve(nothing, create_connection=Connection, max_size=77)
    connection = get_factory(server)()
    assert isinstance(connection, Connection), "the factory makes what create_connection says"
    assert made[0][1] is server
    assert connection.protocol.max_message_size == 77, "with the options of serve"
    assert not hasattr(server, "server"), "it is not set until serve is awaited: start() sets it"
    used = inspect.getsource(websockets_server.Server) + inspect.getsource(
        websockets_server.ServerConnection
    )
    called = set(re.findall(r"self\.server\.(\w+)", used)) - {"start_serving"}
    ours = set(dir(acceptor.Acceptor)) | set(vars(server))
    assert called <= ours, "methods of asyncio's Server that Acceptor has not"


async def test_another_websockets_is_named() -> None:
    with pytest.raises(RuntimeError, match="protocol_factory elsewhere"):
        get_factory(type("Server", (), {"create_server": staticmethod(lambda: None)}))  # type: ignore[arg-type]


# ---- many at once -------------------------------------------------------------------------------


async def test_hundreds_at_the_same_moment_are_all_admitted() -> None:
    async with watched() as gateway:
        start = clock.now()
        clients = await asyncio.gather(
            *(connect(gateway.url, proxy=None, open_timeout=WAIT_S) for _ in range(AT_ONCE))
        )
        await until(lambda: gateway.hub.clients == AT_ONCE)
        assert is_within(start, 1 + AT_ONCE * 0.002 * 5), "both sides are in this one process"
        assert not gateway.server.stats.closed_by
        gateway.publish()
        for client in clients:
            assert (await read(client))["seq"] == 0
        assert not len(gateway.server.admission)
        assert not Listener.listens, "the backlog is of all gateways: none sets it"
        for client in clients:
            client.transport.abort()
        await until(lambda: gateway.hub.clients == 0)


async def test_a_turn_of_the_loop_accepts_one() -> None:
    turns = 5
    async with watched() as gateway:
        socks = []
        for _ in range(turns):
            sock = socket.create_connection(("127.0.0.1", gateway.port))
            sock.sendall(UPGRADE)
            socks.append(sock)
        for turn in range(2, turns):
            await asyncio.sleep(0)
            assert Listener.accepts <= turn
        await until(lambda: gateway.hub.clients == turns)
        for sock in socks:
            sock.close()


# ---- those that say nothing ---------------------------------------------------------------------


async def idle(port: int, kept: list[socket.socket]) -> None:
    while True:
        sock = socket.socket()
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
        kept.append(sock)
        await pace(1 / IDLE_PER_S)


async def test_idle_connections_do_not_block_new_ones() -> None:
    """The listening socket of this test is a plain one: nothing is kept back by the kernel."""
    async with running(max_handshakes=16, handshake_s=60.0) as gateway:
        kept: list[socket.socket] = []
        flood = asyncio.create_task(idle(gateway.port, kept))
        await until(lambda: len(gateway.server.admission) > 20)
        start = clock.now()
        for _ in range(5):
            await (await gateway.client()).close()
        assert is_within(start, 2)
        admission = gateway.server.admission
        await until(lambda: len(kept) - len(admission) > 10)  # the oldest go
        assert len(admission) < 16 + 1.5 * IDLE_PER_S
        flood.cancel()
        for sock in kept:
            sock.close()
        await until(lambda: not len(admission))


async def test_a_connection_with_unread_bytes_is_not_dropped_as_silent() -> None:
    async with running(max_handshakes=1) as gateway:
        first = socket.create_connection(("127.0.0.1", gateway.port))
        second = socket.create_connection(("127.0.0.1", gateway.port))
        await until(lambda: len(gateway.server.admission) == 2)
        first.sendall(UPGRADE)
        door, admission = gateway.server._acceptor, gateway.server.admission
        assert door is not None
        oldest = admission.find_surplus(clock.now() + 2)
        assert oldest is not None
        door._drop_surplus(clock.now() + 2)
        assert oldest in admission._silent
        await until(lambda: gateway.hub.clients == 1)
        for sock in (first, second):
            sock.close()


@pytest.mark.skipif(not host.LINUX, reason="TCP_DEFER_ACCEPT")
async def test_connections_without_a_request_stay_in_the_kernel() -> None:
    async with watched() as gateway:
        silent = [socket.create_connection(("127.0.0.1", gateway.port)) for _ in range(20)]
        await (await gateway.client()).close()
        assert Listener.accepts < 10
        for sock in silent:
            sock.close()


# ---- what runs out ------------------------------------------------------------------------------


async def test_without_descriptors_it_looks_again_once_a_second(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []
    monkeypatch.setattr("framefan.base.logs.warning", lambda text, **_: told.append(text))
    monkeypatch.setattr(acceptor, "RETRY_S", 0.2)
    async with watched() as gateway:
        Listener.error = errno.EMFILE
        sock = await asyncio.to_thread(socket.create_connection, ("127.0.0.1", gateway.port))
        sock.sendall(UPGRADE)
        await until(lambda: Listener.accepts == 3)
        assert len(told) == 1, told
        assert "Too many open files" in told[0]
        Listener.error = 0
        await until(lambda: gateway.hub.clients == 1)
        sock.close()


@pytest.mark.parametrize("error", [errno.EAGAIN, errno.ECONNABORTED])
async def test_a_connection_that_another_gateway_took_is_no_news(error: int) -> None:
    async with watched() as gateway:
        Listener.error = error
        sock = await asyncio.to_thread(socket.create_connection, ("127.0.0.1", gateway.port))
        sock.sendall(UPGRADE)
        await until(lambda: Listener.accepts > 3)
        Listener.error = 0
        await until(lambda: gateway.hub.clients == 1)
        sock.close()


async def test_without_room_the_backlog_waits() -> None:
    async with watched() as gateway:
        gateway.server.most_connections = 1
        first = await gateway.client()
        second = socket.create_connection(("127.0.0.1", gateway.port))
        second.sendall(UPGRADE)
        await pace(0.1)
        assert len(gateway.server._connections) == 1
        first.transport.abort()
        await until(lambda: gateway.hub.clients == 1 and first.state is State.CLOSED)
        second.close()


# ---- the end ------------------------------------------------------------------------------------


async def test_a_connection_accepted_in_the_last_turn_leaves_nothing() -> None:
    async with watched() as gateway:
        sock = socket.create_connection(("127.0.0.1", gateway.port))
        sock.sendall(UPGRADE)
        door = gateway.server._acceptor
        assert door is not None
        await pace(0.05)
        door._accept()
        await gateway.server.close()
        assert not len(door)
        sock.close()
    assert not any(isinstance(each, ClientConnection) for each in gateway.server._connections)
