"""The pictures of docs/benchmarks.md: SVG files that show the same figures as the tables."""

from __future__ import annotations

from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, NamedTuple

from benchmarks import report

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

FOLDER = report.PAGE.parent / "pictures"
_OURS, _OTHERS = "#0b6e99", "#9aa5ad"
_APART = 1.8
"""By which factor two ticks differ at least that are both labelled."""
_STYLE = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.color": "#e6e9eb",
    "axes.axisbelow": True,
    "figure.facecolor": "white",
    "svg.fonttype": "none",
    "svg.hashsalt": "framefan",
}


class Panel(NamedTuple):
    """One small chart: lines by name over the same x as the others of its figure."""

    title: str
    lines: Mapping[str, Sequence[float]]
    log: bool = False


def curves(
    name: str, xlabel: str, x: Sequence[float], panels: Sequence[Panel], knee: float = 0
) -> None:
    """Panels side by side over one x, logarithmic; the knee as a dotted line."""
    plt = _pyplot()
    figure, axes = plt.subplots(1, len(panels), figsize=(3.6 * len(panels), 2.8), squeeze=False)
    for axis, panel in zip(axes[0], panels, strict=True):
        for label, values in panel.lines.items():
            axis.plot(x, values, marker="o", markersize=3.5, linewidth=1.5, label=label)
        axis.set_title(panel.title)
        axis.set_xlabel(xlabel)
        axis.set_xscale("log")
        axis.set_xticks(x, _labels(x), rotation=45)
        axis.minorticks_off()
        if panel.log:
            axis.set_yscale("log")
        else:
            axis.set_ylim(bottom=0)
        if knee:
            axis.axvline(knee, color="#c0392b", linewidth=1, linestyle=":")
        if len(panel.lines) > 1:
            axis.legend(frameon=False, fontsize=8)
    _save(name, figure)


def _labels(x: Sequence[float]) -> list[str]:
    """None where the one before is so near that both would overlap."""
    labels, last = [], 0.0
    for each in x:
        near = each < _APART * last
        labels.append("" if near else f"{each:,g}")
        last = last if near else each
    return labels


def bars(name: str, xlabel: str, found: Mapping[str, Sequence[float]], log: bool = False) -> None:
    """One bar for each way, the median of its rounds with their range; framefan's are coloured."""
    plt = _pyplot()
    figure, axis = plt.subplots(figsize=(7.2, 0.5 + 0.38 * len(found)))
    labels = list(reversed(found))
    for row, label in enumerate(labels):
        _bar(axis, row, found[label], _OURS if label.startswith("framefan") else _OTHERS)
    axis.set_yticks(range(len(labels)), labels)
    axis.set_xlabel(xlabel)
    axis.grid(axis="y", visible=False)
    if log:
        axis.set_xscale("log")
    else:
        axis.set_xlim(left=0)
    _save(name, figure)


def _bar(axis: Axes, row: int, values: Sequence[float], color: str) -> None:
    middle = median(values)
    axis.barh(row, middle, color=color, height=0.62)
    axis.hlines(row, min(values), max(values), color="#333333", linewidth=1)
    axis.annotate(f" {middle:.3g}", (max(values), row), va="center", fontsize=8)


def _pyplot():  # type: ignore[no-untyped-def]
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update(_STYLE)
    from matplotlib import pyplot

    return pyplot


def _save(name: str, figure) -> None:  # type: ignore[no-untyped-def]
    figure.tight_layout()
    FOLDER.mkdir(exist_ok=True)
    path = Path(FOLDER, f"{name}.svg")
    figure.savefig(path, metadata={"Date": None})
    _pyplot().close(figure)
    lines = [line.rstrip() for line in path.read_text().splitlines()]
    path.write_text("\n".join(lines) + "\n")  # no blanks at the ends of lines in the repository
