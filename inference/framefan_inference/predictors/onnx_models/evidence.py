"""Infers a layout from the values of an output. Pure.

Shapes alone are ambiguous: 300 rows of 6 values may be corners, a score and a class, or centre,
size and two scores. So a layout must also fit the values that a model gives for an image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from framefan_inference.predictors.onnx_models.layouts import SLACK

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

LARGEST_SHARE = 1.5
"""The largest normalised coordinate: a box may extend a little outside the image."""
_HIGH = 0.2
"""A column whose median over an image is at least this is not a column of class scores."""
_STRIDES = ((8, 16, 32), (16, 32), (8, 16, 32, 64))
_NEAR_CELLS = 3.0


def are_scores(numbers: NDArray[Any]) -> bool:
    return bool(np.all((numbers >= -SLACK) & (numbers <= 1 + SLACK)))


def are_often_low(scores: NDArray[Any]) -> bool:
    """Whether most values of each column `[N, C]` are low. Scores are; angles are not."""
    return bool(np.all(np.median(scores, axis=0) < _HIGH)) if len(scores) else True


def are_numbers_of_classes(numbers: NDArray[Any], most: int) -> bool:
    """Whether these are class numbers; `most`: the number of classes, 0 if it is unknown."""
    whole = np.all(numbers == np.round(numbers)) and np.all(numbers >= 0)
    return bool(whole and (not most or np.all(numbers < most)))


def are_shares(boxes: NDArray[Any]) -> bool:
    """Whether boxes `[N, 4]` are normalised; at least one must not be empty."""
    return bool(boxes.size and np.any(boxes) and np.abs(boxes).max() <= LARGEST_SHARE)


def are_pixels(boxes: NDArray[Any]) -> bool:
    return bool(boxes.size and np.abs(boxes).max() > LARGEST_SHARE)


def have_centres(boxes: NDArray[Any]) -> bool:
    """Whether any row is not x1, y1, x2, y2, because x2 < x1 or y2 < y1."""
    return bool(np.any(boxes[:, 2:4] < boxes[:, :2]))


def cells(canvas: tuple[int, int], strides: tuple[int, ...]) -> NDArray[np.float32]:
    """The column, row and stride of each grid cell `[N, 3]`, scale by scale, row by row."""
    parts = []
    for stride in strides:
        down, across = np.mgrid[: -(-canvas[1] // stride), : -(-canvas[0] // stride)]
        steps = np.full(down.size, stride)
        parts.append(np.stack([across.ravel(), down.ravel(), steps], axis=1))
    return np.concatenate(parts).astype(np.float32)


def strides_of(rows: int, canvas: tuple[int, int], anchors: int) -> tuple[int, ...]:
    """The strides with which a canvas has this many anchors; empty if no common ones fit."""
    for strides in _STRIDES:
        count = sum(-(-canvas[0] // each) * -(-canvas[1] // each) for each in strides)
        if rows == anchors * count:
            return strides
    return ()


def offsets(boxes: NDArray[Any], canvas: tuple[int, int]) -> Iterator[str]:
    """Yield `raw` if the centres may be offsets in cells, `decoded` if they may be pixels.

    `boxes`: `[N, 4]`, one per grid cell. It yields neither or both if the values are ambiguous.
    """
    grid = cells(canvas, strides_of(len(boxes), canvas, 1))
    centres = (grid[:, :2] + 0.5) * grid[:, 2:]
    if np.median(np.abs(boxes[:, :2])) < _NEAR_CELLS:
        yield "raw"
    if np.median(np.abs(boxes[:, :2] - centres) / grid[:, 2:]) < _NEAR_CELLS:
        yield "decoded"
