"""End to end: how old a result is when its clients have it, by framefan and by the usual script.

Every way has the same scene, the same predictor and the same clients. In a round each way is
started anew and gets its clients in three waves, with a window of measurement after each; then it
is stopped and the next has its turn. So no way runs beside another, and what else the machine does
hits all alike.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from benchmarks import plots, predictors
from benchmarks.client_connections import Received
from benchmarks.end_to_end_load import clients
from benchmarks.gateway_cost import ratios
from benchmarks.gateway_real import cores, memory
from benchmarks.overhead import Stamps
from benchmarks.report import Row, percentile, spread
from benchmarks.run import Run, cpu_seconds
from framefan.base import clock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.gateway_load import Load
    from framefan.ipc.records import OutcomeRecord

SOURCE = "demo?size=1280x720&fps=30"
FPS = 30.0
SETTLE_S = {1: 1.0, 100: 2.0, 1000: 3.0}
"""By number of clients: for about 3 s framefan pings a new one more often, to find its pace."""
ROUNDS = 3
WINDOW_S = 2.5
STALLED_S = 8.0
READERS, STUCK = 90, 10
_TAIL_S = 2.0
_LOOK_S = 0.2
_RCVBUF = 4096
OURS = "framefan"
TITLES = {
    OURS: "framefan",
    "wait": "script, asyncio.wait over send()",
    "broadcast": "script, broadcast",
    "threads": "script, broadcast, read and predict in threads",
}
STAGES = ("wait", "predict", "deliver", "total")


@dataclass(frozen=True)
class Server:
    """A way that runs."""

    port: int
    pids: dict[str, list[int]]
    sender: int
    """The process that sends."""
    endpoint: str = ""
    """Where framefan's records are."""


@contextlib.contextmanager
def serving(way: str, predictor: str) -> Iterator[Server]:
    reference = predictors.reference(predictor)
    if way == OURS:
        with Run(SOURCE, predictor=reference) as run:
            run.wait_ready()
            pids = run.processes()
            port = urlsplit(run.url).port or 0
            yield Server(port, pids, pids["gateway"][0], run.status()["results_endpoint"])
        return
    command = [sys.executable, "-m", "benchmarks.usual_script", way, SOURCE, reference]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        try:
            yield Server(int(process.stdout.readline()), {way: [process.pid]}, process.pid)
        finally:
            process.kill()


# ---- by number of clients ---------------------------------------------------------------------


@dataclass
class Found:
    """What the rounds of one way with one number of clients found; ages in milliseconds."""

    p50_ms: list[float] = field(default_factory=list)
    p99_ms: list[float] = field(default_factory=list)
    rate: list[float] = field(default_factory=list)
    cpu_ms: list[float] = field(default_factory=list)
    """All processes of the way, for each result that the median client received."""
    said: list[dict[str, float]] = field(default_factory=list)
    """By result, what its message says of the stages; of framefan alone, like the next."""
    stamped: list[dict[str, float]] = field(default_factory=list)
    """The same by the stamps in the bus's records and the first client's time of receipt."""

    @property
    def compared(self) -> dict[str, list[float]]:
        return {"age p50": self.p50_ms, "age p99": self.p99_ms, "CPU a result": self.cpu_ms}


def by_count(load: Load) -> list[Row]:
    found = {(count, way): Found() for count in SETTLE_S for way in TITLES}
    for _ in range(ROUNDS):
        for way in TITLES:
            with serving(way, "hash_5_ms") as server:
                for before, count in pairwise((0, *SETTLE_S)):
                    load.ask("join", way, server.port, count - before)
                    time.sleep(SETTLE_S[count])
                    _window(load, way, server, found[count, way])
                load.close(way)
    drawn = {f"{TITLES[way]}, {count:,}": its.p99_ms for (count, way), its in found.items()}
    plots.bars("end-to-end", "age of a result, p99, ms, by clients", drawn, log=True)
    return [row for count in SETTLE_S for row in _rows(count, found)]


def _window(load: Load, way: str, server: Server, found: Found) -> None:
    stamps = Stamps(server.endpoint) if server.endpoint else None
    load.report(way)
    cpu = sum(cpu_seconds(server.pids).values())
    time.sleep(WINDOW_S)
    cpu = sum(cpu_seconds(server.pids).values()) - cpu
    seen = load.report(way)
    if not seen["results"]:
        raise SystemExit(f"no result reached the median client of {way}")
    found.p50_ms.append(seen["ages"][0])
    found.p99_ms.append(seen["ages"][1])
    found.rate.append(seen["rate"])
    found.cpu_ms.append(cpu * 1000 / seen["results"])
    if stamps:
        received = [Received(at, 0.0, msgspec.json.decode(text)) for at, text in seen["texts"]]
        found.said += [each.message["latency_ms"] for each in received]
        found.stamped += _by_records(stamps, received)


