"""Scales pictures down to the camera's `max_size`.

The decoder can write directly into a slot only if the picture has the slot's size. A larger picture
is decoded into a buffer and scaled from there into the slot. So nothing is allocated per frame, and
slots are no larger than the scaled frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from framefan.settings.source_spec import fitted

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Shrink:
    """Chooses where to decode to, and writes the decoded picture into a slot."""

    def __init__(self, largest: tuple[int, int] | None) -> None:
        self._largest = largest
        self._buffer: NDArray[np.uint8] | None = None

    def destination(self, view: NDArray[np.uint8] | None) -> NDArray[np.uint8] | None:
        """The slot's view, or the buffer if the last picture was larger than `max_size`."""
        return view if self._buffer is None else self._buffer

    def size(self, image: NDArray[np.uint8]) -> tuple[int, int]:
        """Width and height that the picture will have in its slot."""
        height, width = image.shape[:2]
        size = fitted(width, height, self._largest)
        if size == (width, height):
            self._buffer = None
        elif self._buffer is None or self._buffer.shape != image.shape:
            self._buffer = np.empty_like(image)
        return size

    @staticmethod
    def write(image: NDArray[np.uint8], view: NDArray[np.uint8]) -> None:
        """Copy the picture into the slot, scaled if their sizes differ."""
        if image.shape == view.shape:
            view[:] = image
        else:
            size = view.shape[1], view.shape[0]
            cv2.resize(image, size, dst=view, interpolation=cv2.INTER_AREA)
