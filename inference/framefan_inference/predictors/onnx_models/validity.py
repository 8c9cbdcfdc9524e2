"""What boxes and scores of a model cannot be: then its output was read wrongly, or it is broken.

Checked with the first answer, and with each later one: a file may say what it does not do.
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
"""So many inputs away from the picture lies nothing that was seen in it."""
_SMALL_INPUT = 640
_SURE = 0.25
"""The usual least confidence."""
_MEND = "the model's output is not of the layout"


class BadOutput(Exception):
    """The message names the value that cannot be."""


def without_unsure(found: Found) -> Found:
    """Without boxes that cannot be and that the model is not sure of.

    Models that compute sides as differences (YOLO26) give some among their lowest scores.
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
        raise _bad(f"a box has the side {sizes.min():.4g}", head)
    far = _FAR * max(*canvas, _SMALL_INPUT)
    if np.abs(boxes).max() > far:
        raise _bad(f"a box lies at {np.abs(boxes).max():.4g} pixels, far outside", head)
    if head.unit == "pixels" and np.abs(boxes).max() <= LARGEST_SHARE:
        raise _bad("all boxes lie between 0 and 1, and pixels were expected", head)
    _check_classes(found, head)


def check_scores(least: float, most: float, head: Head) -> None:
    """Raises BadOutput."""
    if not (least >= -SLACK and most <= 1 + SLACK):  # so NaN is caught, too
        raise _bad(f"scores lie between {least:.3g} and {most:.3g}, and not between 0 and 1", head)


def check_points(found: Found, head: Head) -> None:
    """Raises BadOutput for confidences of key points that cannot be."""
    count, numbers = head.keypoints
    if numbers < 3 or found.more is None or not found.more.size:
        return
    sure = found.more.reshape(-1, count, numbers)[..., 2]
    if not (sure.min() >= -SLACK and sure.max() <= 1 + SLACK):  # so NaN is caught, too
        least, most = float(sure.min()), float(sure.max())
        raise _bad(f"confidences of key points lie between {least:.3g} and {most:.3g}", head)


def _check_classes(found: Found, head: Head) -> None:
    numbers: Any = found.classes
    most = head.classes or np.inf
    if (numbers != np.round(numbers)).any() or numbers.min() < 0 or numbers.max() >= most:
        low, high = float(numbers.min()), float(numbers.max())
        raise _bad(f"numbers of classes lie between {low:.4g} and {high:.4g}", head)


def _bad(what: str, head: Head) -> BadOutput:
    return BadOutput(f"{what}: {_MEND} ({head}) that it was taken for")
