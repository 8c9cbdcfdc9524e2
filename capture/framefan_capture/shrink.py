"""Pictures larger than the camera's `max_size` are scaled down to fit, before they are a frame.

The decoder can write straight into a slot only what has the slot's size. So a larger picture is
decoded into a buffer of our own, and scaled from there into the slot: nothing is allocated for each
frame, and slots are as small as what is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from framefan.settings.source_spec import fitted

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Shrink:
    """Where to decode to, and how what was decoded gets into a slot."""

    def __init__(self, largest: tuple[int, int] | None) -> None:
        self._largest = largest
        self._buffer: NDArray[np.uint8] | None = None

    def destination(self, view: NDArray[np.uint8] | None) -> NDArray[np.uint8] | None:
        """The slot's view, or our buffer where the last picture was too large for any slot."""
        return view if self._buffer is None else self._buffer

    def size(self, image: NDArray[np.uint8]) -> tuple[int, int]:
        """Width and height the picture is to have in its slot."""
        height, width = image.shape[:2]
        size = fitted(width, height, self._largest)
        if size == (width, height):
            self._buffer = None
        elif self._buffer is None or self._buffer.shape != image.shape:
            self._buffer = np.empty_like(image)
        return size

    @staticmethod
    def write(image: NDArray[np.uint8], view: NDArray[np.uint8]) -> None:
        """Into the slot, scaled where their sizes differ."""
        if image.shape == view.shape:
            view[:] = image
        else:
            size = view.shape[1], view.shape[0]
            cv2.resize(image, size, dst=view, interpolation=cv2.INTER_AREA)
