"""The gateway: what a delivery costs, what it withstands, and whether every account is exact.

`python -m benchmarks.gateway [quick] [PART ...]` runs some of it and writes nothing.
"""

from __future__ import annotations

import os
import sys
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks import report
from benchmarks.gateway_real import cores

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.report import Row


@dataclass(frozen=True)
class Scale:
    rounds: int = 5
    clients: int = 1000
    round_s: float = 2.0
    crowd: int = 10_000
    crowd_s: float = 60.0
    deliveries: int = 2_000_000


FULL = Scale()
QUICK = Scale(rounds=2, clients=1000, round_s=1.0, crowd_s=8.0, deliveries=300_000)


def fan_out(folder: str, scale: Scale) -> list[Row]:
    from benchmarks import gateway_cost

    return gateway_cost.fan_out(folder, scale.clients, scale.rounds, scale.round_s, 30.0)


def cameras(folder: str, scale: Scale) -> list[Row]:
    from benchmarks import gateway_cost

    return [
        *gateway_cost.many_cameras(f"{folder}/many", 32, 50, scale.rounds, scale.round_s),
        *gateway_cost.one_camera(f"{folder}/one", scale.rounds, scale.round_s),
    ]


def stalled(folder: str, scale: Scale) -> list[Row]:
    from benchmarks import gateway_stall

    return gateway_stall.stalled(folder, 900, 100, scale.rounds, 14.0)


def crowd(folder: str, scale: Scale) -> list[Row]:
    from benchmarks import gateway_crowd

    return gateway_crowd.crowd(folder, scale.crowd, scale.crowd_s)


def contracts(folder: str, scale: Scale) -> list[Row]:
    from benchmarks import gateway_contracts

    return gateway_contracts.contracts(folder, 300, scale.deliveries)


def returning(folder: str, _: Scale) -> list[Row]:
    from benchmarks import gateway_return

    return gateway_return.returning(folder)


PARTS: dict[str, Callable[[str, Scale], list[Row]]] = {
    "fan_out": fan_out,
    "cameras": cameras,
    "stalled": stalled,
    "crowd": crowd,
    "contracts": contracts,
    "returning": returning,
}


def measure(scale: Scale = FULL, names: list[str] | None = None) -> list[Row]:
    before, load_core = os.sched_getaffinity(0), cores()[1]
    os.sched_setaffinity(0, {load_core})  # beside the load, away from the senders
    rows: list[Row] = []
    try:
        for name in names or PARTS:
            with tempfile.TemporaryDirectory(prefix="framefan-bench-") as folder:
                rows += PARTS[name](folder, scale)
    finally:
        os.sched_setaffinity(0, before)
    return rows


if __name__ == "__main__":
    wanted = sys.argv[1:]
    few = QUICK if "quick" in wanted else FULL
    print(report.as_text(measure(few, [name for name in wanted if name != "quick"])))
