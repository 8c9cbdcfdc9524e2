"""Rejects impossible boxes and scores: the layout is not the model's, or the model is broken.

Every output is checked, not only the first, because a file's metadata may be wrong.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from framefan_inference.predictors.onnx_models.evidence import LARGEST_SHARE
from framefan_inference.predictors.onnx_models.layouts import SLACK

if TYPE_CHECKING:
    from framefan_inference.predictors.onnx_models.decode import Found
    from framefan_inference.predictors.onnx_models.layouts import Head

_FAR = 4
"""A box this many input sizes outside the image is impossible."""
_SMALL_INPUT = 640
_SURE = 0.25
"""The default confidence threshold."""
_CAUSE = "the model's output does not have the recognised layout"


class BadOutput(Exception):
    """A model's output is impossible; the message names the value."""


def without_unsure(found: Found) -> Found:
    """Drop impossible boxes with low scores.

    Models that compute sides as differences (YOLO26) give some such boxes.
    """
    sizes = found.boxes[:, 2:] - found.boxes[:, :2]
    is_bad = ~np.isfinite(found.boxes).all(axis=1) | (sizes < 0).any(axis=1)
    return found.take(~is_bad | (found.scores >= _SURE)) if is_bad.any() else found


def check(found: Found, head: Head, canvas: tuple[int, int]) -> None:
    """Raises BadOutput."""
    check_scores(found.least, found.most, head)
    boxes = found.boxes
    if not len(boxes):
        return
    if not np.isfinite(boxes).all():
        raise _bad("a box is NaN or infinite", head)
    sizes = boxes[:, 2:] - boxes[:, :2]
    if sizes.min() < -1:
        raise _bad(f"a box has a side of {sizes.min():.4g} pixels", head)
    far = _FAR * max(*canvas, _SMALL_INPUT)
    if np.abs(boxes).max() > far:
        raise _bad(f"a box is at {np.abs(boxes).max():.4g} pixels, far outside the input", head)
    if head.unit == "pixels" and np.abs(boxes).max() <= LARGEST_SHARE:
        raise _bad("all boxes are between 0 and 1 instead of in pixels", head)
    _check_classes(found, head)


def check_scores(least: float, most: float, head: Head) -> None:
    """Raises BadOutput."""
    if not (least >= -SLACK and most <= 1 + SLACK):  # so NaN is caught, too
        raise _bad(f"scores are between {least:.3g} and {most:.3g} instead of 0 and 1", head)


def check_points(found: Found, head: Head) -> None:
    """Check the confidences of key points. Raises BadOutput."""
    count, numbers = head.keypoints
    if numbers < 3 or found.more is None or not found.more.size:
        return
    sure = found.more.reshape(-1, count, numbers)[..., 2]
    if not (sure.min() >= -SLACK and sure.max() <= 1 + SLACK):  # so NaN is caught, too
        least, most = float(sure.min()), float(sure.max())
        raise _bad(f"confidences of key points are between {least:.3g} and {most:.3g}", head)


def _check_classes(found: Found, head: Head) -> None:
    numbers: Any = found.classes
    most = head.classes or np.inf
    if (numbers != np.round(numbers)).any() or numbers.min() < 0 or numbers.max() >= most:
        low, high = float(numbers.min()), float(numbers.max())
        raise _bad(f"class numbers are between {low:.4g} and {high:.4g}", head)


def _bad(what: str, head: Head) -> BadOutput:
    return BadOutput(f"{what}: {_CAUSE} ({head})")
