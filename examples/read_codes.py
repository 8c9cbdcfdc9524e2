"""A chain: a model finds the codes in a picture, and a second stage reads each of them.

    make run PREDICTOR=examples/read_codes.py:codes

The label of a QR code becomes its text. The other detections stay as they are.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from framefan.predictors import chain

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from framefan.records import Detection

MODEL = Path(__file__).parent / "shapes" / "shapes.onnx"


class ReadCodes:
    def setup(self) -> None:  # once in each worker
        self.reader = cv2.QRCodeDetectorAruco()

    def __call__(self, crops: list[NDArray], detections: list[Detection]) -> list[str]:
        """One label for each crop, which is uint8[height, width, 3] in BGR order."""
        found = zip(crops, detections, strict=True)
        return [self.read(crop) or detection.label for crop, detection in found]

    def read(self, crop: NDArray) -> str:
        text, _, _ = self.reader.detectAndDecode(crop)
        return text


codes = chain(f"onnx:{MODEL}", ReadCodes, labels=["qr"], margin=0.2)
