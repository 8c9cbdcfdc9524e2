"""Fifty clients of mixed contracts, each of which checks all that it is told.

They run in one loop in a thread of their own, come back whenever they are cut off, and begin anew
then: what is checked is each connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections import Counter, deque
from typing import Any

import msgspec
import websockets

from framefan.base import clock

CONTRACTS = (
    *[""] * 20,
    *["?delivery=every"] * 10,
    *["?max_fps=5"] * 5,
    *["?format=msgpack"] * 5,
    *["?preview=320"] * 4,
    *["?camera=demo-a&nonempty=1"] * 2,
)
SLOW = ("", "?delivery=every", "?preview=640", "?delivery=every&format=msgpack")
"""Those that read a few messages and then none for a while."""
_AGAIN_S = 0.1


class Seen:
    """What all of them saw; written in their thread, read in others."""

    def __init__(self) -> None:
        self.last: dict[str, float] = {}
        """By camera, when the probe was last sent a result, on clock.now."""
        self.results = 0
        self.wrong: list[str] = []
        self.latency: deque[tuple[float, float]] = deque(maxlen=200_000)
        """When, and how old it was, of results that plain clients got."""
        self.ends: Counter[str] = Counter()


class Checked:
    """One connection: the order and the holes of what it is told."""

    def __init__(self, seen: Seen, contract: str) -> None:
        self._seen = seen
        self._contract = contract
        self._next: dict[tuple[str, str], int] = {}

    def take(self, data: str | bytes) -> dict[str, Any]:
        if isinstance(data, bytes) and "preview" in self._contract:
            end = 4 + int.from_bytes(data[:4], "big")
            if not data[end:].startswith(b"\xff\xd8"):
                self._wrong("a picture that is no JPEG")
            return {}
        binary = isinstance(data, bytes)
        message: dict[str, Any] = msgspec.msgpack.decode(data) if binary else json.loads(data)
        if message["type"] in ("result", "error"):
            self._outcome(message)
        elif message["type"] == "gap":
            self._next_is(message, message["first_seq"], message["last_seq"] + 1)
        return message

    def _outcome(self, message: dict[str, Any]) -> None:
        self._seen.results += 1
        self._next_is(message, message["seq"] - message["missed"], message["seq"] + 1)
        value = message.get("result")
        if isinstance(value, dict) and "number" in value:
            read = value["number"]
            if read not in (None, message["frame"]):
                self._wrong(f"frame {message['frame']} shows {read}: torn, or another one")

    def _next_is(self, message: dict[str, Any], found: int, after: int) -> None:
        """What a message says it missed is the hole before it."""
        key = message["camera"], message["epoch"]
        due = self._next.get(key)
        if due is not None and found != due:
            self._wrong(f"{key}: {due} was due, {found} came: {json.dumps(message)[:300]}")
        self._next[key] = after

    def _wrong(self, text: str) -> None:
        if len(self._seen.wrong) < 50:
            self._seen.wrong.append(f"client {self._contract or 'plain'}: {text}")


class Crowd:
    def __init__(self, url: str) -> None:
        self.seen = Seen()
        self._url = url
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._all())

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()

    async def _rest(self, seconds: float) -> None:
        """So long, or until all is over."""
        # Not wait_for: in Python 3.11 it may swallow a cancellation that comes with the end.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._over.wait()

    async def _all(self) -> None:
        tasks = [asyncio.ensure_future(self._probe())]
        tasks += [asyncio.ensure_future(self._read(each, 0.0)) for each in CONTRACTS]
        tasks += [asyncio.ensure_future(self._read(each, 1.5)) for each in SLOW]
        await self._over.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _probe(self) -> None:
        """Who says that results come again."""

        def take(message: dict[str, Any]) -> None:
            if message["type"] in ("result", "error"):
                now = clock.now()
                self.seen.last[message["camera"]] = now
                self.seen.latency.append((now, time.time() - message["ts"]))

        await self._talk("", take, 0.0)

    async def _read(self, contract: str, rests_s: float) -> None:
        await self._talk(contract, lambda _: None, rests_s)

    async def _talk(self, contract: str, take: Any, rests_s: float) -> None:
        while not self._over.is_set():
            checked = Checked(self.seen, contract)
            try:
                async with websockets.connect(self._url + contract, proxy=None) as ws:
                    count = 0
                    async for data in ws:
                        message = checked.take(data)
                        if message:
                            take(message)
                        count += 1
                        if rests_s and count % 40 == 0:
                            await self._rest(rests_s)
            except (OSError, websockets.WebSocketException) as error:
                code = getattr(getattr(error, "rcvd", None), "code", 0)
                self.seen.ends[str(code or type(error).__name__)] += 1
            await self._rest(_AGAIN_S)
