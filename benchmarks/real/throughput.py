"""Speed: vtest.avi with yolov3-tiny as fast as it goes, beside bare loops of one process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from statistics import median

from websockets.sync.client import connect

from benchmarks.real import footage, page, places
from benchmarks.real.places import say
from benchmarks.report import Row, as_markdown, spread
from benchmarks.run import Run, cpu_seconds
from framefan.base import clock

ROUNDS = 3
LOOPS = {
    "1 thread": (1, "1"),
    "2 threads": (2, "1"),
    "2 threads, spinning off": (2, "0"),
}
ONE = "1 thread"
LEAST_OVER = 1.5
MOST_MORE_MS = 3.0
_FIRST, _LAST = 100, 400
"""Between these frames the run is measured; the loops do as many."""


def prove(_: list[str]) -> bool:
    began = clock.now()
    load = os.getloadavg()
    loops: dict[str, list[tuple[float, float]]] = {name: [] for name in LOOPS}
    runs: list[tuple[float, float]] = []
    for number in range(ROUNDS):
        say(f"round {number + 1} of {ROUNDS}")
        for name, (threads, spinning) in LOOPS.items():
            loops[name].append(_loop(threads, spinning))
        runs.append(_run())
    rows = _rows(loops, runs)
    for row in rows:
        say("  ".join(row.cells))
    told = f"Load average at the start: {load[0]:.2f}, {load[1]:.2f}, {load[2]:.2f}."
    page.write("throughput", f"{told}\n\n{as_markdown(rows)}", clock.now() - began)
    return all(row.passed is not False for row in rows)


def _loop(threads: int, spinning: str) -> tuple[float, float]:
    """Frames a second, and CPU milliseconds a frame."""
    footage.reference()
    command = [sys.executable, "-m", "benchmarks.real.bare_loop", str(footage.MODEL)]
    done = subprocess.run(
        [*command, str(places.film()), str(threads), spinning, str(_LAST - _FIRST)],
        cwd=places.ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    frames, seconds, cpu_s, _ = map(float, done.stdout.split())
    return frames / seconds, 1000 * cpu_s / frames


def _run() -> tuple[float, float]:
    """The same of a run with two workers, all its processes together."""
    film, predictor = str(places.film()), footage.reference()
    with Run(film, predictor=predictor, workers=2, options=("--fast",)) as run:
        run.wait_ready()
        pids = run.processes()
        with connect(f"{run.websocket}?delivery=every", proxy=None) as client:
            begin = _until(client, _FIRST)
            before = sum(cpu_seconds(pids).values())
            end = _until(client, _LAST)
            used = sum(cpu_seconds(pids).values()) - before
    frames = end[0] - begin[0]
    return frames / (end[1] - begin[1]), 1000 * used / frames


def _until(client: object, frame: int) -> tuple[int, float]:
    while True:
        message = json.loads(client.recv(timeout=60))  # type: ignore[attr-defined]
        if message["type"] == "result" and message["frame"] >= frame:
            return message["frame"], clock.now()


def _rows(
    loops: dict[str, list[tuple[float, float]]], runs: list[tuple[float, float]]
) -> list[Row]:
    rates = {name: [rate for rate, _ in some] for name, some in loops.items()}
    best = max(rates, key=lambda name: median(rates[name]))
    over = [run[0] / rate for run, rate in zip(runs, rates[best], strict=True)]
    more = [run[1] - one[1] for run, one in zip(runs, loops[ONE], strict=True)]
    rows = [
        Row(
            f"bare loop, {name}",
            "",
            f"{spread(rates[name], 1)} frames a second, "
            f"{spread([cpu for _, cpu in loops[name]], 1)} ms of CPU a frame",
        )
        for name in loops
    ]
    return [
        *rows,
        Row(
            "framefan, 2 workers",
            "",
            f"{spread([rate for rate, _ in runs], 1)} frames a second, "
            f"{spread([cpu for _, cpu in runs], 1)} ms of CPU a frame",
        ),
        Row(
            f"2 workers over the best bare loop ({best})",
            f">= {LEAST_OVER}",
            spread(over),
            median(over) >= LEAST_OVER,
        ),
        Row(
            "CPU a frame, more than the bare loop of 1 thread",
            f"<= {MOST_MORE_MS:g} ms",
            spread(more, 2, " ms"),
            median(more) <= MOST_MORE_MS,
        ),
    ]
