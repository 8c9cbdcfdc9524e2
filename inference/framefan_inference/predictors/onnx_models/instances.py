"""Masks, key points and angles of detections, in pixels of the frame. Pure.

1. A YOLO mask is the sum of the prototypes, weighted by the row's coefficients. It is scaled up to
   the input and then cropped to its box. An RF-DETR mask is a map of the whole input. In both,
   values above 0 belong to the object.
2. Key points follow the class scores; x and y are in pixels of the input.
3. A rotated box is rotated about its centre, then its corners are mapped to the frame. If the frame
   was stretched to fit the input, the mapping changes the angle as well.

Outlines and key points are clipped to the frame, as Ultralytics does.
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
    """`rows`: x1, y1, x2, y2, confidence, class `[n, 6]`; `more`: the other fields of each row."""
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
    """The outline `[n, 2]` of each mask in pixels of the input; `[0, 2]` if the mask is empty.

    `masks`: prototypes `[C, h, w]`, or with the layout `logits` one map `[h, w]` per row.
    """
    scale = canvas[0] / masks.shape[2], canvas[1] / masks.shape[1]
    if head.layout == "logits":
        assert found.places is not None
        return [_outline(masks[place], scale) for place in found.places]
    assert found.more is not None
    pairs = zip(found.boxes, found.more, strict=True)
    return [_of_prototypes(box, numbers, masks, scale) for box, numbers in pairs]


def _of_prototypes(
    box: NDArray[Any], numbers: NDArray[Any], prototypes: NDArray[Any], scale: tuple[float, float]
) -> NDArray[np.float64]:
    """`box`: in pixels of the input. A pixel belongs to it if its number lies inside."""
    _, height, width = prototypes.shape
    left, right, across = _part(box[0], box[2], width, scale[0])
    top, bottom, down = _part(box[1], box[3], height, scale[1])
    if left >= right or top >= bottom:
        return np.empty((0, 2))
    large = _larger(np.tensordot(numbers, prototypes[:, down, across], 1), scale)
    x, y = round(across.start * scale[0]), round(down.start * scale[1])
    inside = large[top - y : bottom - y, left - x : right - x] > 0
    points = shapes.outline_of(inside.view(np.uint8))
    return points + (left, top) if len(points) else points


def _part(low: float, high: float, count: int, scale: float) -> tuple[int, int, slice]:
    """The pixels of the input from `low` to `high`, and the prototypes' that they are made of."""
    first, last = (min(max(math.ceil(side), 0), round(count * scale)) for side in (low, high))
    begin = max(int((first + 0.5) / scale - 0.5), 0)
    return first, last, slice(begin, min(int((last + 0.5) / scale - 0.5) + 2, count))


def _outline(part: NDArray[Any], scale: tuple[float, float]) -> NDArray[np.float64]:
    """Around what is above 0, scaled up to the input."""
    return shapes.outline_of((_larger(part, scale) > 0).view(np.uint8))


def _larger(part: NDArray[Any], scale: tuple[float, float]) -> NDArray[np.float32]:
    size = round(part.shape[1] * scale[0]), round(part.shape[0] * scale[1])
    large = cv2.resize(np.asarray(part, np.float32), size, interpolation=cv2.INTER_LINEAR)
    return np.asarray(large, np.float32)


def with_outlines(
    found: Sequence[NDArray[np.float64]], fit: Fit, frame: tuple[int, int]
) -> list[dict[str, Any]]:
    """The fields with the outlines, clipped to the frame; `frame`: its width and height."""
    mapped = [np.clip(fit.points(each), 0, frame) if len(each) else None for each in found]
    return [{"mask": each} for each in mapped]


# ---- key points ----------------------------------------------------------------------------------


def shape_of_points(more: NDArray[Any], said: tuple[int, int]) -> tuple[int, int]:
    """The number of key points per object, and of values per key point: 2, or 3 with confidence.

    `more`: the values after the class scores `[N, E]`; `said`: the file's metadata, or (0, 0).
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
