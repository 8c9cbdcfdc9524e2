"""A part of a picture made smaller, as PIL and torchvision do it for classifiers. Pure.

Each new pixel is a mean of the old ones within its own width on both sides, weighted by a triangle.
OpenCV has no such filter: its INTER_LINEAR looks at four pixels however much smaller the picture
becomes, and its INTER_AREA weighs all within half of that width alike. Both are other pictures than
those that the classifiers have seen in training.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Size = tuple[int, int]
"""Width and height, or offsets from the left and from above."""


def shrink(image: NDArray[np.uint8], whole: Size, corner: Size, size: Size) -> NDArray[np.uint8]:
    """Of the picture `uint8[H, W, 3]` made as large as `whole`, the part of `size` at `corner`."""
    columns, across = _shares(image.shape[1], whole[0], corner[0], size[0])
    rows, down = _shares(image.shape[0], whole[1], corner[1], size[1])
    left, top = int(columns.min()), int(rows.min())
    part = image[top : int(rows.max()) + 1, left : int(columns.max()) + 1]
    narrow = _means(np.ascontiguousarray(part.transpose(1, 0, 2)), columns - left, across)
    return _means(np.ascontiguousarray(narrow.transpose(1, 0, 2)), rows - top, down)


def _means(
    rows: NDArray[np.uint8], places: NDArray[np.int64], shares: NDArray[np.float32]
) -> NDArray[np.uint8]:
    """Rounded after each of the two directions, as PIL does."""
    made = np.zeros((len(places), *rows.shape[1:]), np.float32)
    for each, share in zip(places.T, shares.T, strict=True):
        made += rows[each] * share[:, None, None]
    return np.asarray(np.rint(made), np.uint8)


@lru_cache(maxsize=64)
def _shares(
    count: int, whole: int, first: int, length: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Which of `count` pixels the new ones are made of, and by which shares; `[length, k]` each."""
    scale = count / whole
    reach = max(scale, 1.0)
    middles = (np.arange(first, first + length)[:, None] + 0.5) * scale
    places = np.floor(middles - reach).astype(np.int64) + np.arange(math.ceil(2 * reach) + 1)
    shares = np.clip(1 - np.abs(places + 0.5 - middles) / reach, 0, None)
    shares[(places < 0) | (places >= count)] = 0
    shares /= shares.sum(axis=1, keepdims=True)
    return np.clip(places, 0, count - 1), shares.astype(np.float32)
