"""Detections to track: of the demo scene with its exact truth, and of real people.

`demo` plays several demo scenes over each other, so that shapes cross, and spoils what a perfect
detector would give, by a seeded generator:

- Each side of a box is moved by a normal error of 3 % of the box.
- Of two shapes that overlap by more than half of the smaller one, the one behind is not seen. Nor
  is any shape behind one of two pillars, which stand still.
- One sighting in twenty drops out. Once in ten seconds a shape drops out for up to 1.5 s.
- False boxes appear: one in every second result, at random places, with a low confidence.

All have one label: a tracker that told the kinds apart would have too easy a task.

`people` is what yolov3-tiny saw in vtest.avi of OpenCV: 79 s of a street, where nobody wrote down
who is who.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

PEOPLE = Path(__file__).parent / "vtest_people.npz"
FALSE = -1
_SHAPES = 4
_JITTER = 0.03
_DROPPED = 0.05
_OUTAGE_EVERY_S, _LONGEST_OUTAGE_S = 10.0, 1.5
_HIDDEN = 0.5
_PILLARS = (0.3, 0.7)
_PILLAR = 0.04
"""Where pillars stand, and how wide they are, as shares of a tile's width."""


@dataclass(frozen=True)
class Result:
    """What one picture gave. `boxes` is float64[N, 4] in pixels, `confidences` float64[N]."""

    time_s: float
    boxes: NDArray[np.float64]
    confidences: NDArray[np.float64]
    things: tuple[int, ...] = ()
    """Which thing each box shows, or FALSE; empty where nobody knows."""


@dataclass(frozen=True)
class Film:
    name: str
    size: tuple[int, int]
    rate: float
    """Results a second."""
    fastest: float
    """What a thing can do, in lengths of its longer side a second."""
    results: tuple[Result, ...]


def demo(
    name: str, rate: float, step: int, *, speed: float = 1.0, count: int = 16, seconds: float = 40,
    seed: int = 1,
) -> Film:  # fmt: skip
    """`count` shapes, eight in each tile of 640x360; every `step`-th frame is a result.

    `speed` 1 is the demo scene's own: the shapes cover 3.75 of their lengths a second.
    """
    chance = np.random.default_rng(seed)
    boxes, size = _truth(count, round(rate * seconds), step, seed)
    length, outages = len(boxes), _outages(chance, len(boxes), count, rate)
    results = []
    for n in range(length):
        seen = _visible(boxes[n]) & ~outages[n] & (chance.random(count) > _DROPPED)
        things = np.flatnonzero(seen)
        sides = boxes[n][things, 2:] - boxes[n][things, :2]
        spoilt = boxes[n][things] + chance.normal(0, _JITTER, (len(things), 4)) * np.tile(sides, 2)
        sure = chance.uniform(0.6, 0.95, len(things))
        false, doubt = _false(chance, size)
        order = chance.permutation(len(things) + len(false))
        results.append(
            Result(
                n / rate,
                np.concatenate((spoilt, false))[order],
                np.concatenate((sure, doubt))[order],
                tuple(np.append(things, [FALSE] * len(false))[order].astype(int).tolist()),
            )
        )
    return Film(name, size, rate, 3.75 * speed * 1.1, tuple(results))


def people(step: int = 1) -> Film:
    """Every `step`-th of the 795 pictures."""
    with np.load(PEOPLE) as file:
        counts, rows, fps = file["counts"], file["rows"].astype(float), float(file["fps"])
    parts = np.split(rows, np.cumsum(counts)[:-1])[::step]
    rate = fps / step
    results = tuple(
        Result(n / rate, part[:, :4] / 2, part[:, 4] / 100) for n, part in enumerate(parts)
    )
    return Film(f"people, {rate:.1f} results a second", (768, 576), rate, 0.9, results)


@cache
def _scene(seed: int) -> Any:
    from framefan_capture.sources.scene import Scene

    return Scene(640, 360, seed)


def _truth(
    count: int, length: int, step: int, seed: int
) -> tuple[NDArray[np.float64], tuple[int, int]]:
    """float64[results, things, 4], and the size of the picture that holds all tiles."""
    columns = max(1, round(np.sqrt(count / 8)))
    shape = np.zeros((length, count, 4))
    for first in range(0, count, _SHAPES):
        number = first // _SHAPES
        row, column = divmod(number // 2, columns)
        scene = _scene(1000 * seed + number)
        place = np.tile((640.0 * column, 360.0 * row), 2)
        for n in range(length):
            part = [each.box for each in scene.truth(n * step) if each.moving]
            part = part[: count - first]
            shape[n, first : first + len(part)] = np.array(part) + place
    rows = -(-count // (8 * columns))
    return shape, (640 * columns, 360 * rows)


def _visible(boxes: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Later shapes stand before earlier ones, and pillars before all."""
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(2)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    hidden = np.triu(both > _HIDDEN * np.minimum(area[:, None], area), 1).any(1)
    across = (boxes[:, 0] + boxes[:, 2]) / 2 / 640 % 1
    for pillar in _PILLARS:
        hidden |= np.abs(across - pillar) < _PILLAR / 2
    return np.asarray(~hidden)


def _outages(
    chance: np.random.Generator, length: int, count: int, rate: float
) -> NDArray[np.bool_]:
    out = np.zeros((length, count), bool)
    begins = chance.random((length, count)) < 1 / (_OUTAGE_EVERY_S * rate)
    for n, thing in np.argwhere(begins):
        out[n : n + round(chance.uniform(0, _LONGEST_OUTAGE_S) * rate), thing] = True
    return out


def _false(
    chance: np.random.Generator, size: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    count = chance.binomial(1, 0.5)
    corner = chance.random((count, 2)) * (size[0] - 60, size[1] - 60)
    boxes = np.concatenate((corner, corner + chance.uniform(20, 60, (count, 2))), 1)
    return boxes, chance.uniform(0.25, 0.5, count)
