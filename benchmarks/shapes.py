"""Shapes: how right the trained model of examples/shapes is, through the whole pipeline.

Scenes of seeds that training never saw, played in `every` mode, so that each frame has a result. A
client reads them; each detection is compared with the scene's truth for its frame number. Average
precision is the area under the precision-recall curve of each kind, interpolated at every recall
(as in Pascal VOC since 2010), at an intersection over union of one half; their mean is mAP@0.5.
And the model's raw output by OpenCV against that by onnxruntime, on the same pictures.
"""

from __future__ import annotations

import contextlib
import json
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from benchmarks.report import Row
from benchmarks.run import START_S, Run, until
from benchmarks.truth import iou

if TYPE_CHECKING:
    from collections.abc import Iterable

MODEL = Path(__file__).parent.parent / "examples" / "shapes" / "shapes.onnx"
SEEDS = range(500, 510)
"""Training begins at seed 1,000,000."""
FRAMES = 100
LEAST = 0.01
"""Nearly every detection counts in a precision-recall curve, also the unsure ones."""
PICTURES = 20
BACKENDS = ("cv2", "onnxruntime")
INPUT = (320, 192)
BAR = 0.95


def measure() -> list[Row]:
    return [*(_pipeline(backend) for backend in BACKENDS), agreement()]


# ---- average precision -------------------------------------------------------------------------


def average_precision(sure: list[tuple[float, bool]], truths: int) -> float:
    """Of one kind: confidences, each with whether it was right, and how many things were there."""
    right = np.cumsum([hit for _, hit in sorted(sure, key=lambda each: -each[0])])
    recall = right / truths
    precision = right / np.arange(1, len(right) + 1)
    best_beyond = np.maximum.accumulate(precision[::-1])[::-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * best_beyond))


def judged(
    detections: Iterable[dict[str, Any]], truth: Iterable[Any]
) -> list[tuple[str, float, bool]]:
    """Kind, confidence and rightness of each; the surest first, each truth is found once."""
    left = list(truth)
    verdicts = []
    for found in sorted(detections, key=lambda each: -each["confidence"]):
        same = [shape for shape in left if shape.kind == found["label"]]
        best = max(same, key=lambda shape: iou(found["box"], shape.box), default=None)
        hit = best is not None and iou(found["box"], best.box) >= 0.5
        if hit:
            left.remove(best)
        verdicts.append((found["label"], found["confidence"], hit))
    return verdicts


# ---- the two measurements ----------------------------------------------------------------------


def _pipeline(backend: str) -> Row:
    """Each seed is a camera, and each of its frames becomes a result."""
    from framefan_capture.sources.scene import Scene

    scenes = {f"s{seed}": Scene(1280, 720, seed) for seed in SEEDS}
    sure: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    truths: dict[str, int] = defaultdict(int)
    results = _results(backend)
    for message in results:
        truth = scenes[message["camera"]].truth(message["frame"])
        for shape in truth:
            truths[shape.kind] += 1
        for kind, confidence, hit in judged(message["detections"], truth):
            sure[kind].append((confidence, hit))
    precisions = {kind: average_precision(sure[kind], count) for kind, count in truths.items()}
    mean = sum(precisions.values()) / max(1, len(precisions))
    kinds = ", ".join(f"{kind} {value:.3f}" for kind, value in sorted(precisions.items()))
    enough = len(results) == FRAMES * len(SEEDS)
    return Row(
        f"mAP@0.5 at a client, {backend}",
        f">= {BAR}",
        f"{mean:.4f} over {len(results)} held-out frames; {kinds}",
        mean >= BAR and enough,
    )


def _results(backend: str) -> list[dict[str, Any]]:
    sources = [f"s{seed}=demo?size=1280x720&fps=30&seed={seed}&frames={FRAMES}" for seed in SEEDS]
    predictor = f"onnx:{MODEL}?conf={LEAST}&backend={backend}"
    results: list[dict[str, Any]] = []
    run = Run(*sources, predictor=predictor, options=("--mode", "every"))
    with run:
        until(lambda: run.url, START_S, "the address of the run")
        query = f"?delivery=every&history={FRAMES}"
        with (
            contextlib.suppress(ConnectionClosed),
            connect(run.websocket + query, proxy=None) as client,
        ):
            while True:  # until the run ends, as all its sources have
                message = json.loads(client.recv(timeout=60))
                if message["type"] == "result":
                    results.append(message)
        run.process.wait(START_S)
    return results


def agreement() -> Row:
    """The model's own numbers: pixels of its input, and confidences."""
    from framefan_capture.sources.scene import Scene
    from framefan_inference.predictors.onnx_models import backends, letterbox

    models = [backends.load(str(MODEL), "cpu", name) for name in BACKENDS]
    worst = 0.0
    for seed in range(SEEDS.start, SEEDS.start + PICTURES):
        picture = np.empty((720, 1280, 3), np.uint8)
        Scene(1280, 720, seed).draw(seed, picture)
        canvas, _ = letterbox.fit(picture, INPUT)
        blob = np.asarray(canvas[None, ..., ::-1].transpose(0, 3, 1, 2) / 255, np.float32)
        one, other = (model.run({"images": blob})[0] for model in models)
        worst = max(worst, float(np.abs(one - other).max()))
    return Row(
        "raw output, cv2.dnn against onnxruntime, largest difference",
        "<= 0.001",
        f"{worst:.6f} over {PICTURES} pictures",
        worst <= 1e-3,
    )
