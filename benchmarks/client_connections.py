"""WebSocket clients: plain ones, in this process or in their own, and one that reads slowly."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import websockets
from websockets.client import ClientProtocol
from websockets.uri import parse_uri

from framefan.base import clock

if TYPE_CHECKING:
    from collections.abc import Callable

    from websockets.frames import Frame

README_CLIENT = """\
import asyncio, websockets
async def main():
    async with websockets.connect("ws://127.0.0.1:8765/ws") as ws:
        while True: print(await ws.recv())
asyncio.run(main())
"""


@dataclass(frozen=True)
class Received:
    """A message, and when it was in the client's hands."""

    at: float
    wall: float
    message: dict[str, Any]


def is_result(received: Received) -> bool:
    return received.message.get("type") == "result"


def collect(url: str, done: Callable[[list[str], float], bool]) -> list[Received]:
    """Everything a plain client receives until `done(texts, seconds)`; decoded afterwards."""
    texts: list[str] = []
    times: list[tuple[float, float]] = []

    async def read() -> None:
        async with websockets.connect(url) as connection:
            began = clock.now()
            while not texts or not done(texts, clock.now() - began):
                text = await asyncio.wait_for(connection.recv(), 10)
                times.append((clock.now(), clock.wall()))
                texts.append(str(text))

    asyncio.run(read())
    return [Received(*at, json.loads(text)) for at, text in zip(times, texts, strict=True)]


def for_seconds(wanted: float) -> Callable[[list[str], float], bool]:
    return lambda _, seconds: seconds >= wanted


class PrintingClient:
    """The README's client in a process of its own, as it stands there but for the port."""

    def __init__(self, url: str) -> None:
        text = README_CLIENT.replace("ws://127.0.0.1:8765/ws", url)
        self.process = subprocess.Popen(
            [sys.executable, "-u", "-c", text], stdout=subprocess.PIPE, text=True
        )
        self.lines: list[tuple[float, str]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append((clock.now(), line))

    def rate(self, begin: float, end: float) -> float:
        """Results a second that it printed between the two times."""
        found = [line for at, line in list(self.lines) if begin <= at < end]
        return sum(json.loads(line)["type"] == "result" for line in found) / (end - begin)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._reader.join(5)


@dataclass
class SlowReader:
    """Takes `bytes_per_s` off its socket and no more; notes how old each result was then."""

    url: str
    bytes_per_s: float
    receive_buffer: int = 0
    """SO_RCVBUF; 0 leaves the system's default."""
    ages: list[float] = field(default_factory=list)
    missed: int = 0
    closed: str = ""

    def read(self, seconds: float) -> None:
        """Blocks for `seconds`, or until the connection ends."""
        uri = parse_uri(self.url)
        protocol = ClientProtocol(uri)
        with socket.socket() as sock:
            if self.receive_buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
            sock.settimeout(10)
            sock.connect((uri.host, uri.port))
            protocol.send_request(protocol.connect())
            self._send(sock, protocol)
            turn_s = 0.05
            portion = int(self.bytes_per_s * turn_s)
            due, end = clock.now(), clock.now() + seconds
            while clock.now() < end and not self.closed:
                due += turn_s
                time.sleep(max(0.0, due - clock.now()))
                self._take(sock, protocol, portion)

    def _take(self, sock: socket.socket, protocol: ClientProtocol, portion: int) -> None:
        try:
            data = sock.recv(portion)
        except OSError as error:
            self.closed = str(error)
            return
        if not data:
            self.closed = "end of stream"
            return
        protocol.receive_data(data)
        for event in protocol.events_received():
            self._note(event)
        self._send(sock, protocol)

    def _note(self, event: Frame | Any) -> None:
        data = getattr(event, "data", b"")
        if not data.startswith(b"{"):
            return
        message = json.loads(data)
        if message["type"] == "result":
            self.ages.append(clock.wall() - message["ts"])
            self.missed += message["missed"]

    def _send(self, sock: socket.socket, protocol: ClientProtocol) -> None:
        for data in protocol.data_to_send():
            sock.sendall(data)
