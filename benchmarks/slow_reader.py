"""A slow reader on the default contract, beside a fast one.

200 results a second; two clients take 20 KiB a second each, a third of what comes, one with the
system's receive buffer and one with a buffer of 4 KiB; a plain client takes everything. What a slow
reader reads must be fresh: its age is the wall time at which it read the whole message minus the
result's `ts`. The fast one must miss nothing.
"""

from __future__ import annotations

import threading
from itertools import pairwise

from benchmarks import predictors
from benchmarks.client_connections import Received, SlowReader, collect, for_seconds, is_result
from benchmarks.report import Row, percentile
from benchmarks.run import Run

SECONDS = 30.0
BYTES_PER_S = 20 * 1024
_SOURCE = "demo?size=320x180&fps=200"


def measure() -> list[Row]:
    with Run(_SOURCE, predictor=predictors.reference("nothing")) as run:
        run.wait_ready()
        slow = {
            "default receive buffer": SlowReader(run.websocket, BYTES_PER_S),
            "receive buffer of 4 KiB": SlowReader(run.websocket, BYTES_PER_S, receive_buffer=4096),
        }
        threads = [threading.Thread(target=each.read, args=(SECONDS,)) for each in slow.values()]
        for thread in threads:
            thread.start()
        received = collect(run.websocket, for_seconds(SECONDS))
        for thread in threads:
            thread.join()
    table = [row for name, reader in slow.items() for row in _slow_rows(name, reader)]
    return [*table, *_fast_rows([each for each in received if is_result(each)])]


def _slow_rows(name: str, reader: SlowReader) -> list[Row]:
    oldest = max(reader.ages)
    read = f"{len(reader.ages)} results read, {reader.missed} missed"
    measured = f"{oldest:.2f} s, p50 {percentile(reader.ages, 50):.2f} s; {read}"
    if reader.closed:
        measured += f"; ended early: {reader.closed}"
    # One that missed nothing was not slow, and proves nothing.
    fresh = oldest <= 1.5 and reader.missed > 0 and not reader.closed
    return [Row(f"oldest result read at 20 KiB/s, {name}", "<= 1.5 s", measured, fresh)]


def _fast_rows(results: list[Received]) -> list[Row]:
    rate = (len(results) - 1) / (results[-1].at - results[0].at)
    missed = sum(each.message["missed"] for each in results)
    holes = sum(b.message["seq"] - a.message["seq"] - 1 for a, b in pairwise(results))
    measured = f"{missed} missed, {holes} holes in seq, {len(results)} results, {rate:.1f} a second"
    return [
        Row("the fast client beside them misses", "0", measured, missed == holes == 0),
        Row("results a second", ">= 190", f"{rate:.1f}", rate >= 190),
    ]
