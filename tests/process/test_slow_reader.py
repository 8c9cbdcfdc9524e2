"""Latest means latest: a slow reader on the default contract, beside a fast one.

The slow client is a raw socket that reads 20 KiB a second from what 200 results a second would
give it, and answers a ping when it comes to it, as each WebSocket client must. Nobody may have
hidden old results for it: not its outbox, not asyncio, neither kernel.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
import websockets
from clients import collect
from runs import Run
from waiting import SCALE, pause

from framefan.base.clock import now, wall

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.alone

BYTES_PER_S = 20 * 1024
STEP_S = 0.05
OLDEST_S = 1.5
NEWCOMERS = 200


def read_slowly(port: int, seconds: float, receive_buffer: int | None) -> list[float]:
    """The age in seconds of each result at the moment it is read whole."""
    sock = socket.socket()
    if receive_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.connect(("127.0.0.1", port))
    key = base64.b64encode(os.urandom(16)).decode()
    sock.sendall(
        f"GET /ws HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\n"
        f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\n"
        "Sec-WebSocket-Version: 13\r\n\r\n".encode()
    )
    data = bytearray()
    while b"\r\n\r\n" not in data:
        data += (byte := sock.recv(1))
        assert byte, "the gateway has closed the connection"
    del data[: data.index(b"\r\n\r\n") + 4]
    ages: list[float] = []
    end = now() + seconds
    sock.settimeout(5)
    while now() < end:
        data += sock.recv(int(BYTES_PER_S * STEP_S))
        messages, pings = _frames(data)
        ages += [wall() - message["ts"] for message in messages if "ts" in message]
        for payload in pings:
            sock.sendall(bytes([0x8A, 0x80 | len(payload), 0, 0, 0, 0]) + payload)
        pause(STEP_S)
    sock.close()
    return ages


def _frames(data: bytearray) -> tuple[list[dict[str, Any]], list[bytes]]:
    """The messages and pings of whole frames at the front of `data`, taken out of it."""
    messages, pings = [], []
    while len(data) >= 2:
        size, start = data[1], 2
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
        if len(data) < start + size:
            break
        body = bytes(data[start : start + size])
        if data[0] & 0x0F == 1:
            messages.append(json.loads(body))
        elif data[0] & 0x0F == 9:
            pings.append(body)
        del data[: start + size]
    return messages, pings


def busy(folder: Path) -> Path:
    """A predictor whose results have about 500 bytes."""
    path = folder / "busy.py"
    path.write_text(
        "from framefan.ipc.records import Detection\n"
        "def predict(image):\n"
        "    return [Detection(f'thing {n}', 0.5, (0, 0, 9, 9)) for n in range(5)]\n"
    )
    return path


async def use_slowly(url: str, seconds: float) -> list[float]:
    """The same with a client library of default settings, which reads ahead of its user."""
    ages = []
    # Behind what it was sent and will not read, the answer to its close would come in seconds.
    async with websockets.connect(url, close_timeout=0.1) as ws:
        end = now() + seconds
        while now() < end:
            text = await ws.recv()
            ages.append(wall() - json.loads(text)["ts"])
            await asyncio.to_thread(pause, len(text) / BYTES_PER_S)
    return ages


def test_slow_readers_read_nothing_old(tmp_path: Path) -> None:
    """With the kernel's usual buffers, with small ones, and behind a library; all at once."""
    with Run("demo?size=320x240&fps=200", "-p", f"{busy(tmp_path)}:predict") as run:
        with ThreadPoolExecutor() as threads:
            slow = {
                "usual": threads.submit(read_slowly, run.port, 12, None),
                "small": threads.submit(read_slowly, run.port, 12, 4096),
                "library": threads.submit(asyncio.run, use_slowly(run.ws, 12)),
            }
            fast = asyncio.run(collect(run.ws, 11))
        for name, reader in slow.items():
            ages = reader.result()
            assert len(ages) > 50, name
            assert max(ages) <= OLDEST_S * SCALE, name
    assert len(fast) >= 11 * 100
    # A newcomer's first writes wait for their pongs, at 200 results a second on a busy machine once
    # in a while for longer than until the next result: that is told, and over in a second.
    first, later = fast[:NEWCOMERS], fast[NEWCOMERS:]
    assert sum(message["missed"] for message in first) <= len(first) / 10
    assert sum(message["missed"] for message in later) == 0
