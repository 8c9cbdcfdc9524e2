"""Adds track ids to the results of all cameras as they are published.

Each camera has its own tracker and its own numbers, so that its ids do not depend on when results
of other cameras arrive. With three cameras the first has 1, 4, 7, the second 2, 5, 8, and so on.
Cameras that a reload adds share much higher numbers. So no id is used twice in an epoch.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import msgspec
from msgspec import UNSET

from framefan.ipc.records import Detection
from framefan_inference.tracking.tracker import Tracker

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from framefan.ipc.outcomes import WorkerOutcome
    from framefan_inference.tracking.tracker import Picture

_LATER = 1_000_000_000
"""The first id of cameras that a reload adds. The others reach it after a year at 30 ids/s."""


class TrackIds:
    """The trackers of a pool's cameras."""

    def __init__(self, cameras: Sequence[str]) -> None:
        """`cameras`: the cameras at the start of the run, in order."""
        step = len(cameras)
        self._ids: dict[str, Iterator[int]] = {
            name: itertools.count(number, step) for number, name in enumerate(cameras, 1)
        }
        self._later = itertools.count(_LATER)
        self._trackers: dict[str, Tracker] = {}
        self._own: dict[str, str] = {}
        """Cameras whose predictor sets ids itself, and the name of its model."""
        self._decoder = msgspec.msgpack.Decoder(list[Detection])
        self._encoder = msgspec.msgpack.Encoder()

    def outcome(
        self, camera: str, model: str, picture: Picture, sent: WorkerOutcome | None
    ) -> WorkerOutcome | None:
        """Returns the outcome of a seq, with ids if it holds detections."""
        if sent is None or sent.kind != "detections":
            return sent
        payload = self.payload(camera, model, picture, sent.payload)
        return msgspec.structs.replace(sent, payload=payload)

    def payload(
        self, camera: str, model: str, picture: Picture, payload: msgspec.Raw
    ) -> msgspec.Raw:
        """Returns the payload with ids; unchanged if it holds no detections or has ids already.

        A predictor that sets one id must set all of them: two numberings in one feed would collide.
        """
        if self._own.get(camera) == model:
            return payload
        try:
            detections = self._decoder.decode(payload)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return payload
        if any(each.track_id is not UNSET for each in detections):
            self.forget(camera)
            self._own[camera] = model
            return payload
        self._own.pop(camera, None)
        tracker = self._trackers.get(camera)
        if tracker is None:
            ids = self._ids.get(camera, self._later)
            tracker = self._trackers[camera] = Tracker(ids)
        tracker.update(detections, picture)
        return msgspec.Raw(self._encoder.encode(detections))

    def forget(self, camera: str) -> None:
        """The camera has left; if it is added again, it gets new ids."""
        self._trackers.pop(camera, None)
        self._own.pop(camera, None)
