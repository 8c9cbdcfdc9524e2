"""What a detector's output means: from its numbers to boxes, confidences and classes. Pure.

    (1, 4 + classes, N)   YOLOv8 and later: centre, size, a score for each class; overlaps in it
    (1, N, 5 + classes)   YOLOv5 to 7: centre, size, objectness, class scores to multiply with it
    (1, N, 6)             end to end (YOLOv10, RT-DETR exports): x1, y1, x2, y2, score, class

Told apart by the shape, and by the number of class names where the file has names:

1. A first side of 4 + classes is the first kind, a second side of 5 + classes the second one.
2. Without names, the shorter side is the one that holds the numbers of a box.
3. `(1, N, 6)` is end to end up to `MOST_END_TO_END` rows, and beyond it the second kind with one
   class: a model that sorts its boxes out gives a few hundred, one that does not gives thousands.

Of what overlaps in the first two kinds, the best of each class stays (non-maximum suppression).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np

from framefan.errors import StartError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_END_TO_END = 1000
MOST_CANDIDATES = 2000
"""The best so many go into the suppression, which takes time with their square."""
SLACK = 0.01
"""Half precision and quantised models are off by a little."""
Kind = Literal["scores", "objectness", "end_to_end"]


def kind_of(shape: tuple[int, ...], classes: int) -> Kind:
    """`classes`: how many names there are, or 0. Raises StartError for any other output."""
    if len(shape) == 3:
        _, first, second = shape
        if classes and first == 4 + classes:
            return "scores"
        if second == 6 and first <= MOST_END_TO_END:
            return "end_to_end"
        if classes and second == 5 + classes:
            return "objectness"
        if not classes and first > second >= 6:
            return "objectness"
        if not classes and second > first >= 5:
            return "scores"
    text = "x".join(map(str, shape))
    raise StartError(
        f"framefan does not know an output of shape {text}"
        + (f" for {classes} classes" if classes else ""),
        "it knows 1x(4+classes)xN, 1xNx(5+classes) and 1xNx6",
        "export the model as a detector with one output, or decode it in a predictor of your own",
    )


def check_scores(output: NDArray[Any], kind: Kind) -> None:
    """Raises StartError where what should be scores of `output[a, b]` are none."""
    scores = {
        "end_to_end": output[:, 4:5],
        "scores": output[4:],
        "objectness": output[:, 4:],
    }[kind]
    least, most = float(scores.min(initial=0)), float(scores.max(initial=0))
    if least < -SLACK or most > 1 + SLACK:
        raise StartError(
            f"the model's scores are between {least:.3g} and {most:.3g}",
            "scores of a detector are between 0 and 1: it gives key points or masks",
            "export it as a detector, or decode it in a predictor of your own",
        )


def decode(output: NDArray[Any], kind: Kind, conf: float, iou: float) -> NDArray[np.float32]:
    """Rows x1, y1, x2, y2, confidence, class `float32[n, 6]` from one image's `output[a, b]`."""
    if kind == "end_to_end":
        rows = np.asarray(output, np.float32)
        return rows[rows[:, 4] >= conf]
    if kind == "scores":
        places, scores = output[:4].T, output[4:].T
    else:
        places, scores = output[:, :4], output[:, 5:] * output[:, 4:5]
    best = scores.max(axis=1)
    seen = np.flatnonzero(best >= conf)
    if len(seen) > MOST_CANDIDATES:
        seen = seen[np.argpartition(best[seen], -MOST_CANDIDATES)[-MOST_CANDIDATES:]]
    rows = np.empty((len(seen), 6), np.float32)
    centre, half = places[seen, :2], places[seen, 2:4] / 2
    rows[:, :2], rows[:, 2:4] = centre - half, centre + half
    rows[:, 4], rows[:, 5] = best[seen], scores[seen].argmax(axis=1)
    return rows[_suppressed(rows, conf, iou)]


def _suppressed(rows: NDArray[np.float32], conf: float, iou: float) -> NDArray[np.int64]:
    """Which rows stay, best first."""
    if not len(rows):
        return np.empty(0, np.int64)
    corners = rows[:, :4].copy()
    corners[:, 2:] -= corners[:, :2]  # the function wants x, y, width, height
    kept = cv2.dnn.NMSBoxesBatched(
        corners.tolist(), rows[:, 4].tolist(), rows[:, 5].astype(int).tolist(), conf, iou
    )
    return np.asarray(kept, np.int64).ravel()
