"""Tracks: whether a thing keeps its id, from the messages that a client received.

The demo scene with `--track`: by the trained model of examples/shapes, and by `motion`, which loses
what turns back and tells no kind of thing from another. A detection and a moving shape of the
scene's truth match as in truth.py; a switch is a shape whose id is another one than at its last
match.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

from benchmarks.client_connections import collect, is_result
from benchmarks.report import Row
from benchmarks.run import Run
from benchmarks.shapes import MODEL
from benchmarks.truth import iou

if TYPE_CHECKING:
    from collections.abc import Iterable

SEEDS = (1, 2, 3)
SECONDS = 20
FPS = 30
WARM_UP_S = 2
MOST = 1.0
"""Switches for each minute that a shape was in the picture, by the trained model."""
SHARE = 0.95
"""Of its frames in which a shape has an id, the same in all but a few."""


def measure() -> list[Row]:
    table = []
    for name, predictor, bar in (
        ("trained model", f"onnx:{MODEL}", True),
        ("motion", "motion", False),
    ):
        switches = matched = total = 0
        longest: list[float] = []
        for seed in SEEDS:
            counts = _watch(predictor, seed)
            switches, matched, total = (
                a + b for a, b in zip((switches, matched, total), counts[:3], strict=True)
            )
            longest += counts[3]
        minutes = total / FPS / 60
        per_minute, share = switches / minutes, matched / total
        whole = sum(part >= 0.8 for part in longest)
        table += [
            Row(
                f"{name}: switches of ids for a shape and minute",
                f"<= {MOST:g}" if bar else "",
                f"{per_minute:.2f}: {switches} in {minutes:.1f} minutes of shapes",
                per_minute <= MOST if bar else None,
            ),
            Row(
                f"{name}: shapes found, with an id",
                f">= {SHARE:.0%}" if bar else "",
                f"{share:.1%}; {whole} of {len(longest)} kept one id for 80% of the time",
                share >= SHARE if bar else None,
            ),
        ]
    return table


def _watch(predictor: str, seed: int) -> tuple[int, int, int, list[float]]:
    """Switches, matches and truths, and for each shape the share of its most frequent id."""
    from framefan_capture.sources.scene import Scene

    scene = Scene(1280, 720, seed)
    first, wanted = WARM_UP_S * FPS, (WARM_UP_S + SECONDS) * FPS
    with Run(
        f"demo?size=1280x720&fps={FPS}&seed={seed}", predictor=predictor, options=("--track",)
    ) as run:
        run.wait_ready()
        received = collect(run.websocket, lambda texts, _: len(texts) >= wanted)
    messages = [each.message for each in received if is_result(each)][first:]
    ids: dict[str, list[int]] = {}
    total = 0
    for message in messages:
        for shape in scene.truth(message["frame"]):
            if shape.moving:
                total += 1
                ids.setdefault(shape.kind, []).extend(_id_of(shape.box, message["detections"]))
    matched = sum(map(len, ids.values()))
    switches = sum(a != b for known in ids.values() for a, b in itertools.pairwise(known))
    longest = [
        known.count(max(set(known), key=known.count)) / len(known)
        for known in ids.values()
        if known
    ]
    return switches, matched, total, longest


def _id_of(box: Iterable[float], detections: list[dict[str, Any]]) -> list[int]:
    best = max(detections, key=lambda each: iou(each["box"], box), default=None)
    return [best["track_id"]] if best and iou(best["box"], box) >= 0.5 else []
