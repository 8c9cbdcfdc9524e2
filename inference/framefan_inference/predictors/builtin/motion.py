"""`motion`: boxes around moving regions, from a background model per camera.

The method is MOG2: Zivkovic and van der Heijden, "Efficient adaptive density estimation per image
pixel for the task of background subtraction", Pattern Recognition Letters 27 (2006), as in OpenCV.
It runs on a scaled-down picture: motion needs no detail, and the cost falls with the area.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2

from framefan.ipc.records import Detection

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from framefan_inference.predictors.frame import Frame

WIDTH = 480
"""The width in pixels of the picture that is searched for motion."""
MIN_AREA = 1 / 2500
"""A moving region smaller than this share of the picture is noise."""


class Predictor:
    """One background model per camera, so a camera must stay with one worker."""

    stateful = True

    def __init__(self) -> None:
        self._models: dict[str, Any] = {}
        self._kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (5, 5))

    def predict(self, image: NDArray[np.uint8], frame: Frame) -> list[Detection]:
        """Detections labelled `motion`; confidence is the share of the box that moved."""
        height, width = image.shape[:2]
        scale = min(1.0, WIDTH / width)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA) if scale < 1 else image
        mask = self._model(frame.camera, size).apply(small)
        _, mask = cv2.threshold(mask, 200, 255, cv2.THRESH_BINARY)  # 127 marks shadows
        mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, self._kernel)
        mask = cv2.morphologyEx(mask, cv2.MORPH_CLOSE, self._kernel, iterations=2)
        return _boxes(mask, width / size[0], height / size[1])

    def _model(self, camera: str, size: tuple[int, int]) -> Any:
        """The camera's background model; a new one when the picture's size has changed."""
        key = f"{camera} {size}"
        if key not in self._models:
            for old in [each for each in self._models if each.startswith(f"{camera} ")]:
                del self._models[old]
            self._models[key] = cv2.createBackgroundSubtractorMOG2(
                history=150, varThreshold=25, detectShadows=True
            )
        return self._models[key]


def _boxes(mask: NDArray[Any], across: float, down: float) -> list[Detection]:
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask)
    least = mask.size * MIN_AREA
    found = []
    for x, y, w, h, area in stats[1:count].tolist():
        if area >= least:
            box = (x * across, y * down, (x + w) * across, (y + h) * down)
            found.append(Detection("motion", min(1.0, area / (w * h)), box))
    return found
