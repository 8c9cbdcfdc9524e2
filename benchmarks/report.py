"""What a benchmark found: rows, the table they make, and the page they are written to."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
_NAMES = re.compile(r"^<!-- (\w+): written by the command -->$", re.MULTILINE)
_HEAD = ("what", "bar", "measured", "verdict")


@dataclass(frozen=True)
class Row:
    """One line of a table. `passed` is None where a figure has no bar and only explains."""

    name: str
    bar: str
    measured: str
    passed: bool | None = None

    @property
    def verdict(self) -> str:
        return {True: "pass", False: "FAIL", None: ""}[self.passed]

    @property
    def cells(self) -> tuple[str, str, str, str]:
        return self.name, self.bar, self.measured, self.verdict


def percentile(values: Iterable[float], percent: float) -> float:
    """The smallest of `values` that at least `percent` of them do not exceed."""
    ordered = sorted(values)
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, int(rank) - 1)]


def spread(values: Sequence[float], digits: int = 2, unit: str = "") -> str:
    """The median of several rounds, and their range."""
    low, high = min(values), max(values)
    return f"{median(values):.{digits}f}{unit} ({low:.{digits}f} to {high:.{digits}f})"


def as_text(rows: Sequence[Row]) -> str:
    lines = [_HEAD, *(row.cells for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def as_markdown(rows: Sequence[Row]) -> str:
    lines = [_HEAD, ("---",) * len(_HEAD), *(row.cells for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def machine() -> str:
    """Cores, processor, kernel and versions, in one line."""
    return (
        f"{len(os.sched_getaffinity(0))} cores of {_processor()}, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, "
        f"OpenCV {version('opencv-python')}, pyzmq {version('pyzmq')}, "
        f"websockets {version('websockets')}"
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def write(name: str, rows: Sequence[Row], seconds: float) -> None:
    """Put the table between the marks of benchmark `name` in the page, and all bars together at
    its top.
    """
    told = f"`python -m benchmarks {name}`, {seconds:.0f} s, on {machine()}:"
    place(PAGE, name, f"{told}\n\n{as_markdown(rows)}")
    place(PAGE, "bars", _bars(PAGE.read_text()))


def _marks(name: str) -> tuple[str, str]:
    return f"<!-- {name}: written by the command -->", f"<!-- {name}: end -->"


def place(page: Path, name: str, content: str) -> None:
    """Put `content` between the marks `name` of a page."""
    begin, end = _marks(name)
    before, found, rest = page.read_text().partition(begin)
    _, closed, after = rest.partition(end)
    if not found or not closed:
        raise SystemExit(f"{page} has no place for the table of {name}: {begin} ... {end}")
    page.write_text(f"{before}{begin}\n{content}\n{end}{after}")


def _bars(page: str) -> str:
    """How many bars of each benchmark were met, and what was measured where one was missed."""
    lines = ["| benchmark | bars | met | missed |", "| --- | --- | --- | --- |"]
    for name in _NAMES.findall(page):
        begin, end = _marks(name)
        table = page.partition(begin)[2].partition(end)[0]
        rows = [line.strip("| ").split(" | ") for line in table.splitlines() if line[:1] == "|"]
        barred = [cells for cells in rows if cells[-1] in ("pass", "FAIL")]
        missed = "; ".join(f"{c[0]}: {c[2]}, bar {c[1]}" for c in barred if c[-1] == "FAIL")
        if barred:
            met = sum(cells[-1] == "pass" for cells in barred)
            lines.append(
                f"| [{name}](#{_anchor(page, begin)}) | {len(barred)} | {met} | {missed} |"
            )
    return "\n".join(lines)


def _anchor(page: str, mark: str) -> str:
    """Of the heading above the mark, as Markdown's renderers make it."""
    heading = page.partition(mark)[0].rpartition("\n## ")[2].splitlines()[0]
    return re.sub(r"[^a-z0-9_ -]", "", heading.lower()).replace(" ", "-")
