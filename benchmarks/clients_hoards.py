"""What each library takes off its line, and answers for, before the handler asks for it.

A server of our own sends 30 small messages a second, as framefan would without pacing, and a ping
behind each. The ping that a library has answered tells what it has parsed, its notes tell what its
handler has begun with. The difference lies in the library, where nothing newer can take its place
and no server can see it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import TYPE_CHECKING

import websockets

from benchmarks.clients_accounts import results
from benchmarks.clients_programs import LIBRARIES, Client, Clients
from benchmarks.report import Row, percentile
from framefan.base import clock

if TYPE_CHECKING:
    from benchmarks.clients_accounts import Note

FPS = 30.0
HANDLER_S = 1.0
WATCHED_S = 22.0
_BLOB = "x" * 330
_SETTLED_S = 4.0


class Server:
    """Sends to each client at the same rate, whatever it has read."""

    def __init__(self) -> None:
        self.answered: dict[str, list[tuple[float, int]]] = {}
        """By path: when which message's ping was answered."""

    async def start(self) -> int:
        self._server = await websockets.serve(
            self._serve, "127.0.0.1", 0, ping_interval=None, write_limit=1 << 22, compression=None
        )
        return int(self._server.sockets[0].getsockname()[1])

    def close(self) -> None:
        self._server.close(close_connections=False)

    async def _serve(self, connection: websockets.ServerConnection) -> None:
        assert connection.request is not None
        answered = self.answered.setdefault(connection.request.path, [])
        reader = asyncio.create_task(_read(connection))
        begin, number = clock.now(), 0
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                await connection.send(_message(number))
                pong = await connection.ping()
                pong.add_done_callback(lambda _, at=number: answered.append((clock.now(), at)))
                number += 1
                await asyncio.sleep(max(0.0, begin + number / FPS - clock.now()))
        reader.cancel()


async def _read(connection: websockets.ServerConnection) -> None:
    with contextlib.suppress(websockets.ConnectionClosed):
        async for _ in connection:
            pass


def _message(number: int) -> str:
    return json.dumps({
        "type": "result", "v": 1, "camera": "c0", "seq": number, "epoch": "be4c5f0a",
        "ts": time.time(), "missed": 0, "latency_ms": {}, "result": {"blob": _BLOB},
    })  # fmt: skip


def measure(watched_s: float = WATCHED_S) -> list[Row]:
    return asyncio.run(_measure(watched_s))


async def _measure(watched_s: float) -> list[Row]:
    server = Server()
    port = await server.start()
    clients = [
        Client(library, {"url": f"ws://127.0.0.1:{port}/{number}", "handler": [[0, HANDLER_S]]})
        for number, library in enumerate(LIBRARIES)
        if library.name != "framefan.client"  # it reads as websockets does
    ]
    print(f"  {len(clients)} clients of a server that sends and pings all the time", flush=True)
    with Clients(clients) as together:
        await asyncio.to_thread(together.wait_open)
        await asyncio.sleep(watched_s)
    rows = [_row(client, server.answered[f"/{number}"]) for number, client in enumerate(clients)]
    server.close()
    return rows


def _row(client: Client, answered: list[tuple[float, int]]) -> Row:
    held = [each for _, each in hoards(client.notes, answered, client.opened_at + _SETTLED_S)] or [
        0
    ]
    most, median = max(held), percentile(held, 50)
    told = f"{median:.0f} at half time, {most} at most"
    return Row(
        f"{client.library.name}: pings answered ahead of a handler of {HANDLER_S:g} s",
        "",
        told if most else "none: pings wait for the handler, and the rest for the kernel",
    )


def hoards(
    notes: list[Note], answered: list[tuple[float, int]], since: float
) -> list[tuple[float, int]]:
    """At each result that a handler began with: when, and how many lay parsed behind it."""
    found, parsed, at = [], -1, 0
    for note in results(notes, since):
        while at < len(answered) and answered[at][0] <= note["at"]:
            parsed = max(parsed, answered[at][1])
            at += 1
        found.append((note["at"], max(0, parsed - note["seq"])))
    return found
