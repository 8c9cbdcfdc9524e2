"""Pictures of a frame for people: encoded in the worker, from the slot that is still under lease.

320, 640 and 1280 are widths: a wider frame is scaled down (pixels are averaged over areas, so
that nothing flickers), a narrower one is left as it is. `full` has the frame's own size, and
`boxes` too, with what was detected drawn on it, in the forms and colours of the page. Ids are those
that the predictor gave: the pool's tracker sees a result after its picture was made.
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

    from framefan.ipc.records import Keypoint

_QUALITY, _FINE = 70, 90
"""JPEG's 0 to 100: for what changes all the time, and for what is looked at alone."""
_TRIES = 4
_FONT, _DARK = cv2.FONT_HERSHEY_SIMPLEX, (24, 24, 24)
_MANY = 20
"""Above so many boxes only ids are written, as on the page: words would hide the picture."""
_FILL, _SURE = 0.3, 0.5
"""How much of its colour an outline is filled with; the least confidence of a drawn key point."""
_BONES = (
    (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8),
    (7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
)  # fmt: skip
"""Lines between the 17 key points of a person, in the order of COCO."""
_detections = msgspec.msgpack.Decoder(list[Detection])


def encode(
    image: NDArray[np.uint8], picture: str, detections: bytes | None, most_bytes: int
) -> bytes:
    """A JPEG of `image`, `uint8[height, width, 3]` BGR, which is only read; b"" if there is none.

    `detections`: a MessagePack list of Detection, to be drawn where `picture` is `boxes`.
    One that has more than `most_bytes`, so that the bus would not carry it, is made smaller.
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
    width = image.shape[1]
    unit = max(width / 960, 0.5)
    colour, thick = _colour(seen), max(2, round(2 * unit))
    x1, y1, x2, y2 = _pixels(image, seen.box)
    if seen.mask is UNSET:
        cv2.rectangle(image, (x1, y1), (x2, y2), colour, thick, cv2.LINE_AA)
    else:
        outline = _pixels(image, seen.mask)
        if seen.angle is UNSET:
            _fill(image, outline, colour)
        cv2.polylines(image, [outline], True, colour, thick, cv2.LINE_AA)
    if seen.keypoints is not UNSET:
        _draw_points(image, seen.keypoints, colour, unit)
    if text:
        _write(image, text, x1, y1, colour, unit)


def _pixels(image: NDArray[np.uint8], numbers: Any) -> NDArray[np.int32]:
    """Coordinates as whole numbers, none so far away that OpenCV cannot draw them."""
    far = 2 * max(image.shape[:2])
    return np.clip(np.asarray(numbers, np.float64), -far, far).astype(np.int32)


def _fill(image: NDArray[np.uint8], outline: NDArray[np.int32], colour: tuple[Any, ...]) -> None:
    left, top = np.maximum(outline.min(axis=0), 0)
    right, bottom = np.maximum(outline.max(axis=0) + 1, 0)
    part = image[top:bottom, left:right]
    if not part.size:
        return
    over = part.copy()
    cv2.fillPoly(over, [outline - np.array([left, top], np.int32)], colour)
    part[:] = cv2.addWeighted(over, _FILL, part, 1 - _FILL, 0)


def _draw_points(
    image: NDArray[np.uint8], points: list[Keypoint], colour: tuple[Any, ...], unit: float
) -> None:
    thick, size = max(2, round(2 * unit)), max(2, round(3 * unit))
    places = [tuple(map(int, place)) for place in _pixels(image, points)[:, :2]]
    sure = [confidence >= _SURE for *_, confidence in points]
    for one, other in _BONES if len(points) == 17 else ():
        if sure[one] and sure[other]:
            cv2.line(image, places[one], places[other], colour, thick, cv2.LINE_AA)
    for place, is_sure in zip(places, sure, strict=True):
        if is_sure:
            cv2.circle(image, place, size + 1, _DARK, cv2.FILLED, cv2.LINE_AA)
            cv2.circle(image, place, size, colour, cv2.FILLED, cv2.LINE_AA)


def _write(
    image: NDArray[np.uint8], text: str, x1: int, y1: int, colour: tuple[Any, ...], unit: float
) -> None:
    height, width = image.shape[:2]
    scale, thick = 0.5 * unit, max(1, round(unit))
    (across, up), below = cv2.getTextSize(text, _FONT, scale, thick)
    x = min(max(x1, 0), max(width - across - 4, 0))
    y = min(max(y1 - below - 2, up + 2), height - below)
    cv2.rectangle(image, (x, y - up - 2), (x + across + 4, y + below), _DARK, cv2.FILLED)
    cv2.putText(image, text, (x + 2, y), _FONT, scale, colour, thick, cv2.LINE_AA)


def _colour(seen: Detection) -> tuple[Any, ...]:
    """The page's light colour of this id, or of this label; BGR."""
    if seen.track_id is not UNSET:
        hue = seen.track_id * 137
    else:
        hue = 7
        for letter in seen.label:
            hue = (hue * 31 + ord(letter)) % 360
    red, green, blue = colorsys.hls_to_rgb(hue % 360 / 360, 0.68, 0.9)
    return tuple(round(255 * share) for share in (blue, green, red))
