"""WebSocket clients for tests, as plain as a user's."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import websockets

from framefan.base.clock import now


async def collect(url: str, seconds: float, camera: str | None = None) -> list[dict[str, Any]]:
    """Every result message of a plain client within so many seconds after the first."""
    messages: list[dict[str, Any]] = []
    async with websockets.connect(url) as ws:
        deadline = None
        while deadline is None or now() < deadline:
            wait = 10.0 if deadline is None else max(0.01, deadline - now())
            try:
                text = await asyncio.wait_for(ws.recv(), wait)
            except TimeoutError:
                break
            deadline = deadline or now() + seconds
            message = json.loads(text, parse_constant=_refuse)
            if message["type"] == "result" and camera in (None, message["camera"]):
                messages.append(message)
    return messages


async def first(url: str, count: int, kind: str = "result") -> list[dict[str, Any]]:
    """The first so many messages of a type."""
    found: list[dict[str, Any]] = []
    async with websockets.connect(url) as ws:
        while len(found) < count:
            message = json.loads(await asyncio.wait_for(ws.recv(), 15), parse_constant=_refuse)
            if message["type"] == kind:
                found.append(message)
    return found


def _refuse(constant: str) -> None:
    raise AssertionError(f"{constant} is no JSON")
