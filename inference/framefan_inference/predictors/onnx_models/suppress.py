"""Non-maximum suppression of upright and rotated boxes. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from framefan_inference.predictors.onnx_models.decode import Found


def suppress(found: Found, iou: float, agnostic: bool) -> Found:
    """Keep the best of the boxes that overlap by more than `iou`; the best comes first.

    `agnostic`: whether boxes of different classes suppress each other too.
    """
    if not len(found.boxes):
        return found
    classes = np.zeros(len(found.boxes), int) if agnostic else found.classes.astype(int)
    corners = found.boxes.astype(float)
    corners[:, 2:] -= corners[:, :2]  # the functions of OpenCV take x, y, width, height
    if found.angles is not None:
        return found.take(_turned(corners, found.scores, found.angles, classes, iou))
    corners[:, :2] -= corners[:, :2].min()  # OpenCV separates classes by offsets, from 0 up
    kept = cv2.dnn.NMSBoxesBatched(
        corners.tolist(), found.scores.tolist(), classes.tolist(), 0.0, iou
    )
    return found.take(np.asarray(kept, np.int64).ravel())


def _turned(
    boxes: NDArray[Any],
    scores: NDArray[Any],
    angles: NDArray[Any],
    classes: NDArray[Any],
    iou: float,
) -> NDArray[np.int64]:
    """The rows to keep; `boxes`: x, y, width, height before the rotation."""
    stay: list[int] = []
    middles = boxes[:, :2] + boxes[:, 2:] / 2
    for each in np.unique(classes):
        mine = np.flatnonzero(classes == each)
        turned = [
            (tuple(middles[n]), tuple(boxes[n, 2:]), float(np.degrees(angles[n]))) for n in mine
        ]
        kept = cv2.dnn.NMSBoxesRotated(turned, scores[mine].tolist(), 0.0, iou)
        stay += mine[np.asarray(kept, np.int64).ravel()].tolist()
    return np.array(stay, np.int64)


def upright(found: Found) -> NDArray[np.float32]:
    """Upright boxes x1, y1, x2, y2 `[n, 4]`; of rotated boxes, the bounding boxes.

    No side is negative.
    """
    if found.angles is None:
        least = found.boxes[:, :2]  # rounding may make a side slightly negative
        return np.concatenate([least, np.maximum(found.boxes[:, 2:], least)], axis=1)
    middles = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    half = (found.boxes[:, 2:] - found.boxes[:, :2]) / 2
    along, over = np.abs(np.cos(found.angles)), np.abs(np.sin(found.angles))
    reach = np.stack(
        [half[:, 0] * along + half[:, 1] * over, half[:, 0] * over + half[:, 1] * along]
    )
    return np.concatenate([middles - reach.T, middles + reach.T], axis=1).astype(np.float32)
