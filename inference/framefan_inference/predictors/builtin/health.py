"""`health`: detects a camera that is out of focus or dirty, too dark, too bright, or was moved.

- Sharpness is the variance of the Laplacian (Pech-Pacheco et al., "Diatom autofocusing in
  brightfield microscopy", ICPR 2000). A normal value depends on the scene, so each picture is
  compared with a slow average of its own camera.
- Brightness is the mean grey level.
- A camera has moved if the whole picture is shifted against a slowly learned reference. Phase
  correlation (Kuglin and Hines, 1975) finds the shift. It counts only if the picture, shifted back,
  agrees with the reference far better than unshifted. So things that move inside the picture do not
  count as a move of the camera.

All this is computed on a grey picture 160 pixels wide, with a memory for each camera. A problem is
reported when it lasts `LOOKS` frames in a row.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from framefan_inference.predictors.frame import Frame

WIDTH = 160
DARK, BRIGHT = 30.0, 225.0
"""Mean grey levels, of 0 to 255, below and above which a picture counts as dark or bright."""
BLURRED = 0.35
"""Below this share of the usual sharpness a picture counts as blurred."""
FLAT = 5.0
"""With a usual sharpness below this, the scene has too little detail to look blurred."""
SHIFTED = 0.02
"""A larger shift, as a share of the picture's width, counts as a move."""
ALIKE, BETTER = 0.5, 0.15
"""The least correlation of the picture, shifted back, with the reference, and by how much it must
exceed that of the unshifted picture."""
LOOKS = 5
_LEARNING = 0.02
_RELUCTANT = 0.002
"""The weight of a frame in the reference: without problems, and with some. So a camera that was
moved on purpose is accepted in its new view some minutes later."""


class Predictor:
    """One memory per camera, so a camera must stay with one worker."""

    stateful = True

    def __init__(self) -> None:
        self._views: dict[str, _View] = {}

    def predict(self, image: NDArray[np.uint8], frame: Frame) -> dict[str, Any]:
        """`sharpness`, `brightness` (0 to 255), `shift` x, y in pixels, and `problems` by name."""
        height, width = image.shape[:2]
        size = (WIDTH, max(8, round(height * WIDTH / width)))
        small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        grey = np.asarray(cv2.cvtColor(small, cv2.COLOR_BGR2GRAY), np.uint8)
        view = self._views.get(frame.camera)
        if view is None or view.shape != grey.shape:
            view = self._views[frame.camera] = _View(grey)
        return view.look(grey, width / WIDTH)


class _View:
    """The usual picture and sharpness of one camera."""

    def __init__(self, grey: NDArray[np.uint8]) -> None:
        self.shape = grey.shape
        self._reference = grey.astype(np.float32)
        self._sharpness = _sharpness(grey)
        self._window = cv2.createHanningWindow((grey.shape[1], grey.shape[0]), cv2.CV_32F)
        self._seen: Counter[str] = Counter()

    def look(self, grey: NDArray[np.uint8], scale: float) -> dict[str, Any]:
        sharpness, brightness = _sharpness(grey), float(grey.mean())
        shift = self._shift(grey)
        now = {
            "dark": brightness < DARK,
            "bright": brightness > BRIGHT,
            "blurred": self._sharpness > FLAT and sharpness < BLURRED * self._sharpness,
            "shifted": max(map(abs, shift)) > SHIFTED * WIDTH,
        }
        self._learn(grey, sharpness, _RELUCTANT if any(now.values()) else _LEARNING)
        for name, there in now.items():
            self._seen[name] = self._seen[name] + 1 if there else 0
        return {
            "sharpness": round(sharpness, 1),
            "brightness": round(brightness, 1),
            "shift": [round(value * scale, 1) for value in shift],
            "problems": [name for name in now if self._seen[name] >= LOOKS],
        }

    def _shift(self, grey: NDArray[np.uint8]) -> tuple[float, float]:
        """By how many pixels the whole picture has moved right and down; 0, 0: it has not."""
        (across, down), _ = cv2.phaseCorrelate(  # OpenCV 5 writes into what it is given
            self._reference.copy(), grey.astype(np.float32), self._window
        )
        moved = _agreement(self._reference, grey, round(across), round(down))
        if moved < max(ALIKE, BETTER + _agreement(self._reference, grey, 0, 0)):
            return 0.0, 0.0
        return across, down

    def _learn(self, grey: NDArray[np.uint8], sharpness: float, share: float) -> None:
        cv2.accumulateWeighted(grey, self._reference, share)
        self._sharpness += share * (sharpness - self._sharpness)


def _sharpness(grey: NDArray[np.uint8]) -> float:
    return float(cv2.Laplacian(grey, cv2.CV_64F).var())


def _agreement(
    reference: NDArray[np.float32], grey: NDArray[np.uint8], across: int, down: int
) -> float:
    """The correlation, -1 to 1, of the overlap when `grey` is shifted by `across` and `down`."""
    height, width = grey.shape
    if abs(across) > width // 2 or abs(down) > height // 2:
        return -1.0
    one = reference[max(0, -down) : height - max(0, down), max(0, -across) : width - max(0, across)]
    other = grey[max(0, down) : height - max(0, -down), max(0, across) : width - max(0, -across)]
    both = np.stack([one.ravel(), other.ravel()]).astype(np.float64)
    both -= both.mean(axis=1, keepdims=True)
    length = float(np.linalg.norm(both[0]) * np.linalg.norm(both[1]))
    return float(both[0] @ both[1]) / length if length else -1.0
