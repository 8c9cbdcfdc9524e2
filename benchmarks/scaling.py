"""Scaling by the flag: a predictor that sleeps 100 ms on a camera of 30 frames a second.

One worker can give at most ten results a second; four can take every frame. A frame that was
captured and not leased leaves a hole in `frame` at the client; a result that was not delivered
leaves one in `seq`.
"""

from __future__ import annotations

from itertools import pairwise

from benchmarks import predictors
from benchmarks.client_connections import Received, collect, for_seconds, is_result
from benchmarks.report import Row
from benchmarks.run import Run

SECONDS = 12.0
_FIRST_S = 1.0
_SOURCE = "demo?size=640x360&fps=30"


def measure() -> list[Row]:
    one, four = _results(1), _results(4)
    rates = _rate(one), _rate(four)
    begin = four[0].at
    holes = [(b.at - begin, b.message["frame"] - a.message["frame"] - 1) for a, b in pairwise(four)]
    late = sum(hole for at, hole in holes if at > _FIRST_S)
    missed = sum(each.message["missed"] for each in four)
    rising = all(
        a.message[number] < b.message[number]
        for results in (one, four)
        for a, b in pairwise(results)
        for number in ("seq", "frame")
    )
    return [
        Row("1 worker, results a second", "9.5 to 10", f"{rates[0]:.2f}", 9.5 <= rates[0] <= 10),
        Row("4 workers, results a second", ">= 29", f"{rates[1]:.2f}", rates[1] >= 29),
        Row(
            "seq and frame strictly increase",
            "always",
            f"{rising} over {len(one) + len(four)} results",
            rising,
        ),
        Row(
            "4 workers, frames superseded after the first second",
            "0",
            f"{late} (before: {sum(hole for _, hole in holes) - late}; missed {missed})",
            late == 0,
        ),
    ]


def _results(workers: int) -> list[Received]:
    reference = predictors.reference("sleep_100_ms")
    with Run(_SOURCE, predictor=reference, workers=workers) as run:
        run.wait_ready()
        received = collect(run.websocket, for_seconds(SECONDS))
    return [each for each in received if is_result(each)]


def _rate(results: list[Received]) -> float:
    """Intervals per second after the first second."""
    later = [each.at for each in results if each.at > results[0].at + _FIRST_S]
    return (len(later) - 1) / (later[-1] - later[0])
