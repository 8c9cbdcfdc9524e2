"""Track ids in the results of all cameras, as they leave.

A camera has a tracker of its own, and numbers of its own, so that its ids do not depend on when
the others' results come: of three cameras the first has 1, 4, 7, the second 2, 5, 8, and so on.
Those that join a run later share numbers far above. So no id is used twice in an epoch.
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

    from framefan.ipc.messages import WorkerOutcome
    from framefan_inference.tracking.tracker import Picture

_LATER = 1_000_000_000
"""The first id of cameras that join later. Nobody counts as far: it takes 30 ids/s for a year."""


class TrackIds:
    """The trackers of a pool's cameras."""

    def __init__(self, cameras: Sequence[str]) -> None:
        """`cameras` are those that the run begins with, in their order."""
        step = len(cameras)
        self._ids: dict[str, Iterator[int]] = {
            name: itertools.count(number, step) for number, name in enumerate(cameras, 1)
        }
        self._later = itertools.count(_LATER)
        self._trackers: dict[str, Tracker] = {}
        self._own: dict[str, str] = {}
        """Cameras whose predictor gives ids of its own, and that predictor's model."""
        self._decoder = msgspec.msgpack.Decoder(list[Detection])
        self._encoder = msgspec.msgpack.Encoder()

    def outcome(
        self, camera: str, model: str, picture: Picture, sent: WorkerOutcome | None
    ) -> WorkerOutcome | None:
        """What became of a seq, with ids where it is detections."""
        if sent is None or sent.kind != "detections":
            return sent
        payload = self.payload(camera, model, picture, sent.payload)
        return msgspec.structs.replace(sent, payload=payload)

    def payload(
        self, camera: str, model: str, picture: Picture, payload: msgspec.Raw
    ) -> msgspec.Raw:
        """The payload with ids; as it came when it is no detections or has ids of its own.

        A predictor that gave one id gives them all: two numberings in one feed would collide.
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
        """The camera has left; if it comes back, its ids are new ones."""
        self._trackers.pop(camera, None)
        self._own.pop(camera, None)
