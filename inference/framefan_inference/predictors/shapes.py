"""The outline, the key points and the angle of a detection, in the form that clients get.

1. A mask is a polygon `[n, 2]`, or a bitmap `[height, width]` of the picture. Of a bitmap the
   largest connected part counts, without its holes.
2. A polygon of more points than allowed is simplified by the algorithm of Douglas and Peucker, with
   the smallest tolerance, from half a pixel upwards by half, that leaves few enough.
3. Key points are `[n, 2]` or `[n, 3]`, with a confidence.
4. A rotated box is told by its corners and its angle, beside the upright box around it.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import UNSET, UnsetType

from framefan_inference.predictors import arrays
from framefan_inference.predictors.result_error import ResultError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from framefan.ipc.records import Keypoint, Point

MASK_POINTS = 100
"""The most points of an outline."""
KEYPOINTS = 512
"""The most key points of a detection; a mesh of a face has 478."""
_FINEST = 0.5
"""Pixels by which a simplified outline may be off at first."""
_COARSER = 1.5
_MOST_SIMPLIFIED = 2_000
"""Of outlines with more points every second, third, ... is taken first: the algorithm takes time
with the square of their number.
"""
_CORNERS = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5], [-0.5, 0.5]])


def outline(mask: Any, size: tuple[int, int], most: int) -> list[Point] | UnsetType:
    """The polygon of a mask of at most `most` points; UNSET for none or a bitmap of no area.

    `size`: width and height of the picture, (0, 0) if unknown. Raises ResultError.
    """
    if mask is None or mask is UNSET:
        return UNSET
    given = _array(mask, "a mask")
    if not given.size:
        return UNSET
    if given.ndim == 3 and given.shape[0] == 1:
        given = given[0]
    if given.ndim == 2 and given.shape[1] == 2 and given.dtype.kind != "b":
        points = given.astype(np.float64)
        if len(points) < 3:
            raise _bad(f"an outline has at least 3 points; this one has {len(points)}")
    else:
        points = outline_of(_bitmap(given, size))
    if not len(points):
        return UNSET
    _check_finite(points, "an outline")
    return _rounded(_simplified(points, most))


def outline_of(bitmap: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The points `[n, 2]` around the largest part of a bitmap `[H, W]`; none for no area."""
    import cv2  # not every predictor loads it

    rows, columns = (np.flatnonzero(bitmap.any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return np.empty((0, 2))
    top, left = rows[0], columns[0]
    inner = bitmap[top : rows[-1] + 1, left : columns[-1] + 1]  # a search of all takes eight times
    contours, _ = cv2.findContours(inner, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    largest = max(contours, key=cv2.contourArea)[:, 0]
    points = np.asarray(largest, np.float64) + np.array([left, top])
    return points if len(points) > 2 else np.empty((0, 2))


def _bitmap(given: Any, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Raises ResultError for what is no bitmap of the picture."""
    if given.ndim == 2 and size in ((0, 0), given.shape[::-1]):
        if given.dtype not in (np.uint8, np.bool_):
            given = given > 0.5 if given.dtype.kind == "f" else given != 0
        return np.ascontiguousarray(given).view(np.uint8)
    of = f"{size[1]}x{size[0]}" if any(size) else "height x width"
    raise _bad(
        f"a mask is a polygon of n x 2 numbers or a bitmap of its picture, {of}; "
        f"this one is {arrays.shape(given)} of {given.dtype}"
    )


def _simplified(points: NDArray[np.float64], most: int) -> NDArray[np.float64]:
    if len(points) <= most:
        return points
    import cv2

    points = points[:: -(-len(points) // _MOST_SIMPLIFIED)]
    curve = points.astype(np.float32)[:, None]
    tolerance, found = _FINEST, points
    while len(found) > most:
        found = np.asarray(cv2.approxPolyDP(curve, tolerance, True)[:, 0], np.float64)
        tolerance *= _COARSER
    if len(found) < 3:  # a spike, which has no area at this tolerance
        return points[:: -(-len(points) // most)]
    return found


def keypoints(points: Any) -> list[Keypoint] | UnsetType:
    """x, y and confidence of each; UNSET for None or no points. Raises ResultError."""
    if points is None or points is UNSET:
        return UNSET
    given = _array(points, "key points")
    if not given.size:
        return UNSET
    if given.ndim != 2 or given.shape[1] not in (2, 3) or given.dtype.kind not in "iuf":
        raise _bad(
            "key points are n x 2 numbers (x, y) or n x 3 (x, y, confidence); "
            f"these are {arrays.shape(given)} of {given.dtype}"
        )
    if len(given) > KEYPOINTS:
        raise _bad(f"a detection has at most {KEYPOINTS} key points; this one has {len(given)}")
    rows = given.astype(np.float64)
    _check_finite(rows, "a key point")
    sure = rows[:, 2] if rows.shape[1] == 3 else np.ones(len(rows))
    off = sure[(sure < 0) | (sure > 1)]
    if len(off):
        raise _bad(f"the confidence of a key point lies from 0 to 1; this one is {off[0]:g}")
    pairs = zip(_rounded(rows[:, :2]), np.round(sure, 4).tolist(), strict=True)
    return [(x, y, confidence + 0.0) for (x, y), confidence in pairs]


def angle(given: Any) -> float | UnsetType:
    """The angle in radians; UNSET for None. Raises ResultError, TypeError and ValueError."""
    if given is None or given is UNSET:
        return UNSET
    turned = float(given)
    if not math.isfinite(turned):
        raise ResultError("not_finite", f"an angle is {turned}, which JSON cannot say")
    if abs(turned) > math.tau:
        raise _bad(
            f"an angle is in radians, from -6.2832 to 6.2832; this one is {turned:g}; "
            "math.radians(...) converts degrees"
        )
    return round(turned, 4) + 0.0


def corners(box: Sequence[float], turned: float) -> NDArray[np.float64]:
    """The corners `[4, 2]` of x1, y1, x2, y2, turned around its middle by an angle in radians.

    They begin with the one that was the upper left one, and go round clockwise.
    """
    x1, y1, x2, y2 = box
    return rotated((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1, turned)


def rotated(x: float, y: float, width: float, height: float, turned: float) -> NDArray[np.float64]:
    """The corners of a box of that middle and size, as `corners` gives them."""
    along = np.array([math.cos(turned), math.sin(turned)]) * width
    over = np.array([-math.sin(turned), math.cos(turned)]) * height
    return np.asarray(np.array([x, y]) + _CORNERS @ np.array([along, over]), np.float64)


def around(points: Sequence[Point]) -> tuple[float, float, float, float]:
    """x1, y1, x2, y2 of the upright box around points."""
    xs, ys = zip(*points, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def _array(given: Any, called: str) -> Any:
    """Raises ResultError for lists of unlike length, and for what is no number."""
    try:
        found = arrays.to_array(given)
    except (TypeError, ValueError) as problem:
        raise _bad(f"{called} cannot be read as an array: {problem}") from problem
    if found.dtype.kind not in "biuf":
        raise _bad(f"{called} holds numbers; this one is {arrays.shape(found)} of {found.dtype}")
    return found


def _check_finite(points: NDArray[np.float64], called: str) -> None:
    if not np.isfinite(points).all():
        raise ResultError("not_finite", f"{called} has NaN or infinity, which JSON cannot say")


def _rounded(points: NDArray[np.float64]) -> list[Any]:
    return (np.round(points, 2) + 0.0).tolist()  # type: ignore[no-any-return]  # no -0.0


def _bad(message: str) -> ResultError:
    return ResultError("bad_detection", message)
