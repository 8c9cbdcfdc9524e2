"""Pictures of a frame for people: the worker encodes them from the slot that it still leases.

320, 640 and 1280 are widths. A wider frame is scaled down (averaged over areas, so that nothing
flickers); a narrower one keeps its size. `full` and `boxes` have the frame's own size; `boxes`
shows the detections in the colours of the page. Its ids are those of the predictor, because the
pool's tracker gets a result only after its picture was made.
"""

from __future__ import annotations

import colorsys
from typing import TYPE_CHECKING, Any

import cv2
import msgspec
import numpy as np
from msgspec import UNSET

from framefan.ipc.records import Detection

if TYPE_CHECKING:
    from numpy.typing import NDArray

_QUALITY, _FINE = 70, 90
"""JPEG quality, 0 to 100: for the scaled pictures, and for `full` and `boxes`."""
_TRIES = 4
_FONT, _DARK = cv2.FONT_HERSHEY_SIMPLEX, (24, 24, 24)
_MANY = 20
"""With more boxes only ids are written, as on the page: labels would hide the picture."""
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
        found = _detections.decode(detections) if detections else []
        for seen in found:
            _draw(image, seen, _words(seen, len(found) > _MANY))
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


def _words(seen: Detection, short: bool) -> str:
    track = "" if seen.track_id is UNSET else f"#{seen.track_id}"
    words = (track,) if short else (seen.label[:64], track, f"{seen.confidence:.2f}")
    return " ".join(filter(None, words)).encode("ascii", "replace").decode()


def _draw(image: NDArray[np.uint8], seen: Detection, text: str) -> None:
    height, width = image.shape[:2]
    unit = max(width / 960, 0.5)
    far = 2 * max(width, height)
    x1, y1, x2, y2 = (int(min(max(value, -far), far)) for value in seen.box)
    colour = _colour(seen)
    cv2.rectangle(image, (x1, y1), (x2, y2), colour, max(2, round(2 * unit)), cv2.LINE_AA)
    if not text:
        return
    scale, thick = 0.5 * unit, max(1, round(unit))
    (across, up), below = cv2.getTextSize(text, _FONT, scale, thick)
    x = min(max(x1, 0), max(width - across - 4, 0))
    y = min(max(y1 - below - 2, up + 2), height - below)
    cv2.rectangle(image, (x, y - up - 2), (x + across + 4, y + below), _DARK, cv2.FILLED)
    cv2.putText(image, text, (x + 2, y), _FONT, scale, colour, thick, cv2.LINE_AA)


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
