"""`python -m benchmarks.real [STEP[:NAME,...] ...]`: prove all, or the steps that are named.

    python -m benchmarks.real heads                 one step
    python -m benchmarks.real heads:yolox,rfdetr    some of its models; the page stays as it is

Ends with 1 where something is not as it must be.
"""

from __future__ import annotations

import importlib
import os
import sys

from benchmarks.real.places import say

QUIET = {"YOLO_AUTOINSTALL": "false", "YOLO_VERBOSE": "false", "HF_HUB_OFFLINE": "1"}
"""Ultralytics installs nothing by itself and prints less; nothing is fetched by a model's code."""
STEPS = {"heads": "heads", "objects": "objects", "tracks": "footage", "throughput": "throughput"}
"""Modules by the names of steps; each `prove(only)` says whether all was good."""


def main(words: list[str]) -> int:
    wanted = [word.partition(":") for word in words or STEPS]
    unknown = [name for name, _, _ in wanted if name not in STEPS]
    if unknown:
        say(f"no step {', '.join(unknown)}; there are {', '.join(STEPS)}")
        return 2
    bad = []
    os.environ.update(QUIET)
    for name, _, only in wanted:
        say(f"step {name}")
        module = importlib.import_module(f"benchmarks.real.{STEPS[name]}")
        if not module.prove([each for each in only.split(",") if each]):
            bad.append(name)
    if bad:
        say(f"not as it must be: {', '.join(bad)}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
