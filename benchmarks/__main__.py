"""`python -m benchmarks [NAME ...]`: run all of them, or those named; write docs/benchmarks.md.

Ends with 1 when a bar was missed.
"""

from __future__ import annotations

import importlib
import sys

from benchmarks import report
from framefan.base import clock

NAMES = (
    "client",
    "truth",
    "scaling",
    "handoff",
    "overhead",
    "end_to_end",
    "slow_reader",
    "capture",
    "gate",
    "cameras",
    "gateway",
    "clients",
    "inference",
    "changes",
    "shapes",
    "track",
    "tracker",
    "page",
    "growth",
    "formats",
    "profiles",
)
BY_NAME = ("hour",)
"""Too long to be part of all of them."""


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in NAMES + BY_NAME]
    if unknown:
        print(
            f"no benchmark {', '.join(unknown)}; there are {', '.join(NAMES + BY_NAME)}",
            file=sys.stderr,
        )
        return 2
    print(report.machine())
    missed = 0
    for name in names or NAMES:
        print(f"\n{name}", flush=True)
        began = clock.now()
        rows = importlib.import_module(f"benchmarks.{name}").measure()
        print(report.as_text(rows), flush=True)
        report.write(name, rows, clock.now() - began)
        missed += sum(row.passed is False for row in rows)
    if missed:
        print(f"\n{missed} missed", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
