"""The tracker beside others, on the very same detections, in one process.

The films are those of tracker_films.py: shapes of the demo scene with their exact truth, and people
in a street. Each tracker gets every detection, and is judged as in tracker_scores.py. Then what a
result costs with 10, 50 and 200 things: the CPU time of one call, its median.

The other libraries are in the extra `bench`, except norfair; what is not installed is left out.

`python -m benchmarks.tracker` only prints the table; `python -m benchmarks tracker` writes it down.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections import defaultdict
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.report import Row, as_text, spread
from benchmarks.tracker_films import Film, demo, people
from benchmarks.tracker_rivals import MISSING, rivals
from benchmarks.tracker_scores import Score, judge

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.tracker_rivals import Rival

SEEDS = (1, 2, 3)
COUNTS = (10, 50, 200)
MOST_MS = 0.3
"""A result with 10 things."""
ROUNDS = 5
MOST_SWITCHES = {10: 0, 10 / 3: 2}
"""Switches of people that framefan may have, by results a second."""


def measure() -> list[Row]:
    there, missing = rivals()
    for name in missing:
        print(MISSING[name], file=sys.stderr)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other libraries' own
        return [*_demo_rows(there), *_people_rows(there), *_cost_rows(there)]


def _demo_rows(there: dict[str, Callable[[Film], Rival]]) -> list[Row]:
    films: dict[str, list[Film]] = defaultdict(list)
    for seed in SEEDS:
        films["shapes, 30/s"].append(demo("shapes", 30, 1, seed=seed, seconds=20))
        films["shapes, 10/s"].append(demo("shapes", 10, 3, seed=seed, seconds=20))
        films["slow shapes, 10/s"].append(demo("shapes", 10, 1, speed=1 / 3, seed=seed))
    return [
        Row(f"{kind}: {name}", "", str(Score.total([_score(make, each) for each in parts])))
        for kind, parts in films.items()
        for name, make in there.items()
    ]


def _people_rows(there: dict[str, Callable[[Film], Rival]]) -> list[Row]:
    rows = []
    for step in (1, 3):
        film = people(step)
        for name, make in there.items():
            score = _score(make, film)
            is_ours = name == "framefan"
            most = MOST_SWITCHES[film.rate]
            good = score.switches <= most and not score.leaps
            bar = f"<= {most} switches, no leap" if is_ours else ""
            row = Row(f"people, {film.rate:.1f}/s: {name}", bar, str(score))
            rows.append(Row(row.name, bar, row.measured, good) if is_ours else row)
    return rows


def _cost_rows(there: dict[str, Callable[[Film], Rival]]) -> list[Row]:
    rows = []
    for count in COUNTS:
        film = demo("cost", 10, 1, speed=1 / 3, count=count, seconds=6)
        for name, make in there.items():
            costs = [_cost_ms(make, film) for _ in range(ROUNDS)]
            has_bar = name == "framefan" and count == COUNTS[0]
            rows.append(
                Row(
                    f"a result with {count} things: {name}",
                    f"<= {MOST_MS} ms" if has_bar else "",
                    f"{spread(costs)} ms",
                    median(costs) <= MOST_MS if has_bar else None,
                )
            )
    return rows


def _score(make: Callable[[Film], Rival], film: Film) -> Score:
    tracker = make(film)
    return judge(film, [tracker.update(result) for result in film.results])


def _cost_ms(make: Callable[[Film], Rival], film: Film) -> float:
    tracker, costs = make(film), []
    for result in film.results:
        began = time.thread_time()
        tracker.update(result)
        costs.append(time.thread_time() - began)
    return median(costs) * 1000


if __name__ == "__main__":
    print(as_text(measure()))
