"""Pictures and detections for the tracker's tests."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, NamedTuple

from framefan.ipc.records import Detection
from framefan_inference.tracking.tracker import Tracker

if TYPE_CHECKING:
    from collections.abc import Iterable


class Stamps(NamedTuple):
    """All that a tracker is told of a picture."""

    ts: float
    pts: float | None = None
    width: int = 1280
    height: int = 720


def new_tracker() -> Tracker:
    return Tracker(itertools.count(1))


def at(x: float, y: float = 100.0, label: str = "a", side: float = 40.0) -> Detection:
    return Detection(label, 0.5, (x, y, x + side, y + side))


def ids_of(tracker: Tracker, found: list[Detection], picture: Stamps) -> list[Any]:
    tracker.update(found, picture)
    return [each.track_id for each in found]


def play(results: Iterable[tuple[Stamps, list[Detection]]]) -> list[list[Any]]:
    """The ids that a new tracker gives."""
    tracker = new_tracker()
    return [ids_of(tracker, found, picture) for picture, found in results]
