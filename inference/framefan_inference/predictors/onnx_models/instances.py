"""Masks, key points and angles of what a model detected, in pixels of the frame. Pure.

1. A mask of YOLO is a sum of prototypes, weighted by the row's coefficients and cut to its box, and
   scaled up to the input. One of RF-DETR is a map of the whole input. Both are above 0 inside.
2. Key points follow the classes, x and y in pixels of the input.
3. A rotated box is turned around its middle, and then mapped by its corners: a frame that was
   stretched to the input turns angles, too.

Outlines and key points are kept inside the frame, as Ultralytics does.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from framefan.ipc.records import Detection
from framefan_inference.predictors import shapes
from framefan_inference.predictors.onnx_models import evidence

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from framefan_inference.predictors.onnx_models.decode import Canvas, Found
    from framefan_inference.predictors.onnx_models.layouts import Head
    from framefan_inference.predictors.onnx_models.letterbox import Fit


def detections(
    rows: NDArray[np.float32], names: Mapping[int, str], more: Iterable[Mapping[str, Any]]
) -> list[Detection]:
    """`rows`: x1, y1, x2, y2, confidence, class `[n, 6]`; `more`: further fields of each."""
    return [
        Detection(
            label=names.get(int(number)) or str(int(number)),
            confidence=confidence,
            box=tuple(box),
            class_id=int(number),
            **fields,
        )
        for (*box, confidence, number), fields in zip(rows.tolist(), more, strict=True)
    ]


# ---- masks ---------------------------------------------------------------------------------------


def outlines(
    found: Found, masks: NDArray[Any], head: Head, canvas: Canvas
) -> list[NDArray[np.float64]]:
    """The outline `[n, 2]` of each mask in pixels of the input; without points for no mask.

    `masks`: prototypes `[C, h, w]`, or with the layout `logits` a map `[h, w]` for each row.
    """
    scale = canvas[0] / masks.shape[2], canvas[1] / masks.shape[1]
    if head.layout == "logits":
        assert found.places is not None
        return [_outline(masks[place], (0, 0), scale) for place in found.places]
    assert found.more is not None
    boxes = found.boxes / np.array(scale * 2, np.float32)
    pairs = zip(boxes, found.more, strict=True)
    return [_of_prototypes(box, numbers, masks, scale) for box, numbers in pairs]


def _of_prototypes(
    box: NDArray[Any], numbers: NDArray[Any], prototypes: NDArray[Any], scale: tuple[float, float]
) -> NDArray[np.float64]:
    """`box`: in pixels of the prototypes. A pixel belongs to it if its number lies inside."""
    _, height, width = prototypes.shape
    left, right = (int(side) for side in np.clip(np.ceil(box[[0, 2]]), 0, width))
    top, bottom = (int(side) for side in np.clip(np.ceil(box[[1, 3]]), 0, height))
    if left >= right or top >= bottom:
        return np.empty((0, 2))
    x, y = max(left - 1, 0), max(top - 1, 0)  # with a margin: the mask ends at its box
    part = np.zeros((min(bottom + 1, height) - y, min(right + 1, width) - x), np.float32)
    inner = prototypes[:, top:bottom, left:right]
    part[top - y : bottom - y, left - x : right - x] = np.tensordot(numbers, inner, 1)
    return _outline(part, (x, y), scale)


def _outline(
    part: NDArray[Any], corner: tuple[int, int], scale: tuple[float, float]
) -> NDArray[np.float64]:
    """Around what is above 0, scaled up to the input; `corner`: where `part` begins."""
    size = round(part.shape[1] * scale[0]), round(part.shape[0] * scale[1])
    large = cv2.resize(np.asarray(part, np.float32), size, interpolation=cv2.INTER_LINEAR)
    points = shapes.outline_of((large > 0).view(np.uint8))
    return points + np.array(corner) * scale if len(points) else points


def with_outlines(
    found: Sequence[NDArray[np.float64]], fit: Fit, frame: tuple[int, int]
) -> list[dict[str, Any]]:
    """`frame`: width and height."""
    mapped = [np.clip(fit.points(each), 0, frame) if len(each) else None for each in found]
    return [{"mask": each} for each in mapped]


# ---- key points ----------------------------------------------------------------------------------


def shape_of_points(more: NDArray[Any], said: tuple[int, int]) -> tuple[int, int]:
    """How many key points an object has, and the numbers of each: 2, or 3 with a confidence.

    `more`: the numbers after the classes `[N, E]`; `said`: what the file says, or (0, 0).
    """
    columns = more.shape[1]
    if said[0] * said[1] == columns:
        return said
    is_three = columns % 3 == 0 and (columns % 2 == 1 or evidence.are_scores(more[:, 2::3]))
    numbers = 3 if is_three else 2
    return columns // numbers, numbers


def with_keypoints(
    found: Found, head: Head, fit: Fit, frame: tuple[int, int]
) -> list[dict[str, Any]]:
    assert found.more is not None
    count, numbers = head.keypoints
    rows = found.more.reshape(-1, count, numbers).astype(np.float64)
    places = np.clip(fit.points(rows[..., :2].reshape(-1, 2)), 0, frame)
    rows[..., :2] = places.reshape(-1, count, 2)
    rows[..., 2:] = np.clip(rows[..., 2:], 0, 1)
    return [{"keypoints": each} for each in rows]


# ---- rotated boxes -------------------------------------------------------------------------------


def with_angles(found: Found, fit: Fit) -> list[dict[str, Any]]:
    assert found.angles is not None
    pairs = zip(found.boxes.tolist(), found.angles.tolist(), strict=True)
    return [_rotated(box, angle, fit) for box, angle in pairs]


def _rotated(box: list[float], angle: float, fit: Fit) -> dict[str, Any]:
    corners = fit.points(shapes.corners(box, angle))
    direction = math.atan2(math.sin(angle) / fit.down, math.cos(angle) / fit.across)
    return {"mask": corners, "angle": direction}
