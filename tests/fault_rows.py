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
        "Tests of `make test` show each row. A dagger marks a test in which a guard is off and the",
        "fault does harm: a separate test, or the same test, which runs again without the named",
        "guard of `tests/guard_table.py`. `make chaos SECONDS=1800` causes faults in random",
        "order in one run. `python tests/fault_rows.py` writes this page; a test compares.",
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
    """The switches that show that the guard is needed."""
    names = ", ".join(f"`{off.switch.name}`" for off in switches_of(test))
    return f" † without {names}" if names else " †" if test in red else ""


if __name__ == "__main__":
    sys.stdout.write(page())
