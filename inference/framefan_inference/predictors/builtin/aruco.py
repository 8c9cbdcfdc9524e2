"""`aruco`: ArUco markers of 4x4 cells, each labelled with its number.

The method is Garrido-Jurado et al., "Automatic generation and detection of highly reliable fiducial
markers under occlusion", Pattern Recognition 47 (2014), as in OpenCV. The dictionary is
`DICT_4X4_250`, whose first 50 and 100 markers are those of `DICT_4X4_50` and `DICT_4X4_100`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2

from framefan.ipc.records import Detection
from framefan_inference.predictors.builtin.qr import around

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Predictor:
    def __init__(self) -> None:
        known = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_250)
        self._detector = cv2.aruco.ArucoDetector(known)

    def predict(self, image: NDArray[np.uint8]) -> list[Detection]:
        """A detection for each marker: labelled `aruco 7`, with the number as its class_id."""
        corners, numbers, _ = self._detector.detectMarkers(image)
        if not corners:  # then `numbers` is None
            return []
        return [
            Detection(f"aruco {number}", 1.0, around(points[0].tolist(), image.shape), int(number))
            for number, points in zip(numbers.ravel(), corners, strict=True)
        ]
