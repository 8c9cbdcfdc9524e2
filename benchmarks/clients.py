"""What ordinary client libraries get from framefan, near and far, one or thousands at once.

`python -m benchmarks.clients [PART ...]` runs some of it and writes nothing.
"""

from __future__ import annotations

import importlib
import sys

from benchmarks import clients_programs, report
from benchmarks.report import Row
from framefan.base import clock

PARTS = (
    "hoards",
    "handlers",
    "stops",
    "distance",
    "crowds",
    "replays",
    "gateways",
    "promises",
)


def measure(names: list[str] | None = None) -> list[Row]:
    clients_programs.check_there()
    rows: list[Row] = []
    for name in names or PARTS:
        began = clock.now()
        print(f"  -- {name}", flush=True)
        try:
            found = importlib.import_module(f"benchmarks.clients_{name}").measure()
        except (OSError, SystemExit) as error:  # the other parts have taken a quarter of an hour
            found = [Row(f"all of {name}", "", f"not measured: {error}".replace("\n", " "), False)]
        print(report.as_text(found), f"\n  -- {name}: {clock.now() - began:.0f} s", flush=True)
        rows += found
    return rows


if __name__ == "__main__":
    chosen = sys.argv[1:]
    unknown = [name for name in chosen if name not in PARTS]
    if unknown:
        raise SystemExit(f"no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    sys.exit(any(row.passed is False for row in measure(chosen)))
