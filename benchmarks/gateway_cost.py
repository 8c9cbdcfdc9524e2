"""What a delivery costs the process that sends it, and how long it takes: one result to many
clients, and many cameras to fewer.

All ways serve at the same time, each to clients of its own in the one load process, and take turns
round after round. A round publishes to one of them alone; its cost is the CPU time, user and
system, of its process meanwhile over the results that its clients received.
"""

from __future__ import annotations

import contextlib
import time
from dataclasses import dataclass, field
from statistics import median
from typing import TYPE_CHECKING

from benchmarks import plots
from benchmarks.gateway_load import Load
from benchmarks.gateway_real import Gateway, cores, pace
from benchmarks.gateway_ways import Peer
from benchmarks.report import Row, percentile, spread
from benchmarks.run import cpu_seconds

if TYPE_CHECKING:
    from collections.abc import Callable


OURS = "framefan"
_TITLES = {
    OURS: "framefan's gateway",
    "bare": "bare loop of socket.send",
    "wait": "websockets, asyncio.wait over send()",
    "broadcast": "websockets.broadcast",
    "uwebsockets": "uWebSockets (socketify), publish",
}
_QUIET_S = 0.25
_WARM_UP = 100
"""Results before the first round: more than it takes to find out a new client's pace."""


@dataclass
class Found:
    """What the rounds of one way found."""

    cost_us: list[float] = field(default_factory=list)
    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    waited_ms: list[float] = field(default_factory=list)
    """p99 of what the messages say that they waited for in the gateway, to be written."""
    deliveries: int = 0
    due: int = 0


class Ways:
    """The gateway and its peers, each with as many clients of its own."""

    def __init__(self, stack: contextlib.ExitStack, folder: str, cameras: list[str]) -> None:
        self._cameras = cameras
        self._gateway = stack.enter_context(Gateway(folder, cameras))
        self._load = stack.enter_context(Load(cores()[1]))
        self._stack = stack
        self._pids = {OURS: self._gateway.pid}
        self._ports = {OURS: self._gateway.port}
        self._clients = 0
        self.absent: dict[str, str] = {}
        """By way, why it does not run here."""
        self.found: dict[str, Found] = {}
        self.bytes = 0.0
        """The size of a result, on the average."""

    def start(self, names: list[str]) -> None:
        publisher = self._gateway.publisher
        for name in names:
            try:
                peer = self._stack.enter_context(Peer(name, publisher.texts_endpoint, cores()[0]))
            except OSError as error:
                self.absent[name] = str(error)
                continue
            self._pids[name], self._ports[name] = peer.pid, peer.port
            publisher.subscribed(1, peers=True)

    def connect(self, clients: int, timed: bool) -> None:
        self._clients = clients
        for name, port in self._ports.items():
            self._load.open(name, port, clients, timed)
            self.found[name] = Found()

    def _sender(self, name: str) -> Callable[[str], None]:
        publisher = self._gateway.publisher
        if name == OURS:
            return lambda camera: publisher.send(publisher.record(camera))
        return lambda camera: publisher.send_text(name, publisher.record(camera))

    def publish(self, name: str, seconds: float, fps: float) -> None:
        """To one way alone, until its clients have it all."""
        pace(seconds, self._cameras, fps, self._sender(name), self._gateway.news)
        last, now = -1, self._load.messages(name)
        while now != last:
            time.sleep(_QUIET_S)
            last, now = now, self._load.messages(name)

    def warm_up(self, fps: float) -> None:
        for name in self._ports:
            self.publish(name, _WARM_UP / fps / len(self._cameras), fps)
            self._load.report(name)

    def round(self, seconds: float, fps: float) -> None:
        for name, found in self.found.items():
            began = self._load.report(name)
            cpu = cpu_seconds({name: [self._pids[name]]})[name]
            first = self._gateway.publisher.frame
            self.publish(name, seconds, fps)
            cpu = cpu_seconds({name: [self._pids[name]]})[name] - cpu
            ended = self._load.report(name)
            deliveries = ended["messages"] - began["messages"]
            found.cost_us.append(cpu / deliveries * 1e6)
            found.deliveries += deliveries
            found.due += (self._gateway.publisher.frame - first) * self._clients
            self.bytes = (ended["bytes"] - began["bytes"]) / deliveries
            if "at" in ended:
                times = self._gateway.publisher.times
                pairs = zip(ended["at"], ended["frame"], strict=True)
                delays = [(at - times[frame]) * 1000 for at, frame in pairs]
                found.p50_ms.append(percentile(delays, 50))
                found.p99_ms.append(percentile(delays, 99))
                found.waited_ms.append(percentile(ended["deliver"], 99))


def ratios(one: list[float], other: list[float]) -> list[float]:
    """Round by round: the two were measured seconds apart."""
    return [a / b for a, b in zip(one, other, strict=True)]


