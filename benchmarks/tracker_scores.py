"""How good tracks are: against the truth, or by sight where there is none."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.tracker_films import FALSE, Film, Result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

Ids = list[list[int | None]]
"""For each result the id of each of its boxes."""


@dataclass(frozen=True)
class Score:
    ids: int
    things: int | None
    switches: int
    """Times an id went over to another thing; by sight: a box that goes on alone changed its id."""
    fragments: int
    """Times a thing got an id that nobody had; by sight: a track ends, and one begins beside it."""
    leaps: int
    """Times an id was found farther away than any thing can be in that time."""
    with_id: float
    """The share of the boxes that have one, of those that show a thing."""

    @staticmethod
    def total(scores: Sequence[Score]) -> Score:
        """Of several films."""
        things = [each.things for each in scores if each.things is not None]
        return Score(
            sum(each.ids for each in scores),
            sum(things) if things else None,
            sum(each.switches for each in scores),
            sum(each.fragments for each in scores),
            sum(each.leaps for each in scores),
            sum(each.with_id for each in scores) / len(scores),
        )

    def __str__(self) -> str:
        of = "" if self.things is None else f" for {self.things} things"
        return (
            f"{self.ids} ids{of}, {self.switches} switches, {self.fragments} fragments, "
            f"{self.leaps} leaps; {self.with_id:.0%} of boxes with an id"
        )


def judge(film: Film, ids: Ids) -> Score:
    return _against_truth(film, ids) if film.results[0].things else _by_sight(film, ids)


def _against_truth(film: Film, ids: Ids) -> Score:
    owner: dict[int, int] = {}
    last: dict[int, int] = {}
    switches = fragments = shown = with_id = 0
    for result, numbers in zip(film.results, ids, strict=True):
        for thing, number in zip(result.things, numbers, strict=True):
            shown += thing != FALSE
            if number is None or thing == FALSE:
                continue
            with_id += 1
            switches += owner.get(number, thing) != thing
            fragments += number not in owner and thing in last
            owner[number] = last[thing] = thing
            last[thing] = number
    things = {each for result in film.results for each in result.things} - {FALSE}
    return Score(
        len({each for numbers in ids for each in numbers} - {None}), len(things), switches,
        fragments, _leaps(film, ids), with_id / shown,
    )  # fmt: skip


def _by_sight(film: Film, ids: Ids) -> Score:
    switches = sum(
        _alone_and_changed(*pair)
        for pair in itertools.pairwise(zip(film.results, ids, strict=True))
    )
    numbers = [each for result in ids for each in result]
    known = set(numbers) - {None}
    with_id = sum(each is not None for each in numbers) / max(1, len(numbers))
    return Score(len(known), None, switches, _broken(film, ids), _leaps(film, ids), with_id)


def _alone_and_changed(
    one: tuple[Result, list[int | None]], other: tuple[Result, list[int | None]]
) -> int:
    """Boxes that overlap by more than half, with nothing else near, and have different ids."""
    if not len(one[0].boxes) or not len(other[0].boxes):
        return 0
    overlap = iou(one[0].boxes, other[0].boxes)
    best = overlap.argmax(1)
    changed = 0
    for i, j in enumerate(best):
        crowd = (overlap[i] >= 0.1).sum() + (overlap[:, j] >= 0.1).sum()
        before, after = one[1][i], other[1][j]
        known = before is not None and after is not None
        changed += bool(overlap[i, j] > 0.5 and crowd == 2 and known and before != after)
    return changed


def _paths(film: Film, ids: Ids) -> dict[int, list[tuple[float, NDArray[np.float64]]]]:
    paths: dict[int, list[tuple[float, NDArray[np.float64]]]] = defaultdict(list)
    for result, numbers in zip(film.results, ids, strict=True):
        for box, number in zip(result.boxes, numbers, strict=True):
            if number is not None:
                paths[number].append((result.time_s, box))
    return paths


def _leaps(film: Film, ids: Ids) -> int:
    return sum(
        _apart(a, b) > max(_length(a), _length(b)) * (0.5 + film.fastest * (later - earlier))
        for path in _paths(film, ids).values()
        for (earlier, a), (later, b) in itertools.pairwise(path)
    )


def _broken(film: Film, ids: Ids) -> int:
    """Tracks that end away from the edge, and another begins near there within 2 s."""
    paths = _paths(film, ids)
    width, height = film.size
    end_s = film.results[-1].time_s - 1 / film.rate
    broken = 0
    for number, path in paths.items():
        time_s, box = path[-1]
        x, y = _centre(box)
        if min(x, width - x, y, height - y) < 25 or time_s >= end_s:
            continue
        broken += any(
            other != number
            and 0 < began[0][0] - time_s <= 2
            and _apart(box, began[0][1]) < _length(box) * (0.5 + 0.3 * (began[0][0] - time_s))
            for other, began in paths.items()
        )
    return broken


def iou(one: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:], other[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(2)
    areas = [(each[:, 2:] - each[:, :2]).prod(1) for each in (one, other)]
    return np.asarray(both / np.maximum(areas[0][:, None] + areas[1] - both, 1e-9))


def _centre(box: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((box[:2] + box[2:]) / 2)


def _apart(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    return float(np.hypot(*(_centre(one) - _centre(other))))


def _length(box: NDArray[np.float64]) -> float:
    """Of the longer side."""
    return float((box[2:] - box[:2]).max())
