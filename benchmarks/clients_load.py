"""The load generator for a real run: it reads a result's age off its own `ts`."""

from __future__ import annotations

import resource
import time
from array import array
from typing import TYPE_CHECKING, Any

from benchmarks.gateway_load import Load, Loop
from benchmarks.raw_clients import Client, TimedGroup

if TYPE_CHECKING:
    from multiprocessing.connection import Connection


class AgedGroup(TimedGroup):
    """Notes the number of each result's frame and its age, in seconds, as it comes."""

    def clear(self) -> None:
        super().clear()
        self.age = array("d")

    def message(self, client: Client, data: bytes, start: int, stop: int, now: float) -> None:
        found = data.find(b'"ts":', start, stop)
        known = len(self.frame)
        super().message(client, data, start, stop, now)
        if len(self.frame) > known:
            ts = float(data[found + 5 : data.find(b",", found, stop)])
            self.age.append(time.time() - ts)

    def report(self) -> dict[str, Any]:
        age = self.age.tobytes()
        return super().report() | {"age": age}


class AgedLoop(Loop):
    """Its timed groups are of this kind; it may have as many sockets as the machine lets it."""

    def __init__(self, pipe: Connection) -> None:
        raise_descriptors()
        super().__init__(pipe)

    def open(self, name: str, timed: bool, port: int, count: int, options: dict[str, Any]) -> int:
        if timed:
            self.groups.setdefault(name, AgedGroup())
        return super().open(name, timed, port, count, options)


class AgedLoad(Load):
    """A load process that any core may run."""

    def __init__(self) -> None:
        super().__init__(None, AgedLoop)

    def report(self, name: str) -> dict[str, Any]:
        found = super().report(name)
        return found | {"age": array("d", found["age"])}


def raise_descriptors(wanted: int = 65_536) -> None:
    """For this process and those that it starts; the hard limit, too, where it may."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(wanted, hard), max(wanted, hard)))
    except (ValueError, OSError):  # only root may go beyond it
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
