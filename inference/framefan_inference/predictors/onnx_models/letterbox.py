"""Fits a frame into a model's input, and maps boxes back to the frame.

The frame is scaled with its aspect ratio and placed on a grey canvas, in the middle or in the upper
left corner; or it is stretched to the whole canvas. The model decides: it needs frames as in its
training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import cv2
import numpy as np
from msgspec import Struct

from framefan_inference.predictors.onnx_models.shrink import shrink

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

GREY = 114
"""The padding with which detectors of the YOLO family are trained."""
Place = Literal["middle", "corner", "stretched", "cut"]
"""`cut`: a centre crop, scaled to fill the canvas; for classifiers."""


class Fit(Struct, frozen=True):
    """Where the frame is on the canvas: the scale (canvas pixels per frame pixel), and offsets."""

    across: float
    down: float
    left: int
    top: int

    def back(self, boxes: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
        """Map boxes x1, y1, x2, y2 `[n, 4]` from the canvas to the frame, and clip them to it."""
        origin = np.array([self.left, self.top] * 2, np.float32)
        scale = np.array([self.across, self.down] * 2, np.float32)
        most = np.array([width, height] * 2, np.float32)
        return np.asarray(np.clip((boxes - origin) / scale, 0, most), np.float32)

    def points(self, points: NDArray[Any]) -> NDArray[np.float64]:
        """Map points `[n, 2]` from the canvas to the frame, without clipping."""
        return np.asarray((points - (self.left, self.top)) / (self.across, self.down), np.float64)


def fit(
    image: NDArray[np.uint8],
    size: tuple[int, int],
    place: Place = "middle",
    most: tuple[int, int] | None = None,
) -> tuple[NDArray[np.uint8], Fit]:
    """Put the frame `uint8[H, W, 3]` on a canvas; return the canvas and the mapping.

    `size`: width and height of the canvas. `most`: the largest width and height of the frame on it,
    if they are less than the canvas'.
    """
    height, width = image.shape[:2]
    if place == "stretched":
        whole = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_LINEAR), np.uint8)
        return whole, Fit(size[0] / width, size[1] / height, 0, 0)
    if place == "cut":
        return _cut(image, size)
    scale = _scale(width, height, most or size)
    inner = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    if place == "corner":
        left = top = 0
    canvas = np.full((size[1], size[0], 3), GREY, np.uint8)
    part = canvas[top : top + inner[1], left : left + inner[0]]
    cv2.resize(image, inner, dst=part, interpolation=cv2.INTER_LINEAR)
    return canvas, Fit(scale, scale, left, top)


def _cut(image: NDArray[np.uint8], size: tuple[int, int]) -> tuple[NDArray[np.uint8], Fit]:
    """As torchvision's Resize and CenterCrop, which cut the longer side down to a whole number."""
    height, width = image.shape[:2]
    whole = size[0], size[0] * height // width
    if whole[1] < size[1]:
        whole = size[1] * width // height, size[1]
    left, top = round((whole[0] - size[0]) / 2), round((whole[1] - size[1]) / 2)
    part = shrink(image, whole, (left, top), size)
    return part, Fit(whole[0] / width, whole[1] / height, -left, -top)


def rectangle(
    shapes: Sequence[tuple[int, ...]], size: tuple[int, int], stride: int
) -> tuple[int, int]:
    """Width and height of the smallest canvas for frames of these shapes (height, width, ...).

    The scale of each frame is the same as on a canvas of `size`. The sides are multiples of
    `stride`.
    """
    scales = [_scale(shape[1], shape[0], size) for shape in shapes]
    pairs = list(zip(shapes, scales, strict=True))
    across = max(round(shape[1] * scale) for shape, scale in pairs)
    down = max(round(shape[0] * scale) for shape, scale in pairs)
    return _up(across, stride), _up(down, stride)


def _scale(width: int, height: int, size: tuple[int, int]) -> float:
    return min(size[0] / width, size[1] / height)


def _up(side: int, stride: int) -> int:
    return max(1, -(-side // stride)) * stride
