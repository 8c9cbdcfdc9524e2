"""A client of the hub, played by a test: its line, and all that came out of it."""

from __future__ import annotations

import json
from typing import Any

from framefan_gateway.contract import Contract
from framefan_gateway.group import Line
from framefan_gateway.hub import Hub


def split(data: bytes) -> list[dict[str, Any]]:
    """The JSON messages of a run of whole text frames."""
    messages = []
    while data:
        size, start = data[1], 2
        if size == 126:
            size, start = int.from_bytes(data[2:4], "big"), 4
        assert data[0] == 0x81
        messages.append(json.loads(data[start : start + size]))
        data = data[start + size :]
    return messages


class Reader:
    """A client's side: a line with room for so many writes, and all that came out of it."""

    def __init__(self, hub: Hub, contract: Contract, room: int = 1000) -> None:
        self.hub = hub
        self.contract = contract
        self.room = room
        self.received: list[dict[str, Any]] = []
        self.writes = 0
        self.kept = b""
        self.evicted = ""
        self.client: Any = None
        self.client = hub.join(contract, Line(self.write, self.offer), self.evict, 0.0)
        if self.room <= 0:
            hub.line_full(self.client)

    def offer(self, data: bytes) -> int:
        """All of it while there is room; the last one in part, or not at all."""
        assert not self.kept
        if self.room > 1:
            self.write(data)
            return len(data)
        taken = len(data) // 2 if self.writes % 2 else 0
        if not taken:
            raise BlockingIOError
        self.kept = data[:taken]
        return taken

    def write(self, data: bytes) -> None:
        assert data
        data, self.kept = self.kept + data, b""
        self.writes += 1
        self.room -= 1
        self.received += split(data)
        if self.room <= 0 and self.client is not None:
            self.hub.line_full(self.client)

    def drain(self, room: int) -> None:
        self.room = room
        self.hub.line_free(self.client, 0.0)

    def evict(self, reason: str) -> None:
        self.evicted = reason

    @property
    def results(self) -> list[dict[str, Any]]:
        return [m for m in self.received if m["type"] in ("result", "error")]

    @property
    def told_missed(self) -> int:
        return sum(message.get("missed", 0) for message in self.received)
