"""One client that asks for as much as it may, and what a hundred others notice of it.

A gateway with 32 cameras whose past is full: 1,000 results of each. The others' delays are from the
publishing of a result on the bus to its arrival; rounds without the greedy client and with it take
turns. The greedy one has the lowest priority of the machine, so that what it costs to read its
replays is not taken for a slow gateway.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.clients_accounts import events
from benchmarks.clients_programs import FOLDER, Process
from benchmarks.gateway_load import Load
from benchmarks.gateway_real import EPOCH, Gateway, cores, pace
from benchmarks.report import Row, percentile, spread
from benchmarks.run import cpu_seconds, until

if TYPE_CHECKING:
    from collections.abc import Sequence

CAMERAS = [f"cam{number}" for number in range(32)]
PAST = 1000
FPS = 4.0
OTHERS = 100
ROUNDS, ROUND_S = 3, 3.0
RISE_MS = 5.0
_COST = 1.1
"""Of the CPU a delivery, with a client that waits for a silent camera over without."""
_PORTION, _PORTION_S = 128, 0.02
_QUIET_S = 0.3
KINDS = {
    "replays": "joins with the largest history, again and again",
    "filters": "the same with nonempty, labels and min_confidence",
    "commands": "ten unsubscribe and subscribe a second, with that history",
    "silent": "came with `since` for a camera without results",
}


@dataclass(frozen=True)
class Round:
    """What the others had in a few seconds."""

    p99_ms: float
    cpu_us: float
    """Of the gateway, a delivery to the others."""
    received: float
    """Of what was due."""


def measure(kinds: Sequence[str] = tuple(KINDS)) -> list[Row]:
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {cores()[1]})  # with the load, away from the gateway
    try:
        with (
            tempfile.TemporaryDirectory(prefix="framefan-bench-") as folder,
            Gateway(folder, [*CAMERAS, "silent"], history_s=3600.0) as gateway,
            Load(cores()[1]) as load,
        ):
            _fill(gateway)
            load.open("others", gateway.port, OTHERS, timed=True)
            _round(gateway, load)
            return [row for kind in kinds for row in _kind(kind, gateway, load)]
    finally:
        os.sched_setaffinity(0, before)


def _fill(gateway: Gateway) -> None:
    """A past of every camera, in portions that the bus does not drop."""
    publisher = gateway.publisher
    print(f"  a past of {len(CAMERAS) * PAST:,} results", flush=True)
    for number in range(len(CAMERAS) * PAST):
        publisher.send(publisher.record(CAMERAS[number % len(CAMERAS)]))
        if number % _PORTION == 0:
            gateway.news()
            time.sleep(_PORTION_S)


def _round(gateway: Gateway, load: Load) -> Round:
    publisher = gateway.publisher
    load.report("others")
    first, cpu = publisher.frame, cpu_seconds({"gateway": [gateway.pid]})["gateway"]
    pace(
        ROUND_S,
        CAMERAS,
        FPS,
        lambda camera: publisher.send(publisher.record(camera)),
        gateway.news,
    )
    time.sleep(_QUIET_S)
    cpu = cpu_seconds({"gateway": [gateway.pid]})["gateway"] - cpu
    seen = load.report("others")
    delays = [
        at - publisher.times[frame]
        for at, frame in zip(seen["at"], seen["frame"], strict=True)
        if frame >= first
    ]
    if not delays:
        raise SystemExit("the others have received nothing")
    due = (publisher.frame - first) * OTHERS
    return Round(percentile(delays, 99) * 1000, cpu / len(delays) * 1e6, len(delays) / due)


def _kind(kind: str, gateway: Gateway, load: Load) -> list[Row]:
    calm: list[Round] = []
    beset: list[Round] = []
    asked = {"url": f"ws://127.0.0.1:{gateway.port}/ws", "kind": kind, "epoch": EPOCH}
    messages, history, troubles = 0, 0, 0
    for number in range(ROUNDS):
        print(f"  {kind}, round {number + 1} of {ROUNDS}", flush=True)
        calm.append(_round(gateway, load))
        with contextlib.ExitStack() as stack:
            greedy = Process(FOLDER / "greedy.py", asked)
            stack.callback(greedy.end)
            until(lambda each=greedy: events(each.notes(), "opened"), 20, "the greedy client")
            beset.append(_round(gateway, load))
            notes = greedy.notes()
        history = events(notes, "opened")[0]["history"]
        messages += sum(note["messages"] for note in events(notes, "read"))
        troubles += len(events(notes, "closed"))
    read = f"{messages:,} messages read by it, history {history:,}, cut {troubles} times"
    return _rows(kind, calm, beset, "" if kind in ("silent", "commands") else f"; {read}")


def _rows(kind: str, calm: Sequence[Round], beset: Sequence[Round], read: str) -> list[Row]:
    rises = [b.p99_ms - a.p99_ms for a, b in zip(calm, beset, strict=True)]
    received = min(each.received for each in beset)
    rows = [
        Row(
            f"p99 of {OTHERS} others beside one that {KINDS[kind]}"
            if kind == "silent"
            else f"p99 of {OTHERS} others, beside: {KINDS[kind]}",
            f"rises by <= {RISE_MS:g} ms",
            f"{spread(rises)} ms: {spread([each.p99_ms for each in beset])} ms, without it "
            f"{spread([each.p99_ms for each in calm])}; {received:.0%} received{read}",
            median(rises) <= RISE_MS,
        )
    ]
    if kind == "silent":
        ratios = [b.cpu_us / a.cpu_us for a, b in zip(calm, beset, strict=True)]
        rows.append(
            Row(
                "the same: CPU of the gateway a delivery, with it over without",
                f"<= {_COST:g}",
                f"{spread(ratios)}; {spread([each.cpu_us for each in beset], 1)} µs",
                median(ratios) <= _COST,
            )
        )
    return rows
