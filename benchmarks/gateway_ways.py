"""Other ways to send each result to every client, measured beside the gateway.

Each has a process of its own. They are handed the finished JSON text over the same ZeroMQ bus that
the gateway reads its records from, so that they have nothing to decode or encode and do nothing
but send.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import multiprocessing
import os
import select
import socket
from typing import TYPE_CHECKING, Any, Self

import zmq

from benchmarks.run import until
from framefan.ipc import bus
from framefan.settings.run import Limits

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

_NOBLOCK = int(zmq.NOBLOCK)
_spawn = multiprocessing.get_context("spawn")


class Texts:
    """The bus as these ways read it: texts, until there are no more for now."""

    def __init__(self, endpoint: str, topic: str) -> None:
        self._socket = bus.subscriber(Limits(bus_hwm=0), topic)
        self._socket.connect(endpoint)
        self.fd = int(self._socket.getsockopt(zmq.FD))

    def read(self) -> list[bytes]:
        texts: list[bytes] = []
        with contextlib.suppress(zmq.Again):
            while True:
                texts.append(self._socket.recv_multipart(_NOBLOCK)[1])
        return texts


def bare(texts: Texts, told: Connection) -> None:
    """Python's floor: one `socket.send` a client, of one ready frame, and nothing else."""
    from websockets.frames import Frame, Opcode

    listener = socket.create_server(("127.0.0.1", 0), backlog=256)
    told.send(listener.getsockname()[1])
    epoll = select.epoll()
    epoll.register(listener.fileno(), select.EPOLLIN)
    epoll.register(texts.fd, select.EPOLLIN)
    sends: list[Callable[[bytes], int]] = []
    kept: list[socket.socket] = []
    texts.read()
    while True:
        for fd, _ in epoll.poll():
            if fd == listener.fileno():
                kept.append(_shake(listener.accept()[0]))
                sends.append(kept[-1].send)
                continue
            for text in texts.read():
                frame = Frame(Opcode.TEXT, text).serialize(mask=False)
                for send in sends:
                    try:
                        send(frame)
                    except OSError:
                        continue  # full or gone


def _shake(sock: socket.socket) -> socket.socket:
    from websockets.utils import accept_key

    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    request = b""
    while b"\r\n\r\n" not in request:
        request += sock.recv(4096)
    key = request.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r\n")[0]
    sock.sendall(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + accept_key(key.decode()).encode() + b"\r\n\r\n"
    )
    sock.setblocking(False)
    return sock


def wait(texts: Texts, told: Connection) -> None:
    """The usual script: a task of `send` for each client, and all of them awaited."""

    async def send(clients: set[Any], news: asyncio.Queue[str]) -> None:
        while True:
            text = await news.get()
            if clients:
                await asyncio.wait([asyncio.create_task(each.send(text)) for each in clients])

    async def serve() -> None:
        clients: set[Any] = set()
        news: asyncio.Queue[str] = asyncio.Queue()
        sending = asyncio.create_task(send(clients, news))
        await _serve(clients, texts, told, news.put_nowait)
        await sending

    asyncio.run(serve())


def broadcast(texts: Texts, told: Connection) -> None:
    """The same library's own way to send to many."""
    from websockets.asyncio.server import broadcast as to_all

    async def serve() -> None:
        clients: set[Any] = set()
        await _serve(clients, texts, told, lambda text: to_all(clients, text))
        await asyncio.Event().wait()

    asyncio.run(serve())


async def _serve(
    clients: set[Any], texts: Texts, told: Connection, send: Callable[[str], None]
) -> None:
    """Serve with websockets; each text of the bus goes to `send`."""
    from websockets.asyncio.server import serve

    async def stay(connection: Any) -> None:
        clients.add(connection)
        await connection.wait_closed()
        clients.discard(connection)

    def read() -> None:
        for text in texts.read():
            send(text.decode())

    server = await serve(stay, "127.0.0.1", 0, compression=None, backlog=256)
    asyncio.get_running_loop().add_reader(texts.fd, read)
    read()
    told.send(server.sockets[0].getsockname()[1])


def uwebsockets(texts: Texts, told: Connection) -> None:
    """uWebSockets, in C++: `publish` to a topic that every client is subscribed to.

    Its loop gets one turn for each text, and one each 10 ms for the handshakes.
    """
    from socketify import App, OpCode  # type: ignore[import-not-found]

    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    app = App()
    options = {"compression": 0, "idle_timeout": 0, "open": lambda ws: ws.subscribe("results")}
    app.ws("/ws", options)
    app.listen({"port": port, "host": "127.0.0.1"})
    turn = app.loop.uv_loop.run_nowait
    turn()
    told.send(port)
    epoll = select.epoll()
    epoll.register(texts.fd, select.EPOLLIN)
    texts.read()
    while True:
        epoll.poll(0.01)
        for text in texts.read():
            app.publish("results", text, OpCode.TEXT)
            turn()
        turn()


WAYS = {"bare": bare, "wait": wait, "broadcast": broadcast, "uwebsockets": uwebsockets}


def _main(way: str, endpoint: str, core: int, told: Connection) -> None:
    os.sched_setaffinity(0, {core})
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # it tells of each lost client
    gc.collect()
    gc.freeze()
    WAYS[way](Texts(endpoint, f"{way}/"), told)


class Peer:
    """One of these ways, serving: its port and its process."""

    def __init__(self, way: str, endpoint: str, core: int) -> None:
        self._told, theirs = _spawn.Pipe(duplex=False)
        self.process = _spawn.Process(target=_main, args=(way, endpoint, core, theirs), daemon=True)
        self.process.start()
        theirs.close()
        self.port = 0
        until(lambda: self._told.poll() or not self.process.is_alive(), 20, f"the port of {way}")
        try:
            self.port = self._told.recv()
        except EOFError:
            self.close()
            raise OSError(f"{way} ended with exit code {self.process.exitcode}") from None

    @property
    def pid(self) -> int:
        return self.process.pid or 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.process.kill()
        self.process.join()
        self._told.close()
