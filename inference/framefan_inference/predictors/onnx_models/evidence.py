"""What the numbers of an output tell of its layout. Pure.

Shapes alone do not tell layouts apart: 300 rows of 6 numbers are corners, a score and a class, or
centre, size and two scores. So a layout must also fit the numbers that a model gives for a picture.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from framefan_inference.predictors.onnx_models.layouts import SLACK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

LARGEST_SHARE = 1.5
"""A side of a box in shares of 1 may lie a little outside the picture."""
_HIGH = 0.2
"""A column whose median over a picture is this high or higher is not a column of class scores."""
_STRIDES = ((8, 16, 32), (16, 32), (8, 16, 32, 64))
_NEAR_CELLS = 3.0


def are_scores(numbers: NDArray[Any]) -> bool:
    return bool(np.all((numbers >= -SLACK) & (numbers <= 1 + SLACK)))


def are_often_low(scores: NDArray[Any]) -> bool:
    """Whether each column `[N, C]` is low at most places, as scores are and angles are not."""
    return bool(np.all(np.median(scores, axis=0) < _HIGH)) if len(scores) else True


def are_numbers_of_classes(numbers: NDArray[Any], most: int) -> bool:
    """`most`: how many classes there are at most; 0 where nobody knows."""
    whole = np.all(numbers == np.round(numbers)) and np.all(numbers >= 0)
    return bool(whole and (not most or np.all(numbers < most)))


def are_shares(boxes: NDArray[Any]) -> bool:
    """Whether boxes `[N, 4]` are in shares of 1; at least one must have a size."""
    return bool(boxes.size and np.any(boxes) and np.abs(boxes).max() <= LARGEST_SHARE)


def are_pixels(boxes: NDArray[Any]) -> bool:
    return bool(boxes.size and np.abs(boxes).max() > LARGEST_SHARE)


def have_centres(boxes: NDArray[Any]) -> bool:
    """Whether any row cannot be x1, y1, x2, y2, because x2 < x1 or y2 < y1."""
    return bool(np.any(boxes[:, 2:4] < boxes[:, :2]))


def cells(canvas: tuple[int, int], strides: tuple[int, ...]) -> NDArray[np.float32]:
    """Column, row and stride of each cell `[N, 3]` of all scales, row by row."""
    parts = []
    for stride in strides:
        down, across = np.mgrid[: -(-canvas[1] // stride), : -(-canvas[0] // stride)]
        steps = np.full(down.size, stride)
        parts.append(np.stack([across.ravel(), down.ravel(), steps], axis=1))
    return np.concatenate(parts).astype(np.float32)


def strides_of(rows: int, canvas: tuple[int, int], anchors: int) -> tuple[int, ...]:
    """The strides by which a canvas has so many places; none where no usual ones fit."""
    for strides in _STRIDES:
        count = sum(-(-canvas[0] // each) * -(-canvas[1] // each) for each in strides)
        if rows == anchors * count:
            return strides
    return ()


def offsets(boxes: NDArray[Any], canvas: tuple[int, int]) -> Iterator[str]:
    """`raw` if the centres are offsets from their cells, `decoded` if they lie near their cells.

    `boxes`: `[N, 4]`, one for each cell. Neither or both where the numbers do not tell.
    """
    grid = cells(canvas, strides_of(len(boxes), canvas, 1))
    centres = (grid[:, :2] + 0.5) * grid[:, 2:]
    if np.median(np.abs(boxes[:, :2])) < _NEAR_CELLS:
        yield "raw"
    if np.median(np.abs(boxes[:, :2] - centres) / grid[:, 2:]) < _NEAR_CELLS:
        yield "decoded"
