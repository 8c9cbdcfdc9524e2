"""The gateway's server in the test's own loop, and clients for it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

from gateway_fakes import outcome, parts
from waiting import SCALE, pause
from websockets.asyncio.client import ClientConnection, connect

from framefan.base import clock
from framefan.settings.run import CameraSettings, Limits, Settings
from framefan.settings.secret import Secret, SourceText
from framefan_gateway.delivery.hub import Hub
from framefan_gateway.http.previews import Previews
from framefan_gateway.intake import Intake
from framefan_gateway.server import Server

WAIT_S = 10.0
STALL_S = 0.5
LARGE = {"kind": "value", "payload": "x" * 20_000}


class Gateway:
    """A server in this loop, fed without a bus."""

    def __init__(
        self, *, token: str = "", cameras: tuple[str, ...] = ("cam",), **limits: Any
    ) -> None:
        self.limits = Limits(**({"stall_s": STALL_S} | limits))
        named = tuple(CameraSettings(name=name, source=SourceText("demo")) for name in cameras)
        previews = Previews(cameras)
        self.hub = Hub(1000, 1 << 20, self.limits.history_s, self.limits.history_bytes, previews)
        self.intake = Intake(self.hub, 3.0)
        settings = Settings(cameras=named, limits=self.limits, token=Secret(token))
        self.server = Server(settings, 1, self.hub, self.intake, previews)
        self.next_seq: Counter[str] = Counter()
        self._n = 0

    @property
    def seq(self) -> int:
        """What `cam` will publish next."""
        return self.next_seq["cam"]

    @seq.setter
    def seq(self, seq: int) -> None:
        self.next_seq["cam"] = seq

    async def start(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        listener.setblocking(False)
        self.port = listener.getsockname()[1]
        await self.server.start(listener)

    def publish(self, camera: str = "cam", **changes: Any) -> int:
        """What one turn of the loop publishes comes together, as it would from the bus."""
        seq = self.next_seq[camera]
        record = outcome(seq, camera, **({"n": self._n} | changes))
        self.intake.take(parts(f"result/{camera}/", record), clock.now(), clock.wall())
        asyncio.get_running_loop().call_soon(self.server.flush_soon)
        self.next_seq[camera] += 1
        self._n += 1
        return seq

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    async def client(self, **options: Any) -> ClientConnection:
        before = self.hub.clients
        client = await connect(self.url, proxy=None, compression=None, **options)
        await until(lambda: self.hub.clients > before)
        return client

    async def raw(self, rcvbuf: int = 4096, query: str = "") -> socket.socket:
        """A client that has shaken hands and then reads only what it is told to."""
        sock = socket.socket()
        if rcvbuf:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, ("127.0.0.1", self.port))
        before = self.hub.clients
        await loop.sock_sendall(sock, UPGRADE.replace(b"/ws", f"/ws{query}".encode(), 1))
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += await receive(sock, 1)
        assert head.startswith(b"HTTP/1.1 101")
        await until(lambda: self.hub.clients > before)
        return sock


async def receive(sock: socket.socket, most: int) -> bytes:
    """At least one byte. Where the stream ends, a loop that waits for more would spin for ever."""
    chunk = await asyncio.get_running_loop().sock_recv(sock, most)
    assert chunk, "the gateway has closed the connection"
    return chunk


UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


async def until(condition: Callable[[], Any], seconds: float = WAIT_S) -> None:
    deadline = clock.now() + seconds * SCALE
    while not condition():
        assert clock.now() < deadline, "waited too long"
        await pace()


async def pace(seconds: float = 0.005) -> None:
    """Let this loop, and the other side of its sockets, get on."""
    await asyncio.to_thread(pause, seconds)


async def read(client: ClientConnection) -> Any:
    async with asyncio.timeout(WAIT_S):
        return json.loads(await client.recv())


@contextlib.asynccontextmanager
async def running(**options: Any) -> AsyncIterator[Gateway]:
    gateway = Gateway(**options)
    await gateway.start()
    try:
        yield gateway
    finally:
        await gateway.server.close()
    assert gateway.hub.clients == 0
