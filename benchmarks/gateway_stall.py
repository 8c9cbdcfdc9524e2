"""Clients that never read, and what the others notice of them.

900 clients read all the time; in every other run 100 more, with a receive buffer of 4 KiB, connect
before the publishing begins and read nothing. The delay of a result is from its publishing on the
bus to its arrival at a client. Beside it, the same with the usual script, which awaits its sends.
"""

from __future__ import annotations

import contextlib
import math
import time
from dataclasses import dataclass
from statistics import median
from typing import Any

from benchmarks.gateway_load import Load
from benchmarks.gateway_real import Gateway, cores, descriptors, memory, pace, payload
from benchmarks.gateway_ways import Peer
from benchmarks.report import Row, percentile, spread
from framefan import clock
from framefan_gateway.group import WRITE_BYTES

FPS = 20.0
_THINGS = payload(30)
_QUIET_S = 0.3
_SLACK_S = 1.0
_LOOK_S = 0.1
_RETURN_BYTES = 1 << 20
"""What a process may keep of the memory that it has given back."""


@dataclass
class Run:
    """One run: the delays of those who read, and what became of those who did not."""

    delays_ms: list[float]
    due: int
    watch: Watch

    @property
    def p99_ms(self) -> float:
        return percentile(self.delays_ms, 99)


class Watch:
    """Follows the gateway's connections, memory and reports while a run goes on."""

    def __init__(self, gateway: Gateway, stuck: int) -> None:
        self._gateway = gateway
        self._stuck = stuck
        gateway.facts()
        self._conflated = gateway.facts().missed_by.get("conflated", 0)
        self._before = descriptors(gateway.pid)
        self._look_at = clock.now()
        self.before = self.most = self.after = memory(gateway.pid)
        self.full_at = 0.0
        """When the lines of those who do not read were full, by the gateway's account."""
        self.gone_at = 0.0
        """When the gateway had closed all of them."""

    def look(self) -> None:
        now = clock.now()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_S
        self.after = memory(self._gateway.pid)
        self.most = max(self.most, self.after)
        if self.full_at and not self.gone_at and descriptors(self._gateway.pid) == self._before:
            self.gone_at = now
        for facts in self._gateway.news():
            more = facts.missed_by.get("conflated", 0) - self._conflated
            if self._stuck and more >= self._stuck and not self.full_at:
                # From then on each of them missed every result.
                self.full_at = now - more / self._stuck / FPS

    @property
    def growth(self) -> int:
        return self.most - self.before

    @property
    def kept(self) -> int:
        return self.after - self.before

    @property
    def gone_after(self) -> float:
        """Seconds that they stayed with full lines; none is as good as ever."""
        return self.gone_at - self.full_at if self.gone_at else math.inf


class Feed:
    """A way with its readers, and what it publishes to them."""

    def __init__(self, load: Load, gateway: Gateway, name: str, port: int, readers: int) -> None:
        self._load = load
        self._gateway = gateway
        self.name = name
        self._port = port
        self._readers = readers
        load.open(name, port, readers, timed=True)
        publisher = gateway.publisher
        if name == "framefan":
            self._send = lambda camera: publisher.send(publisher.record(camera, payload=_THINGS))
        else:
            self._send = lambda camera: publisher.send_text(
                name, publisher.record(camera, payload=_THINGS)
            )

    def run(self, seconds: float, stuck: int) -> Run:
        watch = Watch(self._gateway, stuck if self.name == "framefan" else 0)
        if stuck:
            self._load.open("stuck", self._port, stuck, rcvbuf=4096, reads=False)
        self._load.report(self.name)
        times = self._gateway.publisher.times
        first = len(times)
        pace(seconds, ["cam"], FPS, self._send, watch.look)
        time.sleep(_QUIET_S)
        watch.look()
        seen = self._load.report(self.name)
        pairs = zip(seen["at"], seen["frame"], strict=True)
        # The results that greeted a newcomer are older than this run.
        delays = [(at - times[frame]) * 1000 for at, frame in pairs if frame >= first]
        if stuck:
            self._load.close("stuck")
        return Run(delays, (len(times) - first) * self._readers, watch)