def _by_records(stamps: Stamps, received: list[Received]) -> list[dict[str, float]]:
    keys = [(each.message["camera"], each.message["seq"]) for each in received]
    records = stamps.read(keys[-1])
    return [
        _stages(records[key], each.at)
        for key, each in zip(keys, received, strict=True)
        if key in records
    ]


def _stages(record: OutcomeRecord, at: float) -> dict[str, float]:
    steps = (record.captured_at, record.started_at, record.finished_at, at)
    taken = [(b - a) * 1000 for a, b in pairwise(steps)]
    return dict(zip(STAGES, (*taken, sum(taken)), strict=True))


def _rows(count: int, found: dict[tuple[int, str], Found]) -> list[Row]:
    load = f"{count:,} client{'s' if count > 1 else ''}"
    ours = found[count, OURS]
    rows = [
        Row(
            f"{load}: framefan, {stage}",
            "",
            f"{_p50_p99(ours.said, stage)}; by the records, to the first client: "
            f"{_p50_p99(ours.stamped, stage)}",
        )
        for stage in STAGES
    ]
    for way, title in TITLES.items():
        its = found[count, way]
        told = f"age p50 {spread(its.p50_ms)}, p99 {spread(its.p99_ms)} ms; "
        told += f"{spread(its.rate, 1)} results a second; CPU a result {spread(its.cpu_ms)} ms"
        rows.append(Row(f"{load}: {title}", "", told))
    rows += [_compared(load, way, found[count, way], ours) for way in TITLES if way != OURS]
    return rows


def _compared(load: str, way: str, its: Found, ours: Found) -> Row:
    compared = {what: ratios(values, ours.compared[what]) for what, values in its.compared.items()}
    told = ", ".join(f"{what} {spread(values)}" for what, values in compared.items())
    ahead = ", ".join(what for what, values in compared.items() if median(values) < 1)
    told += f"; the script is ahead in: {ahead}" if ahead else "; framefan is ahead in all"
    return Row(f"{load}: {TITLES[way]}, over framefan", "", told)


def _p50_p99(results: list[dict[str, float]], stage: str) -> str:
    p50, p99 = (percentile([each[stage] for each in results], percent) for percent in (50, 99))
    return f"p50 {p50:.2f}, p99 {p99:.2f} ms"


# ---- beside clients that never read -----------------------------------------------------------


@dataclass(frozen=True)
class Beset:
    """What those who read had of a way meanwhile."""

    received: float
    """Of what a camera of 30 frames a second makes."""
    tail: float
    """The same in the last seconds."""
    p99_ms: float
    growth_mib: float
    """Of the process that sends."""


def stalled(load: Load) -> list[Row]:
    found = {}
    for way in TITLES:
        with serving(way, "hash_5_ms_many_things") as server:
            found[way] = _beset(load, way, server)
    load_name = f"{READERS} clients beside {STUCK} that never read"
    rows = [
        Row(
            f"{load_name}: {TITLES[way]}",
            "",
            f"{its.received:.1%} received, {its.tail:.1%} in the last {_TAIL_S:g} s; "
            f"age p99 {its.p99_ms:.1f} ms; memory of the sender {its.growth_mib:+.1f} MiB",
        )
        for way, its in found.items()
    ]
    ours = found.pop(OURS)
    return rows + [
        Row(
            f"{load_name}: {TITLES[way]}, over framefan",
            "",
            f"received {its.received / ours.received:.2f}, age p99 {its.p99_ms / ours.p99_ms:.2f}; "
            f"memory of the sender {its.growth_mib:+.1f} MiB against {ours.growth_mib:+.1f}",
        )
        for way, its in found.items()
    ]


def _beset(load: Load, way: str, server: Server) -> Beset:
    load.ask("join", way, server.port, READERS)
    time.sleep(SETTLE_S[1])
    before = memory(server.sender)
    load.ask("stick", "stuck", server.port, STUCK, _RCVBUF)
    load.report(way)
    begin, first = clock.now(), load.messages(way)
    most = _watch(server.sender, begin + STALLED_S - _TAIL_S)
    middle, then = clock.now(), load.messages(way)
    most = max(most, _watch(server.sender, begin + STALLED_S))
    end, last = clock.now(), load.messages(way)
    seen = load.report(way)
    for name in (way, "stuck"):
        load.close(name)
    return Beset(
        (last - first) / (READERS * FPS * (end - begin)),
        (last - then) / (READERS * FPS * (end - middle)),
        seen["ages"][1],
        (most - before) / 2**20,
    )


def _watch(pid: int, until: float) -> int:
    """The most memory that the process had until then."""
    most = memory(pid)
    while clock.now() < until:
        time.sleep(_LOOK_S)
        most = max(most, memory(pid))
    return most


def measure() -> list[Row]:
    with clients(cores()[1]) as load:
        return by_count(load) + stalled(load)
