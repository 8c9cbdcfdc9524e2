"""Pictures of a frame for people: the worker encodes them from the slot that it still leases.

320, 640 and 1280 are widths. A wider frame is scaled down (averaged over areas, so that nothing
flickers); a narrower one keeps its size. `full` and `boxes` have the frame's own size; `boxes`
shows the detections in the forms and colours of the page.
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

    from framefan.ipc.records import Keypoint

_QUALITY, _FINE = 70, 90
"""JPEG quality, 0 to 100: for the scaled pictures, and for `full` and `boxes`."""
_TRIES = 4
_FONT, _DARK = cv2.FONT_HERSHEY_SIMPLEX, (24, 24, 24)
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
    """Draw each shape and then the labels, so that no shape crosses a label."""
    height, width = image.shape[:2]
    unit = max(width / 960, 0.5)
    for seen in found:
        _draw_shape(image, seen, unit)
    scale, thick = 0.5 * unit, max(1, round(unit))

    def measure(words: str) -> float:
        return cv2.getTextSize(words, _FONT, scale, thick)[0][0] + 4

    (_, up), below = cv2.getTextSize("#", _FONT, scale, thick)
    for plate in plates.placed(found, (width, height), up + below + 4, measure):
        x1, y1, x2, y2 = map(round, plate.box)
        cv2.rectangle(image, (x1, y1), (x2, y2), _DARK, cv2.FILLED)
        where, colour = (x1 + 2, y2 - below), _colour(plate.seen)
        cv2.putText(image, plate.words, where, _FONT, scale, colour, thick, cv2.LINE_AA)


def _draw_shape(image: NDArray[np.uint8], seen: Detection, unit: float) -> None:
    """Draw a box, an outline or a rotated box, and key points."""
    colour, thick = _colour(seen), max(2, round(2 * unit))
    if seen.mask is UNSET:
        x1, y1, x2, y2 = map(int, _pixels(image, seen.box))
        cv2.rectangle(image, (x1, y1), (x2, y2), colour, thick, cv2.LINE_AA)
    else:
        outline = _pixels(image, seen.mask)
        if seen.angle is UNSET:
            _fill(image, outline, colour)
        cv2.polylines(image, [outline], True, colour, thick, cv2.LINE_AA)
    if seen.keypoints is not UNSET:
        _draw_points(image, seen.keypoints, colour, unit)


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
