"""What `make chaos` last measured: `python tests/fault_figures.py build/chaos/*.json`.

Puts the reports of long runs together into docs/chaos.json, from which `section` writes its part of
docs/faults.md.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

FIGURES = Path(__file__).parents[1] / "docs" / "chaos.json"


def together(reports: list[dict[str, Any]]) -> dict[str, Any]:
    """The worst figures of all reports: for each fault, and for memory."""
    faults: dict[str, dict[str, Any]] = {}
    for told in (fault for report in reports for fault in report["faults"]):
        worst = faults.setdefault(told["name"], {"times": 0, "longest_s": 0.0, "p99_ms": 0.0})
        worst["times"] += 1
        worst["longest_s"] = round(max(worst["longest_s"], told["recovery_s"]), 2)
        worst["p99_ms"] = round(max(worst["p99_ms"], told["p99_ms"]))
        worst["limit_s"] = told["limit_s"]
    kinds = sorted({kind for report in reports for kind in report["growth"]})
    told = ("seed", "seconds", "results", "passed")
    return {
        "runs": [{key: report[key] for key in told} for report in reports],
        "wrong": sum(len(report["wrong"]) for report in reports),
        "late": sum(len(report["late"]) for report in reports),
        "faults": faults,
        "growth": {kind: max(each["growth"].get(kind, 0) for each in reports) for kind in kinds},
        "descriptors": max(
            (n for each in reports for n in each["descriptors"].values()), default=0
        ),
    }


def section() -> list[str]:
    """Lines of Markdown."""
    found = json.loads(FIGURES.read_text())
    runs, faults = found["runs"], found["faults"]
    seeds = ", ".join(str(run["seed"]) for run in runs)
    injected = sum(each["times"] for each in faults.values())
    results = sum(run["results"] for run in runs)
    grown = ", ".join(f"{kind} {size / (1 << 20):+.1f}" for kind, size in found["growth"].items())
    lines = [
        "",
        "## Last measured",
        "",
        f"`make chaos SECONDS={min(run['seconds'] for run in runs):g}`, seeds {seeds}, of which",
        f"{sum(run['passed'] for run in runs)} of {len(runs)} passed: {injected:,} faults and",
        f"{results:,} results. 50 clients of mixed subscriptions checked the results;",
        f"{found['wrong']} were wrong (torn, twice, out of order, missing without notice).",
        "After each fault the ledger was exact and no slot was missing.",
        f"{found['late']} recoveries took longer than their limit. From a third of a run to its",
        f"end, the largest process of each kind grew by {grown} MiB at most (limit 2), and by",
        f"{found['descriptors']} descriptors.",
        "",
        "| fault | times | longest recovery | limit | worst p99 of results meanwhile |",
        "|---|---|---|---|---|",
    ]
    for name, each in sorted(faults.items()):
        lines.append(
            f"| {name} | {each['times']} | {each['longest_s']:.2f} s | {each['limit_s']:g} s "
            f"| {each['p99_ms']:,} ms |"
        )
    return lines


def main(paths: list[str]) -> None:
    reports = [json.loads(Path(path).read_text()) for path in paths]
    FIGURES.write_text(json.dumps(together(reports), indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
