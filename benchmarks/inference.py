"""Inference: what batches bring, how workers scale, and what framefan adds to a predictor's time.

- A predictor that costs 50 ms a call, however many images are in it, for eight cameras of ten
  frames a second and one worker: with `predict_batch` and without.
- A predictor that computes for 20 ms on one core, with one worker and with two; one that sleeps for
  100 ms, with one worker and with sixteen.
- A frame is always waiting, one worker, 20 ms of computing a predict: predictions a second of a run
  against calls a second of the same function in a bare loop, turn about.
"""

from __future__ import annotations

import subprocess
import sys
from statistics import median
from typing import TYPE_CHECKING

from benchmarks import predictors
from benchmarks.client_connections import collect, for_seconds, is_result
from benchmarks.report import Row, spread
from benchmarks.run import Run, cpu_seconds
from framefan.base import clock

if TYPE_CHECKING:
    from collections.abc import Sequence

SECONDS = 8.0
ROUNDS = 3
_FIRST_S = 1.0
_SMALL = "demo?size=320x240&fps={fps}"
BARE = """
import time, numpy as np
from benchmarks.predictors import compute_20_ms
image, until, calls = np.zeros((240, 320, 3), np.uint8), time.monotonic() + {seconds}, 0
began = time.monotonic()
while time.monotonic() < until:
    compute_20_ms(image)
    calls += 1
print(calls / (time.monotonic() - began))
"""


def measure() -> list[Row]:
    return [*batches(), *scaling(), *throughput()]


def rate(predictor: str, workers: int, sources: Sequence[str], seconds: float = SECONDS) -> float:
    """Results a second at a client, of all cameras together, after the first second."""
    reference = predictors.reference(predictor)
    with Run(*sources, predictor=reference, workers=workers) as run:
        run.wait_ready()
        received = collect(run.websocket + "?delivery=every", for_seconds(seconds))
    times = [each.at for each in received if is_result(each)]
    later = [at for at in times if at > times[0] + _FIRST_S]
    return (len(later) - 1) / (later[-1] - later[0])


def batches() -> list[Row]:
    cameras = [f"c{n}=" + _SMALL.format(fps=10) for n in range(8)]
    together, alone = rate("Together50Ms", 1, cameras), rate("sleep_50_ms", 1, cameras)
    name = "50 ms a call, 8 cameras at 10 fps, 1 worker: results a second"
    return [
        Row(f"{name}, with predict_batch", ">= 70", f"{together:.1f}", together >= 70),
        Row(f"{name}, one image a call", "about 20", f"{alone:.1f}", 18 <= alone <= 20.5),
    ]


def scaling() -> list[Row]:
    camera = [_SMALL.format(fps=200)]
    ratios = [
        rate("compute_20_ms", 2, camera) / rate("compute_20_ms", 1, camera) for _ in range(ROUNDS)
    ]
    one, sixteen = rate("sleep_100_ms", 1, camera), rate("sleep_100_ms", 16, camera)
    return [
        Row(
            "20 ms of one core a predict: 2 workers over 1, results a second",
            ">= 1.6",
            spread(ratios),
            median(ratios) >= 1.6,
        ),
        Row(
            "100 ms of sleep a predict: 16 workers over 1, results a second",
            ">= 15",
            f"{sixteen / one:.2f}: {sixteen:.1f} and {one:.2f}",
            sixteen / one >= 15,
        ),
    ]


def throughput() -> list[Row]:
    ratios, costs = [], []
    for _ in range(ROUNDS):
        bare = _bare()
        own, cost_ms = _loaded()
        ratios.append(own / bare)
        costs.append(cost_ms)
    return [
        Row(
            "a frame always waiting, 1 worker, 20 ms: predictions a second over the bare loop",
            ">= 0.97",
            spread(ratios, 3),
            median(ratios) >= 0.97,
        ),
        Row("the same: framefan's own CPU a prediction", "", spread(costs, 2, " ms")),
    ]


def _bare() -> float:
    command = [sys.executable, "-c", BARE.format(seconds=SECONDS)]
    return float(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def _loaded() -> tuple[float, float]:
    """Predictions a second, and the CPU of all processes for each beyond 20 ms of computing.

    Sixty frames a second come for fifty that can be predicted; what drawing those costs is
    capture's, and no part of a prediction.
    """
    reference = predictors.reference("compute_20_ms")
    with Run(_SMALL.format(fps=60), predictor=reference, workers=1) as run:
        run.wait_ready()
        collect(run.websocket, for_seconds(_FIRST_S))
        pids = {kind: some for kind, some in run.processes().items() if kind != "capture"}
        before, began = (cpu_seconds(pids), run.status()["workers"][0]["results"]), clock.now()
        collect(run.websocket, for_seconds(SECONDS))
        after, took_s = (
            (cpu_seconds(pids), run.status()["workers"][0]["results"]),
            clock.now() - began,
        )
    count = after[1] - before[1]
    used = sum(after[0][kind] - before[0][kind] for kind in pids)
    return count / took_s, 1000 * used / count - 20.0
