"""A gateway that does what a test says: the WebSocket protocol, without anything behind it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from waiting import SCALE
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from framefan.client import Feed

WAIT_S = 20.0 * SCALE
Part = Callable[["Line"], Awaitable[None]]
"""What it does with one connection. When it returns, the line stays open until the client goes."""


def result(seq: int, camera: str = "cam", epoch: str = "e1", **more: Any) -> dict[str, Any]:
    return {
        "type": "result",
        "v": 1,
        "camera": camera,
        "seq": seq,
        "epoch": epoch,
        "frame": seq + 100,
        "ts": 1795400000.5,
        "width": 640,
        "height": 360,
        "model": "motion",
        "worker": 1,
        "missed": sum(more.get("missed_by", {}).values()),
        "latency_ms": {"wait": 1.0, "predict": 2.0, "deliver": 0.5, "total": 3.5},
        "detections": [{"label": "person", "confidence": 0.9, "box": [1.0, 2.0, 3.0, 4.0]}],
    } | more


def resumed(seq: int, recovered: bool, camera: str = "cam", epoch: str = "e1") -> dict[str, Any]:
    head = {"type": "resumed", "v": 1, "camera": camera, "epoch": epoch}
    return head | {"seq": seq, "recovered": recovered}


class Line:
    """One connection, as the script sees it.

    It keeps the window as the gateway does, one message where the client asks for `auto`, and
    checks each acknowledgement: it rises, and covers no message that was not sent.
    """

    def __init__(self, connection: ServerConnection) -> None:
        self.connection = connection
        self.query = query(connection.request)
        self.headers = connection.request.headers if connection.request else {}
        self.got: list[dict[str, Any]] = []
        ack = self.query.get("ack")
        self.window = None if ack is None else 1 if ack == "auto" else int(ack)
        self.sent = 0
        self.acked = 0
        self._commands = deque[dict[str, Any]]()
        self._news = asyncio.Condition()
        self._closed = False

    async def send(self, *messages: dict[str, Any] | str | bytes) -> None:
        for message in messages:
            await self.until(lambda: self.window is None or self.sent - self.acked < self.window)
            self.sent += 1
            await self.connection.send(
                json.dumps(message) if isinstance(message, dict) else message
            )

    async def next(self) -> dict[str, Any]:
        """The client's next command."""
        await self.until(lambda: bool(self._commands))
        command = self._commands.popleft()
        self.got.append(command)
        return command

    async def until(self, condition: Callable[[], bool]) -> None:
        """Raises ConnectionClosed if the connection ends before."""
        async with asyncio.timeout(WAIT_S), self._news:
            await self._news.wait_for(lambda: condition() or self._closed)
        if not condition():
            raise ConnectionClosed(None, None)

    async def listen(self) -> None:
        """Take what the client says, until it goes or says what it must not."""
        try:
            with contextlib.suppress(ConnectionClosed):
                async for data in self.connection:
                    self._take(data)
                    async with self._news:
                        self._news.notify_all()
        finally:
            self._closed = True
            async with self._news:
                self._news.notify_all()

    def _take(self, data: str | bytes) -> None:
        decode = msgspec.msgpack.decode if isinstance(data, bytes) else json.loads
        message = decode(data)
        if "ack" not in message:
            self._commands.append(message)
            return
        ack = message["ack"]
        assert message == {"ack": ack}, message
        assert self.window is not None, "it did not ask for it"
        assert isinstance(data, bytes) == (self.query.get("format") == "msgpack"), data
        assert self.acked < ack <= self.sent, (self.acked, ack, self.sent)
        self.acked = ack

    async def in_step(self) -> None:
        """What the client sent until it read all that it was sent has arrived."""
        await asyncio.wait_for(await self.connection.ping(), WAIT_S)

    async def reply(self, command: dict[str, Any], **answer: Any) -> None:
        await self.send({"type": "reply", "id": command["id"]} | answer)

    def cut(self) -> None:
        """As a cable is cut: nothing is said, what was on its way may be lost."""
        self.connection.transport.abort()


def query(request: Request | None) -> dict[str, str]:
    assert request is not None
    found = parse_qs(urlsplit(request.path).query, keep_blank_values=True)
    assert all(len(values) == 1 for values in found.values()), found
    return {name: values[0] for name, values in found.items()}


def since(line: Line) -> dict[str, tuple[str, int]]:
    found = {}
    for each in filter(None, line.query.get("since", "").split(",")):
        camera, epoch, seq = each.split(":")
        found[camera] = epoch, int(seq)
    return found


class ScriptedGateway:
    """Plays one part for each connection, the last for all that follow.

    A number in place of a part is an HTTP status that refuses the handshake.
    """

    def __init__(self, *parts: Part | int, port: int = 0) -> None:
        self.port = port
        self.parts = list(parts)
        self.lines: list[Line] = []
        self.refused = 0
        self.failed: list[BaseException] = []
        self.answers = asyncio.Event()
        """Cleared, it leaves handshakes waiting."""
        self.answers.set()
        self.asked = 0

    async def __aenter__(self) -> ScriptedGateway:
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            self.port,
            process_request=self._answer,
            compression=None,
            ping_interval=None,
        )
        self.port = self._server.sockets[0].getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}/ws"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()
        for error in self.failed:
            raise error

    def _part(self) -> Part | int:
        return self.parts[min(len(self.lines) + self.refused, len(self.parts) - 1)]

    async def _answer(self, connection: ServerConnection, _: Request) -> Response | None:
        self.asked += 1
        await self.answers.wait()
        part = self._part()
        if not isinstance(part, int):
            return None
        self.refused += 1
        response = connection.respond(part, json.dumps({"error": f"scripted {part}"}))
        del response.headers["Content-Type"]
        response.headers["Content-Type"] = "application/json"
        return response

    async def _serve(self, connection: ServerConnection) -> None:
        part = self._part()
        line = Line(connection)
        self.lines.append(line)
        assert not isinstance(part, int)
        listening = asyncio.ensure_future(line.listen())
        try:
            with contextlib.suppress(ConnectionClosed):
                await part(line)
            await listening
        except BaseException as error:
            self.failed.append(error)
            raise
        finally:
            listening.cancel()


NO_WAIT = {"backoff_first_s": 0.0}


async def take(feed: Feed | AsyncIterator[object], count: int) -> list[object]:
    async with asyncio.timeout(WAIT_S):
        return [await anext(feed) for _ in range(count)]


def seqs(outcomes: list[object]) -> list[tuple[str, int]]:
    return [(each.epoch, each.seq) for each in outcomes]  # type: ignore[attr-defined]


def sends(*messages: dict[str, object]):
    async def part(line: Line) -> None:
        await line.send(*messages)

    return part
