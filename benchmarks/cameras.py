"""Cameras: what is lost of a good one, how a bad one comes back, and what it costs the others.

`python -m benchmarks.cameras [quick] [PART ...]` runs some of it and writes nothing.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import cameras_many, cameras_rtsp, report

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.report import Row


@dataclass(frozen=True)
class Scale:
    steady_s: float = 60.0
    fresh_s: float = 25.0
    restarts: int = 20
    rounds: int = 3
    round_s: float = 20.0
    dead_s: float = 30.0


FULL = Scale()
QUICK = Scale(steady_s=10.0, fresh_s=8.0, restarts=3, rounds=1, round_s=8.0, dead_s=10.0)

PARTS: dict[str, Callable[[str, Scale], list[Row]]] = {
    "steady": lambda folder, scale: cameras_rtsp.steady(folder, scale.steady_s),
    "fresh": lambda folder, scale: cameras_rtsp.fresh(folder, scale.fresh_s),
    "restarts": lambda folder, scale: cameras_rtsp.restarts(folder, scale.restarts),
    "many": lambda folder, scale: cameras_many.many(folder, scale.rounds, scale.round_s),
    "dead": lambda folder, scale: cameras_many.dead(folder, scale.dead_s),
}


def measure(scale: Scale = FULL, names: list[str] | None = None) -> list[Row]:
    rows: list[Row] = []
    for name in names or PARTS:
        with tempfile.TemporaryDirectory(prefix="framefan-bench-") as folder:
            rows += PARTS[name](folder, scale)
    return rows


if __name__ == "__main__":
    wanted = sys.argv[1:]
    few = QUICK if "quick" in wanted else FULL
    print(report.as_text(measure(few, [name for name in wanted if name != "quick"])))
