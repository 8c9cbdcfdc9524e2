"""Trackers behind one face, so that all get the very same detections.

ByteTrack and OC-SORT are those of Roboflow's `trackers`, which keeps them up to date; they are told
the time of each result. norfair is told how many periods have passed. Each keeps what it lost for
2 s, as framefan does. Nothing else is changed but thresholds of confidence, since the detections
were chosen before.

norfair is in no extra: its metadata ask for numpy < 2, and the OpenCV that framefan needs for
numpy >= 2. It runs with numpy 2 all the same.
"""

from __future__ import annotations

import itertools
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.tracker_films import Film, Result

MISSING = {
    "trackers": "ByteTrack and OC-SORT are left out, since trackers is not installed: "
    "`make bench` does it, or pip install 'trackers>=2.6,<2.7'",
    "norfair": "norfair is left out, since it is not installed: pip install --no-deps "
    "norfair==2.3.0 filterpy==1.4.5",
    "scipy": "the assignment of least total cost is left out, since scipy is not installed",
}
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
        from framefan_inference.leases.camera_queue import Frame

        found = [
            Detection("thing", sure, tuple(box))
            for box, sure in zip(result.boxes.tolist(), result.confidences.tolist(), strict=True)
        ]
        frame = Frame(0, 0, 0, 0.0, result.time_s, *self._size, result.time_s)
        self._tracker.update(found, frame)
        return [each.track_id if isinstance(each.track_id, int) else None for each in found]


class Assigned(Framefan):
    """framefan's tracker with the assignment of least total cost."""

    def update(self, result: Result) -> list[int | None]:
        from framefan_inference.tracking import matching

        ours, matching.best_first = matching.best_first, _least_total
        try:
            return super().update(result)
        finally:
            matching.best_first = ours


def _least_total(cost: Any, rows: Any, columns: Any) -> list[tuple[int, int]]:
    from scipy.optimize import linear_sum_assignment

    if not len(rows):
        return []
    whole = np.full((rows.max() + 1, columns.max() + 1), 1e4)
    whole[rows, columns] = cost
    pairs = zip(*(each.tolist() for each in linear_sum_assignment(whole)), strict=True)
    return [(i, j) for i, j in pairs if whole[i, j] < 1e4]


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
        version("scipy")
        there["framefan, least total cost"] = Assigned
    except PackageNotFoundError:
        missing.append("scipy")
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
