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

import msgspec

from benchmarks.gateway_load import Load
from benchmarks.gateway_real import Gateway, cores, descriptors, memory, pace, payload
from benchmarks.gateway_ways import Peer
from benchmarks.report import Row, percentile, spread
from framefan.base import clock
from framefan_gateway.delivery.subscribers import WRITE_BYTES

FPS = 20.0
_THINGS = payload(30)
_QUIET_S = 0.3
_SLACK_S = 1.0
_LOOK_S = 0.1
_RETURN_BYTES = 1 << 20
_LARGE = payload(280)
_LARGE_FPS = 10.0
_LARGE_S = 16.0
"""The kernel takes about 2.6 MB for a connection on loopback before a sender has to wait."""
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
    """Follows the gateway's connections and memory while a run goes on."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        gateway.facts()
        self._before = descriptors(gateway.pid)
        self._most = self._before
        self._look_at = clock.now()
        self.before = self.most = memory(gateway.pid)
        self.took_at = 0.0
        """When the last of those who do not read took a byte, as their own kernel saw it."""
        self.gone_at = 0.0
        """When the gateway had closed all of them."""

    def look(self) -> None:
        now = clock.now()
        self._gateway.news()
        if now < self._look_at:
            return
        self._look_at = now + _LOOK_S
        self.most = max(self.most, memory(self._gateway.pid))
        connected = descriptors(self._gateway.pid)
        self._most = max(self._most, connected)
        if not self.gone_at and connected == self._before < self._most:
            self.gone_at = now

    @property
    def growth(self) -> int:
        return self.most - self.before

    @property
    def gone_after(self) -> float:
        """Seconds that they stayed without taking a byte; staying for ever is infinite."""
        return self.gone_at - self.took_at if self.gone_at and self.took_at else math.inf


class Feed:
    """A way with its readers, and what it publishes to them."""

    def __init__(
        self,
        load: Load,
        gateway: Gateway,
        name: str,
        port: int,
        readers: int,
        what: tuple[msgspec.Raw, float] = (_THINGS, FPS),
    ) -> None:
        """`what`: the payload of each result, and how many come a second."""
        self._load = load
        self._gateway = gateway
        self.name = name
        self._port = port
        self._readers = readers
        load.open(name, port, readers, timed=True)
        publisher = gateway.publisher
        things, self._fps = what
        if name == "framefan":
            self._send = lambda camera: publisher.send(publisher.record(camera, payload=things))
        else:
            self._send = lambda camera: publisher.send_text(
                name, publisher.record(camera, payload=things)
            )

    def run(self, seconds: float, stuck: int) -> Run:
        watch = Watch(self._gateway)
        if stuck:
            self._load.ask("stick", "stuck", self._port, stuck, 4096)
        self._load.report(self.name)
        times = self._gateway.publisher.times
        first = len(times)
        pace(seconds, ["cam"], self._fps, self._send, watch.look)
        time.sleep(_QUIET_S)
        watch.look()
        seen = self._load.report(self.name)
        pairs = zip(seen["at"], seen["frame"], strict=True)
        # The results that greeted a newcomer are older than this run.
        delays = [(at - times[frame]) * 1000 for at, frame in pairs if frame >= first]
        if stuck:
            watch.took_at = self._load.ask("unstick", "stuck")
        return Run(delays, (len(times) - first) * self._readers, watch)


def stalled(folder: str, readers: int, stuck: int, pairs: int, seconds: float) -> list[Row]:
    calm: list[Run] = []
    beset: list[Run] = []
    with contextlib.ExitStack() as stack:
        # Without a past to keep, memory is that of the clients.
        gateway = stack.enter_context(Gateway(folder, ["cam"], history_s=0.5))
        load = stack.enter_context(Load(cores()[1]))
        feed = Feed(load, gateway, "framefan", gateway.port, readers)
        feed.run(3.0, 0)
        before = memory(gateway.pid)
        for _ in range(pairs):
            calm.append(feed.run(seconds, 0))
            beset.append(feed.run(seconds, stuck))
        kept = memory(gateway.pid) - before
        closed = gateway.facts().closed_by.get("stalled", 0)
        load.close("framefan")
        large = _large(stack, load, gateway, readers, stuck)
        deadline_s = gateway.settings.limits.stall_s + _SLACK_S
    left = f"{closed} of {pairs * stuck} closed as stalled"
    gone_s = [run.watch.gone_after for run in beset]
    return [
        *_delays(calm, beset, stuck),
        Row(
            f"the {stuck} are gone, after the last byte that they took",
            f"<= {deadline_s:g} s",
            f"{spread(gone_s, 1)} s; {left}",
            max(gone_s) <= deadline_s and closed == pairs * stuck,
        ),
        *_memory(beset, kept, stuck),
        *large,
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


def _memory(beset: list[Run], kept: int, stuck: int) -> list[Row]:
    most = [run.watch.growth for run in beset]
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
            f"{name}, what the last of {len(beset)} runs adds",
            f"<= {_RETURN_BYTES >> 10:,} KiB",
            f"{most[-1] / 1024:,.0f} KiB; all runs together {kept / 1024:,.0f} KiB",
            most[-1] <= _RETURN_BYTES and kept <= caps,
        ),
    ]


def _large(
    stack: contextlib.ExitStack, load: Load, gateway: Gateway, readers: int, stuck: int
) -> list[Row]:
    """Results so large that what a kernel takes for a client that does not read is soon used up:
    the gateway, and in the same place the usual script.
    """
    peer: Any = stack.enter_context(Peer("wait", gateway.publisher.texts_endpoint, cores()[0]))
    gateway.publisher.subscribed(1, peers=True)
    rows = []
    for name, title, port in (
        ("framefan", "framefan's gateway", gateway.port),
        ("wait", "a script that awaits its sends", peer.port),
    ):
        feed = Feed(load, gateway, name, port, readers, (_LARGE, _LARGE_FPS))
        feed.run(1.0, 0)
        beset = feed.run(_LARGE_S, stuck)
        load.close(name)
        received = len(beset.delays_ms) / beset.due
        told = f"{received:.1%} received, p99 {beset.p99_ms:.0f} ms"
        rows.append(Row(f"{readers} beside {stuck}, results of 26 KB: {title}", "", told))
    return rows
