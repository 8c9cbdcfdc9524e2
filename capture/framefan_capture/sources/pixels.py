"""Converts pictures to `uint8[H,W,3]` BGR."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from framefan.errors import SourceError

if TYPE_CHECKING:
    from numpy.typing import NDArray

AS_IT_IS = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH
"""Rotate by EXIF; keep grey and 16 bits."""
_FULL_SCALE = {
    np.dtype(np.uint8): 1.0,
    np.dtype(np.uint16): 1 / 257,
    np.dtype(np.float16): 255.0,
    np.dtype(np.float32): 255.0,
    np.dtype(np.float64): 255.0,
}
"""The dtypes of pictures, and the factor to 0..255."""


def decoded(data: bytes, what: str) -> NDArray[np.uint8]:
    """Decode an image file's bytes to `uint8[H,W,3]` BGR, exactly as reading the file would.

    Raises SourceError: "corrupt", which names `what`, or "unsupported".
    """
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), AS_IT_IS)
    except (cv2.error, MemoryError):  # MemoryError: its header claims a huge size
        image = None
    if image is None:
        raise SourceError("corrupt", f"{what} is no image that OpenCV reads")
    return as_bgr(image)


def as_bgr(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Convert a picture to `uint8[H,W,3]` BGR: grey, with alpha, of 16 bits, or of floats up to 1.

    Raises SourceError("unsupported") for any other.
    """
    channels = 1 if image.ndim == 2 else image.shape[2] if image.ndim == 3 else 0
    if channels not in (1, 3, 4) or not image.size or image.dtype not in _FULL_SCALE:
        raise SourceError(
            "unsupported",
            f"a picture of the format {shown(image)}",
            "framefan takes uint8, uint16 and floats of 1, 3 or 4 channels",
        )
    if image.dtype != np.uint8:
        wide = image.astype(np.float32) if image.dtype == np.float16 else image
        image = cv2.convertScaleAbs(wide, alpha=_FULL_SCALE[image.dtype])
    if channels == 1:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    elif channels == 4:
        image = cv2.cvtColor(image, cv2.COLOR_BGRA2BGR)
    return np.asarray(image, np.uint8)


def shown(image: NDArray[Any]) -> str:
    """The format of an array for messages: `int64[480,640,3]`."""
    return f"{image.dtype}{list(image.shape)}".replace(" ", "")
