"""What grows with clients, cameras, workers and the size of frames, and where each curve bends.

Real runs. Clients are raw sockets in a process of their own on the last core, and the whole run has
the first core to itself then; cameras, workers and sizes have all cores, and one client. A figure
for CPU is user and system time, of which the drawing of the demo scene, measured in bare loops, is
taken off where it says so. The knee is the last step at which at least 95 % of what was due
arrived, and 99 % of that before the next frame was due; of workers the former alone.

`python -m benchmarks.growth [PART ...]` runs some of it and writes nothing but the pictures.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import zmq

from benchmarks import decode, plots, predictors, report
from benchmarks.client_connections import collect, for_seconds, is_result
from benchmarks.gateway_load import Load
from benchmarks.gateway_real import cores
from benchmarks.plots import Panel
from benchmarks.report import Row, percentile
from benchmarks.run import Run, cpu_seconds
from framefan.base import clock
from framefan.ipc import bus
from framefan.ipc.records import OutcomeRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

CLIENTS = (1, 10, 100, 300, 1000, 2000, 4000, 6000, 10_000)
CAMERAS = (1, 2, 4, 8, 16, 24, 32)
WORKERS = (1, 2, 4, 8, 16)
SIZES = {"VGA": (640, 480), "720p": (1280, 720), "1080p": (1920, 1080), "4K": (3840, 2160)}
FPS = 10.0
SECONDS = 4.0
ENOUGH = 0.95
PERIOD_MS = 1000 / FPS
_SETTLE_S = 2.0
_PORTION = 250
_JOIN_S = 0.5
_PATIENCE_S = 10.0


class Step(NamedTuple):
    """What one step of a curve found."""

    x: float
    p50_ms: float
    p99_ms: float
    arrived: float
    """The share of what was due."""
    cpu_us: float
    """For each result that a client received."""
    busiest: tuple[str, float]
    """The process that used most of one core, and how much of it."""
    used: float
    """Of all processes of the run, in cores."""


def measure() -> list[Row]:
    return [row for part in PARTS.values() for row in part()]


# ---- clients -----------------------------------------------------------------------------------


def clients() -> list[Row]:
    before = os.sched_getaffinity(0)
    first, last = cores()
    steps: list[Step] = []
    with contextlib.ExitStack() as stack:
        stack.callback(os.sched_setaffinity, 0, before)
        os.sched_setaffinity(0, {first})  # the run inherits it
        source = f"demo?size=320x240&fps={FPS:g}"
        run = stack.enter_context(Run(source, predictor=predictors.reference("nothing")))
        run.wait_ready()
        load = stack.enter_context(Load(last))
        os.sched_setaffinity(0, {last})
        there = 0
        for count in CLIENTS:
            port = int(run.url.rstrip("/").rsplit(":", 1)[1])
            while there < count:
                more = min(_PORTION, count - there)
                load.open("all", port, more, timed=True)
                there += more
            time.sleep(_SETTLE_S)
            steps.append(_crowd(run, load, count))
    knee = _knee(steps, PERIOD_MS)
    plots.curves(
        "growth-clients",
        "clients",
        CLIENTS,
        [
            Panel("predict's return to client, ms", _ages(steps), log=True),
            Panel("CPU a delivery, all processes, µs", {"": [each.cpu_us for each in steps]}, True),
            Panel("cores used by the whole run", {"": [each.used for each in steps]}),
        ],
        knee.x if knee else 0,
    )
    name = f"1 camera at {FPS:g} a second, one core: {{}} clients"
    return [*_rows(name, steps, "a delivery"), _knee_row("clients on one core", steps)]


def _crowd(run: Run, load: Load, count: int) -> Step:
    pids = run.processes()
    with _records(run.status()["results_endpoint"]) as records:
        load.report("all")
        before, began = _each(pids), clock.now()
        time.sleep(_seconds(FPS * count))
        seen = load.report("all")
        used, took_s = _since(before, pids), clock.now() - began
        finished = {record.frame: record.finished_at for record in records(max(seen["frame"]))}
    whole = [
        (at - finished[frame]) * 1000
        for at, frame in zip(seen["at"], seen["frame"], strict=True)
        if frame in finished
    ]
    due = took_s * FPS * count
    arrived = min(1.0, len(seen["at"]) / due)
    return _step(count, whole, arrived, used, took_s, len(seen["at"]))


@contextlib.contextmanager
def _records(endpoint: str) -> Iterator[Callable[[int], list[OutcomeRecord]]]:
    """A subscriber whose records pile up until those to a frame are asked for."""
    sock = bus.context().socket(zmq.SUB)
    sock.setsockopt(zmq.RCVHWM, 0)
    sock.subscribe(bus.RESULT)
    sock.connect(endpoint)
    time.sleep(_JOIN_S)
    decoder = msgspec.msgpack.Decoder(OutcomeRecord)

    def read(frame: int) -> list[OutcomeRecord]:
        found: list[OutcomeRecord] = []
        while not found or found[-1].frame < frame:
            if not sock.poll(int(_PATIENCE_S * 1000)):
                raise SystemExit(f"the bus never carried frame {frame}")
            found.append(decoder.decode(sock.recv_multipart()[1]))
        return found

    try:
        yield read
    finally:
        sock.close(linger=0)


# ---- cameras, workers, sizes -------------------------------------------------------------------


def cameras() -> list[Row]:
    source = f"demo?size=640x360&fps={FPS:g}"
    (bare,) = decode.at_once([source], SECONDS)
    steps = [_cameras(count, source, bare["cpu_ms"] * 1000) for count in CAMERAS]
    knee = _knee(steps, PERIOD_MS)
    plots.curves(
        "growth-cameras",
        "cameras",
        CAMERAS,
        [
            Panel("age of a result at the client, ms", _ages(steps), log=True),
            Panel("CPU a frame beyond drawing, µs", {"": [each.cpu_us for each in steps]}),
            Panel("cores used, drawing included", {"": [each.used for each in steps]}),
        ],
        knee.x if knee else 0,
    )
    name = f"{{}} cameras of 640x360 at {FPS:g} a second, 1 client"
    most = max(steps, key=lambda each: (_good(each, PERIOD_MS), each.x))
    return [
        *_rows(name, steps, "a frame beyond drawing"),
        _knee_row("cameras", steps),
        Row(
            f"cameras a core, 640x360 at {FPS:g} a second, drawing included",
            "",
            f"{most.x / most.used:.1f}: {most.x:g} cameras use {most.used:.2f} cores",
        ),
    ]


def _cameras(count: int, source: str, drawn_us: float) -> Step:
    sources = [f"c{number}={source}&seed={number}" for number in range(1, count + 1)]
    return _run(count, sources, "nothing", 2, FPS * count, drawn_us)


def workers() -> list[Row]:
    source = ["demo?size=320x240&fps=200"]
    sleeping = [_run(count, source, "sleep_100_ms", count, 10.0 * count) for count in WORKERS]
    computing = [_run(count, source, "compute_20_ms", count, 50.0 * count) for count in WORKERS]
    plots.curves(
        "growth-workers",
        "workers",
        WORKERS,
        [
            Panel(
                "results over those of one ideal worker",
                {
                    "sleeps 100 ms": [each.arrived * each.x for each in sleeping],
                    "computes 20 ms": [each.arrived * each.x for each in computing],
                },
                log=True,
            ),
            Panel(
                "age of a result at the client, p99, ms",
                {
                    "sleeps 100 ms": [each.p99_ms for each in sleeping],
                    "computes 20 ms": [each.p99_ms for each in computing],
                },
            ),
        ],
        len(os.sched_getaffinity(0)),
    )
    return [
        *_rows("{} workers that sleep 100 ms", sleeping, "a result"),
        *_rows("{} workers that compute for 20 ms", computing, "a result"),
        _knee_row("workers that sleep", sleeping, math.inf),
        _knee_row("workers that compute", computing, math.inf),
    ]


def sizes() -> list[Row]:
    steps = []
    for width, height in SIZES.values():
        source = f"demo?size={width}x{height}&fps={FPS:g}"
        (bare,) = decode.at_once([source], SECONDS)
        found = _run(width * height / 1e6, [source], "nothing", 2, FPS, bare["cpu_ms"] * 1000)
        drawn = bare["wall_p50_ms"], bare["wall_p99_ms"]
        steps.append(found._replace(p50_ms=found.p50_ms - drawn[0]))
    plots.curves(
        "growth-sizes",
        "megapixels",
        [round(each.x, 2) for each in steps],
        [
            Panel("age at the client less drawing, p50, ms", {"": [s.p50_ms for s in steps]}),
            Panel("CPU a frame beyond drawing, µs", {"": [each.cpu_us for each in steps]}),
        ],
    )
    return [
        Row(
            f"{name}, 1 camera at {FPS:g} a second",
            "",
            f"p50 {each.p50_ms:.2f} ms less the drawing; p99 {each.p99_ms:.1f} ms with it; "
            f"{each.cpu_us:,.0f} µs CPU a frame beyond drawing",
        )
        for name, each in zip(SIZES, steps, strict=True)
    ]


def _run(
    x: float, sources: Sequence[str], predictor: str, count: int, due: float, less_us: float = 0
) -> Step:
    """One run with a single `every` client; `due`: results a second. It gets none of the past."""
    seconds = _seconds(due)
    reference = predictors.reference(predictor)
    with Run(*sources, predictor=reference, workers=count) as run:
        run.wait_ready()
        collect(run.websocket, for_seconds(_SETTLE_S))
        pids = run.processes()
        before, began = _each(pids), clock.now()
        received = collect(run.websocket + "?delivery=every&history=0", for_seconds(seconds))
        used, took_s = _since(before, pids), clock.now() - began
    results = [each for each in received if is_result(each)]
    ages = [(each.wall - each.message["ts"]) * 1000 for each in results]
    arrived = min(1.0, len(results) / (due * seconds))
    return _step(x, ages, arrived, used, took_s, len(results), less_us)


def _seconds(due: float) -> float:
    """So long that a 99th percentile says something."""
    return max(SECONDS, 120 / due)


# ---- figures -----------------------------------------------------------------------------------


def _each(pids: dict[str, list[int]]) -> dict[str, float]:
    """CPU seconds so far of every single process."""
    single = {f"{kind} {n}": [pid] for kind, some in pids.items() for n, pid in enumerate(some, 1)}
    return cpu_seconds(single)


def _since(before: dict[str, float], pids: dict[str, list[int]]) -> dict[str, float]:
    return {name: now - before[name] for name, now in _each(pids).items()}


def _step(
    x: float,
    ages: Sequence[float],
    arrived: float,
    used: dict[str, float],
    took_s: float,
    results: int,
    less_us: float = 0.0,
) -> Step:
    name = max(used, key=lambda each: used[each])
    return Step(
        x=x,
        p50_ms=percentile(ages, 50),
        p99_ms=percentile(ages, 99),
        arrived=arrived,
        cpu_us=sum(used.values()) / results * 1e6 - less_us,
        busiest=(name, used[name] / took_s),
        used=sum(used.values()) / took_s,
    )


def _good(step: Step, late_ms: float) -> bool:
    return step.arrived >= ENOUGH and step.p99_ms <= late_ms


def _knee(steps: Sequence[Step], late_ms: float) -> Step | None:
    """The last good step before the first bad one, if there are both."""
    bad = [index for index, each in enumerate(steps) if not _good(each, late_ms)]
    return steps[bad[0] - 1] if bad and bad[0] else None


def _ages(steps: Sequence[Step]) -> dict[str, list[float]]:
    return {"p50": [each.p50_ms for each in steps], "p99": [each.p99_ms for each in steps]}


def _rows(name: str, steps: Sequence[Step], unit: str) -> list[Row]:
    return [
        Row(
            name.format(f"{each.x:,g}"),
            "",
            f"{each.arrived:.0%} of what was due; p50 {each.p50_ms:.1f}, p99 {each.p99_ms:.1f} ms; "
            f"{each.cpu_us:,.1f} µs CPU {unit}; {each.used:.2f} cores, most: {each.busiest[0]} "
            f"{each.busiest[1]:.2f}",
        )
        for each in steps
    ]


def _knee_row(what: str, steps: Sequence[Step], late_ms: float = PERIOD_MS) -> Row:
    knee = _knee(steps, late_ms)
    if not knee:
        good = _good(steps[0], late_ms)
        told = f"none up to {steps[-1].x:,g}" if good else f"below {steps[0].x:,g}"
        return Row(f"knee: {what}", "", told)
    after = next(each for each in steps if not _good(each, late_ms))
    return Row(
        f"knee: {what}",
        "",
        f"{knee.x:,g}; at {after.x:,g} {after.arrived:.0%} arrive, p99 {after.p99_ms:.0f} ms, "
        f"{after.used:.2f} cores are used, most by {after.busiest[0]} ({after.busiest[1]:.2f})",
    )


PARTS = {"clients": clients, "cameras": cameras, "workers": workers, "sizes": sizes}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        print(report.as_text(PARTS[part]()))
