"""`qr`: QR codes, each labelled with its text.

The method is OpenCV's `QRCodeDetectorAruco`, which finds the three corner patterns as it finds
ArUco markers. It is faster than `QRCodeDetector` and finds several codes at once.
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
"""Most characters of a label: a code may hold thousands, and anyone can show one to a camera."""
UNREAD = "qr"
"""The label of a code that was found but not decoded."""


class Predictor:
    def __init__(self) -> None:
        self._detector = cv2.QRCodeDetectorAruco()

    def predict(self, image: NDArray[np.uint8]) -> list[Detection]:
        """A detection for each code: confidence 1 if it was decoded, 0.5 if only found."""
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
    """The box around points (x, y), clipped to a picture of `shape` (height, width, ...)."""
    height, width = shape[:2]
    across, down = zip(*points, strict=True)
    return (
        max(0.0, min(across)),
        max(0.0, min(down)),
        min(float(width), max(across)),
        min(float(height), max(down)),
    )
