"""Decodes a model's outputs to boxes in pixels of its input, by layout (layouts.py). Pure."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import Struct

from framefan_inference.predictors.onnx_models import evidence

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from framefan_inference.predictors.onnx_models.layouts import Head

Canvas = tuple[int, int]
MOST_CANDIDATES = 2000
"""NMS gets this many of the best boxes, because its time grows with their square."""


class Found(Struct):
    """The candidates of one image, one row each."""

    boxes: NDArray[np.float32]
    """x1, y1, x2, y2 `[n, 4]` in pixels of the input."""
    scores: NDArray[np.float32]
    classes: NDArray[np.float32]
    least: float = 0.0
    most: float = 0.0
    """The lowest and highest of all scores, including those of dropped candidates."""
    angles: NDArray[np.float32] | None = None
    """Radians. Then `boxes` are the boxes before their rotation about the centre."""
    more: NDArray[np.float32] | None = None
    """Mask coefficients or key points."""
    places: NDArray[np.int64] | None = None
    """The row of each candidate in the outputs."""

    def take(self, rows: NDArray[Any]) -> Found:
        def part(of: NDArray[Any] | None) -> NDArray[Any] | None:
            return None if of is None else of[rows]

        return Found(
            self.boxes[rows],
            self.scores[rows],
            self.classes[rows],
            self.least,
            self.most,
            part(self.angles),
            part(self.more),
            part(self.places),
        )


class _Raw(Struct):
    """Boxes as the model gives them, with scores of all classes, or with one score and class."""

    boxes: NDArray[Any]
    scores: NDArray[Any]
    classes: NDArray[Any] | None = None
    more: NDArray[Any] | None = None
    """The values after the class scores."""


def decode(
    outputs: Sequence[NDArray[Any]], index: int, head: Head, canvas: Canvas, conf: float
) -> Found:
    """The candidates of image `index` of a batch with a confidence of at least `conf`."""
    raw = _raw([outputs[n] for n in head.order], index, head, canvas)
    most, least = raw.scores.max(initial=0), raw.scores.min(initial=0)
    if head.layout == "logits":  # like the authors' code: any class of a box may be a candidate
        rows, classes = np.nonzero(raw.scores >= conf)
        scores = raw.scores[rows, classes]
    elif raw.classes is None:
        best = raw.scores.max(axis=1)
        rows = _best(best, conf)
        scores, classes = best[rows], raw.scores[rows].argmax(axis=1)
    else:
        rows = np.flatnonzero(raw.scores >= conf)
        scores, classes = raw.scores[rows], raw.classes[rows]
    more = None if raw.more is None else np.asarray(raw.more[rows], np.float32)
    return Found(
        _in_pixels(np.asarray(raw.boxes[rows], np.float32), head, canvas),
        np.asarray(scores, np.float32),
        np.asarray(classes, np.float32),
        float(least),
        float(most),
        more[:, -1] if head.task == "obb" and more is not None else None,
        more if head.task in ("segment", "pose") else None,
        np.asarray(rows, np.int64),
    )


def boxes_as_given(
    outputs: Sequence[NDArray[Any]], index: int, head: Head, canvas: Canvas
) -> NDArray[Any]:
    """All boxes `[n, 4]` of an image, in the model's unit."""
    return _raw([outputs[n] for n in head.order], index, head, canvas).boxes


def more_as_given(
    outputs: Sequence[NDArray[Any]], index: int, head: Head, canvas: Canvas
) -> NDArray[Any]:
    """The values after the class scores of all rows of an image, `[n, E]`."""
    more = _raw([outputs[n] for n in head.order], index, head, canvas).more
    return np.empty((0, 0)) if more is None else more


def _best(scores: NDArray[Any], conf: float) -> NDArray[np.int64]:
    rows = np.flatnonzero(scores >= conf)
    if len(rows) > MOST_CANDIDATES:
        rows = rows[np.argpartition(scores[rows], -MOST_CANDIDATES)[-MOST_CANDIDATES:]]
    return rows


def _in_pixels(boxes: NDArray[np.float32], head: Head, canvas: Canvas) -> NDArray[np.float32]:
    if head.unit == "shares":
        boxes = boxes * np.array(canvas * 2, np.float32)
    if head.corners:
        return boxes
    half = boxes[:, 2:] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)


# ---- layouts -------------------------------------------------------------------------------------


def _raw(outputs: Sequence[NDArray[Any]], index: int, head: Head, canvas: Canvas) -> _Raw:
    match head.layout:
        case "batched":
            mine = outputs[0][outputs[0][:, 0] == index]
            return _Raw(mine[:, 1:5], mine[:, 6], mine[:, 5])
        case "yolo3":
            return _yolo3(outputs, index)
        case "sized":
            labels, boxes, scores = (each[index] for each in outputs)
            return _Raw(boxes, scores, labels)
        case "logits":
            boxes, logits = (each[index] for each in outputs)
            return _Raw(boxes, _sigmoid(logits))
        case "darknet":
            return _Raw(outputs[0][index].reshape(-1, 4), outputs[1][index])
        case _:
            return _one(outputs[0][index], head, canvas)


def _one(output: NDArray[Any], head: Head, canvas: Canvas) -> _Raw:
    """Decode a layout with a single output `[A, B]`."""
    if head.layout == "end_to_end":
        return _Raw(output[:, :4], output[:, 4], output[:, 5], output[:, 6:])
    if head.layout in ("scores", "rows"):
        columns = output.T if head.layout == "scores" else output
        boxes, first = columns[:, :4], 4
        scores = columns[:, 4 : 4 + head.classes]
    else:
        columns, first = output, 5
        boxes = output[:, :4] if head.layout == "objectness" else _from_cells(output, canvas)
        scores = output[:, 5 : 5 + head.classes] * output[:, 4:5]
    return _Raw(boxes, scores, None, columns[:, first + head.classes :])


def _from_cells(output: NDArray[Any], canvas: Canvas) -> NDArray[np.float32]:
    """Convert YOLOX's offsets in cells and logarithms of sizes to pixels."""
    grid = _cells(canvas, len(output))
    boxes = np.empty((len(output), 4), np.float32)
    boxes[:, :2] = (output[:, :2] + grid[:, :2]) * grid[:, 2:]
    boxes[:, 2:] = np.exp(np.minimum(output[:, 2:4], 30)) * grid[:, 2:]
    return boxes


@lru_cache(maxsize=64)
def _cells(canvas: Canvas, rows: int) -> NDArray[np.float32]:
    return evidence.cells(canvas, evidence.strides_of(rows, canvas, 1))


def _yolo3(outputs: Sequence[NDArray[Any]], index: int) -> _Raw:
    boxes, scores, chosen = outputs
    chosen = chosen.reshape(-1, 3).astype(np.int64)
    chosen = chosen[chosen[:, 0] == index]
    numbers, rows = chosen[:, 1], chosen[:, 2]
    return _Raw(boxes[index][rows][:, [1, 0, 3, 2]], scores[index][numbers, rows], numbers)


def _sigmoid(logits: NDArray[Any]) -> NDArray[np.float32]:
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -60, 60))), np.float32)


def probabilities(output: NDArray[Any], head: Head) -> NDArray[np.float32]:
    """The probability of each class `[C]`, from a classifier's output for one image."""
    scores = np.asarray(output, np.float32).ravel()
    if not head.is_softmax_due:
        return scores
    powers = np.exp(scores - scores.max())
    return np.asarray(powers / powers.sum(), np.float32)
