"""Pictures of a frame for people: the worker encodes them from the slot that it still leases.

320, 640 and 1280 are widths. A wider frame is scaled down (averaged over areas, so that nothing
flickers); a narrower one keeps its size. `full` and `boxes` have the frame's own size; `boxes`
shows the detections in the colours of the page.
"""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING, Any

import cv2
import msgspec
import numpy as np
from msgspec import UNSET

from framefan.ipc.records import Detection
from framefan_inference.worker import plates

if TYPE_CHECKING:
    from numpy.typing import NDArray

_QUALITY, _FINE = 70, 90
"""JPEG quality, 0 to 100: for the scaled pictures, and for `full` and `boxes`."""
_TRIES = 4
_FONT, _DARK = cv2.FONT_HERSHEY_SIMPLEX, (24, 24, 24)
_detections = msgspec.msgpack.Decoder(list[Detection])


def encode(
    image: NDArray[np.uint8], picture: str, detections: bytes | None, most_bytes: int
) -> bytes:
    """Encode `image`, `uint8[height, width, 3]` BGR, as JPEG; b"" if that fails.

    `image` is only read. `detections`: a MessagePack list of Detection, drawn if `picture` is
    `boxes`. A JPEG of more than `most_bytes`, the bus's limit, is encoded again, lower and smaller.
    """
    if picture == "boxes":
        image = image.copy()
        _draw(image, _detections.decode(detections) if detections else [])
    elif picture != "full":
        image = _scaled(image, int(picture))
    quality = _QUALITY if picture.isdecimal() else _FINE
    for _ in range(_TRIES):
        made, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
        if made and data.size <= most_bytes:
            return data.tobytes()
        quality = _QUALITY
        image = _scaled(image, max(image.shape[1] // 2, 1))
    return b""


def _scaled(image: NDArray[np.uint8], width: int) -> NDArray[np.uint8]:
    height, whole = image.shape[:2]
    if whole <= width:
        return image
    size = (width, max(1, round(height * width / whole)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)


def _draw(image: NDArray[np.uint8], found: list[Detection]) -> None:
    """Draw each box and then the labels, so that no box crosses a label."""
    height, width = image.shape[:2]
    unit = max(width / 960, 0.5)
    far = 2 * max(width, height)
    for seen in found:
        x1, y1, x2, y2 = (int(min(max(value, -far), far)) for value in seen.box)
        thick = max(2, round(2 * unit))
        cv2.rectangle(image, (x1, y1), (x2, y2), _colour(seen), thick, cv2.LINE_AA)
    scale, thick = 0.5 * unit, max(1, round(unit))

    def measure(words: str) -> float:
        return cv2.getTextSize(words, _FONT, scale, thick)[0][0] + 4

    (_, up), below = cv2.getTextSize("#", _FONT, scale, thick)
    for plate in plates.placed(found, (width, height), up + below + 4, measure):
        x1, y1, x2, y2 = map(round, plate.box)
        cv2.rectangle(image, (x1, y1), (x2, y2), _DARK, cv2.FILLED)
        where, colour = (x1 + 2, y2 - below), _colour(plate.seen)
        cv2.putText(image, plate.words, where, _FONT, scale, colour, thick, cv2.LINE_AA)


def _colour(seen: Detection) -> tuple[Any, ...]:
    """The page's light colour for this track id, or for this label; BGR."""
    if seen.track_id is not UNSET:
        hue = seen.track_id * 137
    else:
        hue = 7
        for letter in seen.label:
            hue = (hue * 31 + ord(letter)) % 360
    red, green, blue = colorsys.hls_to_rgb(hue % 360 / 360, 0.68, 0.9)
    return tuple(round(255 * share) for share in (blue, green, red))
