"""`make chaos SECONDS=1800 SEED=7`: play, print and write what came of it; 1 if it went wrong."""

from __future__ import annotations

import argparse
import dataclasses
import json
import random
import sys
from pathlib import Path

from chaos.play import Report, described, play


def main() -> int:
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--report", type=Path, help="a folder for chaos-SEED.md and .json")
    given = parser.parse_args()
    seed = random.SystemRandom().randrange(10**6) if given.seed is None else given.seed
    print(f"seed {seed}", flush=True)

    def tell(report: Report) -> None:
        last = report.faults[-1]
        print(f"{len(report.faults):4} {last.name}: {last.recovery_s:.2f} s", flush=True)

    report = Report(seed, given.seconds)
    try:
        play(report, tell)
    except BaseException:  # whatever ended it, its seed is told
        print(f"failed with seed {seed}", file=sys.stderr)
        raise
    finally:
        _write(report, given.report)
    return 0 if report.passed else 1


def _write(report: Report, folder: Path | None) -> None:
    text = described(report)
    print(text)
    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"chaos-{report.seed}.md").write_text(text)
        facts = json.dumps(dataclasses.asdict(report) | {"passed": report.passed}, indent=1)
        (folder / f"chaos-{report.seed}.json").write_text(facts)


if __name__ == "__main__":
    sys.exit(main())
