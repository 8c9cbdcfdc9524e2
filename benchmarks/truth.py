"""Truth, end to end: the boxes a client receives against what the demo scene drew.

The built-in `motion` on the demo scene. After two seconds a plain client's next 300 results are
compared with the scene's truth for their frame numbers. A box and a moving shape match when their
intersection over union is at least one half; each is matched once, the best pairs first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.client_connections import Received, collect, is_result
from benchmarks.report import Row
from benchmarks.run import Run

if TYPE_CHECKING:
    from collections.abc import Sequence

RESULTS = 300
WARM_UP_S = 2.0
FPS = 30.0


def iou(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes x1, y1, x2, y2."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    if across <= 0 or down <= 0:
        return 0.0
    both = across * down
    return both / (_area(one) + _area(other) - both)


def _area(box: Sequence[float]) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def matches(
    found: Sequence[Sequence[float]], true: Sequence[Sequence[float]], least: float = 0.5
) -> int:
    """How many pairs there are, each box in one pair at most."""
    pairs = ((iou(a, b), i, j) for i, a in enumerate(found) for j, b in enumerate(true))
    left, right = set[int](), set[int]()
    for overlap, i, j in sorted(pairs, reverse=True):
        if overlap >= least and i not in left and j not in right:
            left.add(i)
            right.add(j)
    return len(left)


def measure() -> list[Row]:
    with Run("demo?size=1280x720&fps=30&seed=1") as run:
        run.wait_ready()
        first = int(WARM_UP_S * FPS)
        received = collect(run.websocket, lambda texts, _: len(texts) >= first + RESULTS + 5)
    results = [each for each in received if is_result(each)]
    warm = [each for each in results if each.at >= results[0].at + WARM_UP_S]
    return rows(warm[:RESULTS])


def rows(results: list[Received]) -> list[Row]:
    from framefan_capture.sources.scene import Scene

    scene = Scene(1280, 720, seed=1)
    matched = shapes = boxes = 0
    for each in results:
        true = [shape.box for shape in scene.truth(each.message["frame"]) if shape.moving]
        found = [detection["box"] for detection in each.message["detections"]]
        matched += matches(found, true)
        shapes += len(true)
        boxes += len(found)
    recall, precision = matched / shapes, matched / max(1, boxes)
    frames = f"{len(results)} frames"
    return [
        _row("moving shapes found (IoU >= 0.5)", 0.9, recall, f"{matched} of {shapes}, {frames}"),
        _row("boxes that match a shape", 0.8, precision, f"{matched} of {boxes}, {frames}"),
    ]


def _row(name: str, bar: float, share: float, counts: str) -> Row:
    enough = f"{RESULTS} frames" in counts
    return Row(name, f">= {bar:.0%}", f"{share:.1%}: {counts}", share >= bar and enough)