def stalled(folder: str, readers: int, stuck: int, pairs: int, seconds: float) -> list[Row]:
    calm: list[Run] = []
    beset: list[Run] = []
    with contextlib.ExitStack() as stack:
        gateway = stack.enter_context(Gateway(folder, ["cam"]))
        load = stack.enter_context(Load(cores()[1]))
        feed = Feed(load, gateway, "framefan", gateway.port, readers)
        feed.run(3.0, 0)
        for _ in range(pairs):
            calm.append(feed.run(seconds, 0))
            beset.append(feed.run(seconds, stuck))
        closed = gateway.facts().closed_by.get("stalled", 0)
        load.close("framefan")
        naive = _naive(stack, load, gateway, (readers, stuck), seconds)
        deadline_s = gateway.settings.limits.stall_s + _SLACK_S
    left = f"{closed} of {pairs * stuck} closed as stalled"
    gone_s = [run.watch.gone_after for run in beset]
    return [
        *_delays(calm, beset, stuck),
        Row(
            f"the {stuck} are gone, after their lines were full",
            f"<= {deadline_s:g} s",
            f"{spread(gone_s, 1)} s; {left}",
            max(gone_s) <= deadline_s and closed == pairs * stuck,
        ),
        *_memory(calm, beset, stuck),
        *naive,
    ]


def _delays(calm: list[Run], beset: list[Run], stuck: int) -> list[Row]:
    ratios = [b.p99_ms / a.p99_ms for a, b in zip(calm, beset, strict=True)]
    told = (
        f"{spread(ratios)}; {spread([run.p99_ms for run in beset])} ms, "
        f"without them {spread([run.p99_ms for run in calm])} ms"
    )
    received = sum(len(run.delays_ms) for run in beset) / sum(run.due for run in beset)
    return [
        Row(
            f"p99 delay of 900 beside {stuck} that never read, over without them",
            "<= 1.3",
            told,
            median(ratios) <= 1.3,
        ),
        Row("results that the 900 received then", "100%", f"{received:.2%}", received == 1),
    ]


def _memory(calm: list[Run], beset: list[Run], stuck: int) -> list[Row]:
    """What the runs with them grew by beyond those without: history grows in both."""
    most = [b.watch.growth - a.watch.growth for a, b in zip(calm, beset, strict=True)]
    kept = [b.watch.kept - a.watch.kept for a, b in zip(calm, beset, strict=True)]
    name = f"gateway's memory for {stuck} that never read"
    caps = stuck * WRITE_BYTES
    return [
        Row(
            f"{name}, at its largest",
            f"<= {caps >> 10:,} KiB",
            f"{spread([each / 1024 for each in most], 0)} KiB",
            max(most) <= caps,
        ),
        Row(
            f"{name}, when they are gone",
            f"<= {_RETURN_BYTES >> 10:,} KiB",
            f"{spread([each / 1024 for each in kept], 0)} KiB",
            median(kept) <= _RETURN_BYTES,
        ),
    ]


def _naive(
    stack: contextlib.ExitStack,
    load: Load,
    gateway: Gateway,
    clients: tuple[int, int],
    seconds: float,
) -> list[Row]:
    """The usual script in the same place."""
    readers, stuck = clients
    peer: Any = stack.enter_context(Peer("wait", gateway.publisher.texts_endpoint, cores()[0]))
    gateway.publisher.subscribed(1, peers=True)
    feed = Feed(load, gateway, "wait", peer.port, readers)
    calm = feed.run(seconds, 0)
    beset = feed.run(seconds, stuck)
    received = len(beset.delays_ms) / beset.due
    told = f"received {received:.0%} of the results"
    told += f", p99 of those {beset.p99_ms:.0f} ms" if beset.delays_ms else ""
    return [
        Row(
            f"the same 900 behind a script that awaits its sends, beside {stuck}",
            "",
            f"{told}; without them {len(calm.delays_ms) / calm.due:.0%}, p99 {calm.p99_ms:.0f} ms",
        )
    ]
