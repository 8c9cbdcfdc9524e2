"""What framefan survives, and its tests: `python tests/fault_rows.py > docs/faults.md`."""

from __future__ import annotations

import sys

from fault_figures import section
from fault_table import ROWS
from guards import switches_of


def page() -> str:
    """docs/faults.md."""
    lines = [
        "# What framefan survives",
        "",
        "Each row is shown by tests of `make test`; a dagger marks those in which a guard is off,",
        "and the fault is seen to do harm: tests of their own, or the same test, run once more",
        "without the guard of that name in `tests/guard_table.py`. `make chaos SECONDS=1800` plays",
        "faults in random order against one run. Written by `python tests/fault_rows.py`; a test",
        "compares.",
    ]
    for area, rows in ROWS.items():
        lines += [
            "",
            f"## {area}",
            "",
            "| what happens | what is promised | tests |",
            "|---|---|---|",
        ]
        for row in rows:
            named = [_link(each) + _without(each, row.red) for each in row.tests]
            named += [f"{_link(each)} †" for each in row.red if each not in row.tests]
            lines.append(f"| {row.fault} | {row.promise} | {', '.join(named)} |")
    return "\n".join([*lines, *section()]) + "\n"


def _link(test: str) -> str:
    file, _, name = test.partition("::")
    return f"[{name.removeprefix('test_').replace('_', ' ')}](../tests/{file}.py)"


def _without(test: str, red: tuple[str, ...]) -> str:
    """By which switch it is seen that the guard is needed."""
    names = ", ".join(f"`{off.switch.name}`" for off in switches_of(test))
    return f" † without {names}" if names else " †" if test in red else ""


if __name__ == "__main__":
    sys.stdout.write(page())
