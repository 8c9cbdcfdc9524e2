"""A predictor of one's own, in the smallest form.

    make run PREDICTOR=examples/brightness.py:predict

Whatever JSON can say may be returned; clients find it under "result".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def predict(image: NDArray[np.uint8]) -> dict[str, float]:
    """`image` is uint8[height, width, 3] in BGR order, read-only, valid during the call."""
    return {"brightness": round(float(image.mean()) / 255, 3)}
