"""A client that talks: it sends commands, and keeps what it is told between the answers."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from gateway_server import WAIT_S, Gateway
from waiting import SCALE
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from framefan.ipc.records import Detection

BOX = (0.0, 0.0, 9.0, 9.0)
PERSON, CAR, DOG = (
    Detection("person", 0.9, BOX),
    Detection("car", 0.6, BOX),
    Detection("dog", 0.2, BOX),
)


class Talk:
    def __init__(self, client: ClientConnection) -> None:
        self.client = client
        self.seen: list[dict[str, Any]] = []
        """All but replies."""
        self.binary = False
        """Whether the last message was."""
        self._id = 0

    async def next(self) -> dict[str, Any]:
        """The next message of any type."""
        async with asyncio.timeout(WAIT_S * SCALE):
            data = await self.client.recv()
        self.binary = isinstance(data, bytes)
        message: dict[str, Any] = (
            msgspec.msgpack.decode(data) if isinstance(data, bytes) else json.loads(data)
        )
        if message["type"] != "reply":
            self.seen.append(message)
        return message

    async def reply(self) -> dict[str, Any]:
        """The next reply; what came before it is in `seen`."""
        while (message := await self.next())["type"] != "reply":
            pass
        return message

    async def ask(self, name: str, binary: bool = False, **options: Any) -> dict[str, Any]:
        """Send a command and wait for its answer."""
        self._id += 1
        command = {"id": self._id, name: options}
        text = msgspec.msgpack.encode(command) if binary else json.dumps(command)
        await self.client.send(text)
        answer = await self.reply()
        assert answer["id"] == self._id
        return answer

    async def ready(self) -> None:
        """A client that has heard everything, and whose pong of it has come back."""
        await self.ask("ping")
        async with asyncio.timeout(WAIT_S * SCALE):
            await (await self.client.ping())

    async def results(self, count: int) -> list[dict[str, Any]]:
        """So many results or errors more."""
        found: list[dict[str, Any]] = []
        while len(found) < count:
            message = await self.next()
            if message["type"] in ("result", "error"):
                found.append(message)
        return found

    async def closed(self) -> tuple[int | None, str | None]:
        """The code and reason of the end; what came before it is in `seen`."""
        with contextlib.suppress(ConnectionClosed):
            while True:
                await self.next()
        return self.client.close_code, self.client.close_reason

    async def caught_up(self, gateway: Gateway) -> list[dict[str, Any]]:
        """All that it was sent up to now, but replies, since the last call of this or `take`."""
        gateway.server.flush()
        await self.ask("ping")
        return self.take()

    def take(self) -> list[dict[str, Any]]:
        """What was seen since the last call."""
        seen, self.seen = self.seen, []
        return seen


@contextlib.asynccontextmanager
async def talking(gateway: Gateway, query: str = "", **options: Any) -> AsyncIterator[Talk]:
    """Connected, and perhaps not a client yet: a `ping` answered says that it is.

    What was published before is the past to it, and not on its way.
    """
    gateway.server.flush()
    url = gateway.url + query
    async with connect(url, proxy=None, compression=None, **options) as client:
        yield Talk(client)


def seqs(messages: list[dict[str, Any]]) -> list[int]:
    return [message["seq"] for message in messages if message["type"] in ("result", "error")]


def labels(message: dict[str, Any]) -> list[str]:
    return [seen["label"] for seen in message["detections"]]
