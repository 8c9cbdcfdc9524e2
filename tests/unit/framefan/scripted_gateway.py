"""A gateway that does what a test says: the WebSocket protocol, without anything behind it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from waiting import SCALE
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

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
    """One connection, as the script sees it."""

    def __init__(self, connection: ServerConnection) -> None:
        self.connection = connection
        self.query = query(connection.request)
        self.headers = connection.request.headers if connection.request else {}
        self.got: list[dict[str, Any]] = []

    async def send(self, *messages: dict[str, Any]) -> None:
        for message in messages:
            await self.connection.send(json.dumps(message))

    async def next(self) -> dict[str, Any]:
        """The client's next command."""
        command = json.loads(await asyncio.wait_for(self.connection.recv(), WAIT_S))
        self.got.append(command)
        return command

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
        try:
            with contextlib.suppress(ConnectionClosed):
                await part(line)
                await connection.wait_closed()
        except BaseException as error:
            self.failed.append(error)
            raise
