"""docs/real-models.md: each step writes its own part of it, between marks."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from benchmarks import report
from benchmarks.real.places import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

PAGE = ROOT / "docs" / "real-models.md"
_PARTS = (
    *("ultralytics", "torch", "torchvision", "transformers", "rfdetr", "supervision", "trackers"),
    *("onnx", "onnxruntime"),
)


def write(name: str, content: str, seconds: float) -> None:
    told = f"`make prove-real ONLY={name}`, {seconds:.0f} s, on {report.machine()}:"
    report.place(PAGE, name, f"{told}\n\n{content}")


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    cells = [[each.replace("|", "\\|").replace("\n", " ") for each in line] for line in lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in cells)


def versions() -> str:
    found = []
    for name in _PARTS:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"{name} not installed")
    return ", ".join(found)
