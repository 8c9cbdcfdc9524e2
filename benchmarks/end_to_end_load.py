"""The clients of end_to_end.py, for every way the same: raw sockets in one epoll loop of a process
of their own, which know how old each result is when they have read it."""

from __future__ import annotations

import math
from array import array
from typing import Any

from benchmarks.gateway_load import Load, Loop
from benchmarks.raw_clients import Client, Group, connect
from benchmarks.report import percentile
from framefan.base import clock

_AT_ONCE = {"framefan": 24}
"""Handshakes begun before the first of them is finished, where a server allows only so many."""
_MANY_AT_ONCE = 100
_RESULT = b'{"type":"result"'
_STAMP = b'"ts":'


class Crowd(Group):
    """Clients that read all the time. Those who joined first can be asked what they were sent."""

    def __init__(self) -> None:
        super().__init__()
        self.clear()

    def clear(self) -> None:
        """From now on. Ages are by the wall clock, which is read once and goes on with ours."""
        self._began = clock.now()
        self._wall = clock.wall() - self._began
        self.ages = array("d")
        self.texts: list[tuple[float, bytes]] = []
        for client in self.clients:
            client.last = 0

    def message(self, client: Client, data: bytes, start: int, stop: int, now: float) -> None:
        if not data.startswith(_RESULT, start):
            return
        stamp = data.find(_STAMP, start, stop) + len(_STAMP)
        ts = float(data[stamp : data.find(b",", stamp, stop)])
        self.ages.append((now + self._wall - ts) * 1000)
        client.last += 1
        self.messages += 1
        if client is self.clients[0]:
            self.texts.append((now, data[start:stop]))

    def report(self) -> dict[str, Any]:
        """Since the last report."""
        seconds = clock.now() - self._began
        rates = [client.last / seconds for client in self.clients]
        told = {
            "rate": percentile(rates, 50),
            "results": percentile([client.last for client in self.clients], 50),
            "ages": [
                percentile(self.ages, percent) if self.ages else math.nan for percent in (50, 99)
            ],
            "texts": self.texts,
        }
        self.clear()
        return told


class CrowdLoop(Loop):
    def join(self, name: str, port: int, count: int) -> None:
        """So many more clients of group `name`."""
        group = self.groups.setdefault(name, Crowd())
        at_once = _AT_ONCE.get(name, _MANY_AT_ONCE)
        for client in connect(group, port, "/ws", count, at_once=at_once):
            self.add(client)


def clients(core: int) -> Load:
    return Load(core, CrowdLoop)
