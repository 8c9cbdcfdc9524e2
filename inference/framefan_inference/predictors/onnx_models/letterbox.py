"""A frame fitted into a model's input: scaled, never stretched, in the middle of a grey canvas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np
from msgspec import Struct

if TYPE_CHECKING:
    from numpy.typing import NDArray

GREY = 114
"""What detectors of the YOLO family see around their pictures in training."""


class Fit(Struct, frozen=True):
    """Where the frame lies in the canvas."""

    scale: float
    left: int
    top: int

    def back(self, boxes: NDArray[np.float32], width: int, height: int) -> NDArray[np.float32]:
        """Boxes x1, y1, x2, y2 `[n, 4]` of the canvas in pixels of the frame, inside the frame."""
        origin = np.array([self.left, self.top, self.left, self.top], np.float32)
        there = (boxes - origin) / self.scale
        most = np.array([width, height, width, height], np.float32)
        return np.asarray(np.clip(there, 0, most), np.float32)


def fit(image: NDArray[np.uint8], size: tuple[int, int]) -> tuple[NDArray[np.uint8], Fit]:
    """The frame `uint8[H, W, 3]` on a canvas of `size` width, height, and where on it."""
    height, width = image.shape[:2]
    scale = min(size[0] / width, size[1] / height)
    inner = max(1, round(width * scale)), max(1, round(height * scale))
    left, top = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    canvas = np.full((size[1], size[0], 3), GREY, np.uint8)
    part = canvas[top : top + inner[1], left : left + inner[0]]
    cv2.resize(image, inner, dst=part, interpolation=cv2.INTER_LINEAR)
    return canvas, Fit(scale, left, top)