def differences(one: list[float], other: list[float]) -> list[float]:
    return [a - b for a, b in zip(one, other, strict=True)]


# ---- one result to a thousand clients -------------------------------------------------------


def fan_out(folder: str, clients: int, rounds: int, seconds: float, fps: float) -> list[Row]:
    with contextlib.ExitStack() as stack:
        ways = Ways(stack, folder, ["cam"])
        ways.start(["bare", "wait", "broadcast", "uwebsockets"])
        ways.connect(clients, timed=False)
        ways.warm_up(fps)
        for _ in range(rounds):
            ways.round(seconds, fps)
    drawn = {_TITLES[name]: found.cost_us for name, found in ways.found.items()}
    plots.bars("fan-out", f"CPU a delivery to {clients:,} clients, µs", drawn)
    rows = []
    for name, title in _TITLES.items():
        label = f"CPU a delivery, {clients:,} clients, {fps:g} results a second: {title}"
        if name in ways.absent:
            rows.append(Row(label, "", f"does not run here: {ways.absent[name]}"))
            continue
        found = ways.found[name]
        told = f"{spread(found.cost_us)} µs; {found.deliveries:,} of {found.due:,}"
        rows.append(Row(label, "", f"{told}, {ways.bytes:.0f} bytes each"))
    bars: list[tuple[str, Callable[[float], bool], str, bool]] = [
        ("bare", lambda ratio: ratio <= 1.25, "<= 1.25", False),
        ("uwebsockets", lambda ratio: ratio <= 1.2, "<= 1.2", False),
        ("broadcast", lambda ratio: ratio >= 1.2, ">= 1.2", True),
        ("wait", lambda ratio: ratio >= 2.5, ">= 2.5", True),
    ]
    ours = ways.found[OURS].cost_us
    for name, holds, bar, over_us in bars:
        if name in ways.absent:
            continue
        theirs = ways.found[name].cost_us
        compared = ratios(theirs, ours) if over_us else ratios(ours, theirs)
        label = f"{_TITLES[name]} over framefan" if over_us else f"framefan over {_TITLES[name]}"
        rows.append(Row(f"{label}, CPU", bar, spread(compared), holds(median(compared))))
    return rows


# ---- many cameras ---------------------------------------------------------------------------


def many_cameras(folder: str, cameras: int, clients: int, rounds: int, seconds: float) -> list[Row]:
    names = [f"cam{i}" for i in range(1, cameras + 1)]
    ways = _two_ways(folder, names, clients, rounds, seconds)
    ours, bare = ways.found[OURS], ways.found["bare"]
    load = f"{cameras} cameras, {clients} clients"
    cheaper = ratios(ours.cost_us, bare.cost_us)
    added = differences(ours.p99_ms, bare.p99_ms)
    return [
        Row(
            f"{load}: CPU a message, framefan",
            "",
            f"{spread(ours.cost_us)} µs; {ours.deliveries:,} of {ours.due:,}",
        ),
        Row(
            f"{load}: CPU a message, bare loop, one send each",
            "",
            f"{spread(bare.cost_us)} µs; {bare.deliveries:,} of {bare.due:,}",
        ),
        Row(
            f"{load}: framefan over the bare loop, CPU",
            "<= 0.5",
            spread(cheaper),
            median(cheaper) <= 0.5,
        ),
        Row(
            f"{load}: wait in the gateway, from the publishing, p99",
            "<= 5 ms",
            f"{spread(ours.waited_ms)} ms",
            median(ours.waited_ms) <= 5,
        ),
        Row(
            f"{load}: p99 delay at the clients that framefan adds to the bare loop's",
            "<= 12 ms",
            f"{spread(added)} ms; framefan {spread(ours.p99_ms)}, bare {spread(bare.p99_ms)}",
            median(added) <= 12,
        ),
    ]


def one_camera(folder: str, rounds: int, seconds: float) -> list[Row]:
    ways = _two_ways(folder, ["cam"], 1, rounds, seconds)
    ours, bare = ways.found[OURS], ways.found["bare"]
    added = differences(ours.p50_ms, bare.p50_ms)
    return [
        Row(
            "1 camera, 1 client: p50 delay that framefan adds to the bare loop's",
            "<= 0.5 ms",
            f"{spread(added)} ms; framefan {spread(ours.p50_ms)}, bare {spread(bare.p50_ms)}",
            median(added) <= 0.5,
        )
    ]


def _two_ways(folder: str, cameras: list[str], clients: int, rounds: int, seconds: float) -> Ways:
    with contextlib.ExitStack() as stack:
        ways = Ways(stack, folder, cameras)
        ways.start(["bare"])
        ways.connect(clients, timed=True)
        ways.warm_up(30.0)
        for _ in range(rounds):
            ways.round(seconds, 30.0)
    return ways
