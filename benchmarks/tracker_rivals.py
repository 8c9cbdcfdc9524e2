"""Trackers behind one face, so that all get the very same detections.

ByteTrack and OC-SORT are those of Roboflow's `trackers`, which keeps them up to date; they are told
the time of each result. norfair is told how many periods have passed. Each keeps what it lost for
2 s, as framefan does. Nothing else is changed but thresholds of confidence: the detections were
chosen before, and every one of them is to have an id.
"""

from __future__ import annotations

import itertools
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.tracker_films import Film, Result

KEEP_S = 2.0
SURE = 0.5
"""ByteTrack begins no track with less, and joins less in a second round."""
LEAST = 0.25
"""The detections were chosen with this confidence."""


class Rival(Protocol):
    def update(self, result: Result) -> list[int | None]:
        """The id of each box of the result."""
        ...


class Framefan:
    def __init__(self, film: Film) -> None:
        from framefan_inference.tracking.tracker import Tracker

        self._tracker = Tracker(itertools.count(1))
        self._size = film.size

    def update(self, result: Result) -> list[int | None]:
        from framefan.ipc.records import Detection
        from framefan_inference.leases.schedule import Frame

        found = [
            Detection("thing", sure, tuple(box))
            for box, sure in zip(result.boxes.tolist(), result.confidences.tolist(), strict=True)
        ]
        frame = Frame(0, 0, 0, 0.0, result.time_s, *self._size, result.time_s)
        self._tracker.update(found, frame)
        return [each.track_id if isinstance(each.track_id, int) else None for each in found]


class Roboflow:
    """A tracker of the library `trackers`."""

    def __init__(self, kind: str, film: Film) -> None:
        import trackers

        certain = {"minimum_consecutive_frames": 1, "frame_rate": film.rate}
        certain["lost_track_buffer"] = round(KEEP_S * 30)
        certain["high_conf_det_threshold"] = LEAST
        if kind == "ByteTrackTracker":
            certain["track_activation_threshold"] = certain["high_conf_det_threshold"] = SURE
        self._tracker = getattr(trackers, kind)(**certain)

    def update(self, result: Result) -> list[int | None]:
        import supervision

        count = len(result.boxes)
        if not count:
            self._tracker.update(supervision.Detections.empty(), timestamp=result.time_s)
            return []
        found = supervision.Detections(
            xyxy=result.boxes,
            confidence=result.confidences,
            class_id=np.zeros(count, int),
            data={"place": np.arange(count)},
        )
        kept = self._tracker.update(found, timestamp=result.time_s)
        ids: list[int | None] = [None] * count
        for place, number in zip(kept.data.get("place", ()), kept.tracker_id, strict=True):
            ids[int(place)] = int(number) if number >= 0 else None
        return ids


class Norfair:
    def __init__(self, film: Film) -> None:
        import norfair

        self._norfair = norfair
        self._rate = film.rate
        self._tracker = norfair.Tracker(
            distance_function="iou",
            distance_threshold=0.8,
            initialization_delay=0,
            hit_counter_max=max(1, round(KEEP_S * film.rate)),
        )

    def update(self, result: Result) -> list[int | None]:
        found = [
            self._norfair.Detection(box.reshape(2, 2), data=place)
            for place, box in enumerate(result.boxes)
        ]
        ids: list[int | None] = [None] * len(found)
        for each in self._tracker.update(found):
            if each.last_detection in found:
                ids[each.last_detection.data] = each.id
        return ids


def rivals() -> tuple[dict[str, Callable[[Film], Any]], list[str]]:
    """Those that are installed, by name with version, framefan first; and what is missing."""
    there: dict[str, Callable[[Film], Any]] = {"framefan": Framefan}
    missing = []
    try:
        known = version("trackers")
        there[f"ByteTrack (trackers {known})"] = lambda film: Roboflow("ByteTrackTracker", film)
        there[f"OC-SORT (trackers {known})"] = lambda film: Roboflow("OCSORTTracker", film)
    except PackageNotFoundError:
        missing.append("trackers")
    try:
        there[f"norfair {version('norfair')}"] = Norfair
    except PackageNotFoundError:
        missing.append("norfair")
    return there, missing
