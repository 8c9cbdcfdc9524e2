"""What is checked of each detection before clients get it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from msgspec import UNSET, UnsetType

from framefan.ipc.records import Detection
from framefan_inference.predictors import shapes
from framefan_inference.predictors.result_error import ResultError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_FAR_PICTURES, _FAR = 16, 16_384
"""A corner that is so many pictures away, and so many pixels, was never seen in this picture."""
_POINT_BYTES = 19
"""A point of an outline as MessagePack."""
_LEAST_POINTS = 8
_TRUTHS = (bool, np.bool_)


class _Bounds(NamedTuple):
    size: tuple[int, int]
    """Width and height of the picture."""
    far: float
    mask_points: int


def check(found: Sequence[Detection], size: tuple[int, int], limit: int) -> list[Detection]:
    """Detections whose fields are what the schema promises. Raises ResultError.

    `size`: width and height of the picture, (0, 0) if unknown. `limit`: the most bytes of a
    result; all outlines together take about half of it at most, and have fewer points then.
    """
    masks = sum(each.mask is not UNSET and each.mask is not None for each in found)
    room = limit // 2 // _POINT_BYTES // max(masks, 1)
    points = max(_LEAST_POINTS, min(shapes.MASK_POINTS, room))
    bounds = _Bounds(size, max(_FAR_PICTURES * max(size), _FAR), points)
    return [_checked(each, bounds) for each in found]


def _checked(detection: Detection, bounds: _Bounds) -> Detection:
    try:
        box = tuple(float(value) for value in detection.box)
        confidence = float(_no_truth(detection.confidence))
        class_id, track_id = _whole(detection.class_id), _whole(detection.track_id)
        angle = shapes.angle(detection.angle)
        turned = 0.0 if angle is UNSET else float(detection.angle)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError) as problem:
        raise ResultError(
            "bad_detection", f"box, confidence, ids and angle are numbers: {problem}"
        ) from problem
    if detection.label is None:
        raise ResultError("bad_detection", "a label is a text; this one is None")
    if len(box) != 4:
        raise ResultError("bad_detection", f"a box is x1, y1, x2, y2; this one has {len(box)}")
    if not all(map(math.isfinite, box)) or not math.isfinite(confidence):
        raise ResultError(
            "not_finite",
            "a box or confidence is NaN or infinite; JSON has neither: "
            f"confidence {confidence}, box {_listed(box)}",
        )
    x1, y1, x2, y2 = (round(value, 2) for value in box)
    whole = Detection(
        label=str(detection.label),
        confidence=round(confidence, 4) + 0.0,  # no -0.0
        box=(x1, y1, x2, y2),
        class_id=class_id,
        track_id=track_id,
        mask=shapes.outline(detection.mask, bounds.size, bounds.mask_points),
        keypoints=shapes.keypoints(detection.keypoints),
        angle=angle,
    )
    _check_values(whole, bounds.far)
    if angle is not UNSET and whole.mask is UNSET:
        whole.mask = shapes.outline(shapes.corners(box, turned), (0, 0), shapes.MASK_POINTS)
        assert whole.mask is not UNSET
        whole.box = shapes.around(whole.mask)
    _check_points(whole, bounds.far)
    return whole


def _check_values(detection: Detection, far: float) -> None:
    """What has the right type and is no detection. Raises ResultError, which names the value."""
    confidence, (x1, y1, x2, y2) = detection.confidence, detection.box
    if not 0 <= confidence <= 1:
        hint = "; a share of 1 is meant, not per cent" if 1 < confidence <= 100 else ""
        raise ResultError(
            "bad_detection", f"a confidence lies from 0 to 1; this one is {confidence:g}{hint}"
        )
    if x2 < x1 or y2 < y1:
        raise ResultError(
            "bad_detection",
            "a box is x1, y1, x2, y2 with x1 <= x2 and y1 <= y2; this one is "
            f"{_listed(detection.box)}",
        )
    if max(map(abs, detection.box)) > far:
        raise ResultError(
            "bad_detection",
            "a box is in pixels of its picture; this one lies far outside it: "
            f"{_listed(detection.box)}",
        )


def _check_points(detection: Detection, far: float) -> None:
    """Raises ResultError, which names the point."""
    for called, points in (("an outline", detection.mask), ("a key point", detection.keypoints)):
        for x, y, *_ in () if points is UNSET else points:
            if max(abs(x), abs(y)) > far:
                raise ResultError(
                    "bad_detection",
                    f"{called} is in pixels of its picture; this point lies far outside it: "
                    f"{_listed((x, y))}",
                )


def _listed(numbers: Iterable[float]) -> str:
    """Numbers for people: `50, 10.5, 1e+300, 7`."""
    return ", ".join(f"{value:.10g}" for value in numbers)


def _whole(number: Any) -> int | UnsetType:
    """An id of whatever integer type; None says, as leaving it out does, that there is none."""
    return UNSET if number is None or number is UNSET else int(_no_truth(number))


def _no_truth(number: Any) -> Any:
    """The number as it is. Raises TypeError for True and False, which would become 1 and 0."""
    if isinstance(number, _TRUTHS):
        raise TypeError(f"{number} is none")
    return number
