"""Where the labels of boxes stand in a picture, as on the page (page/draw.js). No I/O.

1. A label stands above its box, below it, beside it or inside it: at the first of these places that
   lies in the picture, covers no other label and hides no box.
2. If each place hides something, the one that hides least is taken, up to a quarter of a box.
3. A label without a place is shortened; if that has none either, it is left out.
4. The largest box is placed first, so that labels rarely jump.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from msgspec import UNSET

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from framefan.ipc.records import Detection

MANY = 20
"""With more boxes than this only ids are written: words would hide the picture."""
_MOST = 200
"""Labels for so many of the largest boxes at most: each is compared with every box."""
_HIDDEN = 0.25
_LONGEST = 64

Box = tuple[float, float, float, float]


class Plate(NamedTuple):
    """A label of a detection: its words and its place, x1, y1, x2, y2 in pixels."""

    seen: Detection
    words: str
    box: Box


def placed(
    found: Sequence[Detection], size: tuple[int, int], tall: float, measure: Callable[[str], float]
) -> list[Plate]:
    """The labels of `found` in a picture of `size`, width and height in pixels.

    `tall`: the height of a label; `measure` returns its width. Both are in pixels.
    """
    boxes = np.array([each.box for each in found], np.float64).reshape(-1, 4)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    taken = np.empty((0, 4))
    plates: list[Plate] = []
    for number in np.argsort(-areas, kind="stable")[:_MOST]:
        seen = found[number]
        for words in _words(seen, len(found) > MANY):
            places = _places(boxes[number], measure(words), tall, size)
            box = _best(places, boxes, areas, taken)
            if box is not None:
                taken = np.vstack([taken, box])
                x1, y1, x2, y2 = map(float, box)
                plates.append(Plate(seen, words, (x1, y1, x2, y2)))
                break
    return plates


def _words(seen: Detection, many: bool) -> list[str]:
    track = "" if seen.track_id is UNSET else f"#{seen.track_id}"
    if many:
        return [track] if track else []
    label = seen.label[:_LONGEST]
    full = " ".join(filter(None, (label, track, f"{seen.confidence:.2f}")))
    return [each.encode("ascii", "replace").decode() for each in (full, track or label)]


def _places(
    box: NDArray[np.float64], wide: float, tall: float, size: tuple[int, int]
) -> Iterator[NDArray[np.float64]]:
    x1, y1, x2, y2 = box
    corners = (
        (x1, y1 - tall), (x2 - wide, y1 - tall), (x1, y2), (x2 - wide, y2),
        (x2, y1), (x1 - wide, y1), (x1, y1),
    )  # fmt: skip
    for x, y in corners:
        left = min(max(x, 0), size[0] - wide)
        if left >= 0 and 0 <= y <= size[1] - tall:
            yield np.array([left, y, left + wide, y + tall])


def _best(
    places: Iterator[NDArray[np.float64]],
    boxes: NDArray[np.float64],
    areas: NDArray[np.float64],
    taken: NDArray[np.float64],
) -> NDArray[np.float64] | None:
    best, least = None, _HIDDEN
    for place in places:
        if _common(taken, place).any():
            continue
        hides = float((_common(boxes, place) / np.maximum(areas, 1)).max())
        if hides == 0:
            return place
        if hides < least:
            best, least = place, hides
    return best


def _common(boxes: NDArray[np.float64], place: NDArray[np.float64]) -> NDArray[np.float64]:
    """The area that each box shares with the place."""
    sides = np.minimum(boxes[:, 2:], place[2:]) - np.maximum(boxes[:, :2], place[:2])
    return np.asarray(sides.clip(0).prod(axis=1), np.float64)
