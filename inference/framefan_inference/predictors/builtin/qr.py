"""`qr`: QR codes, each labelled with the text in it.

The method is OpenCV's `QRCodeDetectorAruco`, which finds the three corner patterns the way ArUco
markers are found: faster than `QRCodeDetector`, and it sees several codes at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2

from framefan.ipc.records import Detection

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray

LONGEST = 256
"""Characters of a label: a code may hold thousands, and anybody may hang one up."""
UNREAD = "qr"
"""The label of a code that was found and could not be read."""


class Predictor:
    def __init__(self) -> None:
        self._detector = cv2.QRCodeDetectorAruco()

    def predict(self, image: NDArray[np.uint8]) -> list[Detection]:
        """A detection for each code: confidence 1 when it was read, 0.5 when only found."""
        found, texts, corners, _ = self._detector.detectAndDecodeMulti(image)
        if not found:
            return []
        pairs = zip(texts, corners.tolist(), strict=True)
        return [_detection(text, points, image.shape) for text, points in pairs]


def _detection(
    text: str, points: Sequence[tuple[float, float]], shape: tuple[int, ...]
) -> Detection:
    return Detection(text[:LONGEST] or UNREAD, 1.0 if text else 0.5, around(points, shape))


def around(
    points: Sequence[tuple[float, float]], shape: tuple[int, ...]
) -> tuple[float, float, float, float]:
    """The box around corner points x, y, inside a picture of `shape` (height, width, ...)."""
    height, width = shape[:2]
    across, down = zip(*points, strict=True)
    return (
        max(0.0, min(across)),
        max(0.0, min(down)),
        min(float(width), max(across)),
        min(float(height), max(down)),
    )
