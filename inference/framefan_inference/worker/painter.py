"""The pictures that a worker makes for those who watch, and when.

A picture is made from the frame's slot while the worker holds the lease. One exception: with
`--track` a picture with boxes shows the ids, and the pool gives them only after the lease has gone
back. So the worker keeps a copy of the frame until the pool sends `Draw`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from framefan.base import logs
from framefan.ipc import bus
from framefan.ipc.outcomes import WorkerPreview
from framefan.ipc.records import BOXES
from framefan_inference.predictors import threads

if TYPE_CHECKING:
    from collections.abc import Callable

    from framefan.ipc.messages import Draw, Lease
    from framefan.settings.run import Settings

_MOST_KEPT = 4
"""Copies of frames that wait for their ids; the oldest is dropped, and its picture with it."""


class Painter:
    """`send` passes a picture on to the pool."""

    def __init__(self, settings: Settings, send: Callable[[WorkerPreview, bytes], None]) -> None:
        self._send = send
        self._tracks = settings.track
        self._most_bytes = bus.most_jpeg_bytes(settings.limits)
        self._encode: Callable[[Any, str, bytes | None, int], bytes] | None = None
        self._kept: dict[int, tuple[Lease, Any, bytes]] = {}

    def show(self, lease: Lease, image: Any, detections: bytes | None) -> None:
        """Make what the lease asks for of `image`, `uint8[height, width, 3]`, which is only read.

        `detections`: a MessagePack list of Detection; None if the result is something else.
        """
        for picture in lease.pictures:
            if picture == BOXES and self._tracks and detections is not None:
                self._keep(lease, image.copy(), detections)
            else:
                self._make(lease, image, picture, detections)

    def _keep(self, lease: Lease, image: Any, detections: bytes) -> None:
        self._kept[lease.lease] = lease, image, detections
        while len(self._kept) > _MOST_KEPT:
            del self._kept[next(iter(self._kept))]

    def draw(self, message: Draw) -> None:
        """The pool has given the ids of a frame. Without detections the worker's own are drawn."""
        if kept := self._kept.pop(message.lease, None):
            lease, image, detections = kept
            self._make(lease, image, BOXES, message.detections or detections)

    def _make(self, lease: Lease, image: Any, picture: str, detections: bytes | None) -> None:
        began = time.process_time()
        try:
            encode = self._encode or self._load_encoder()
            jpeg = encode(image, picture, detections, self._most_bytes)
        except Exception:  # noqa: BLE001 - nobody's frame is lost because somebody watches
            logs.exception("encoding a picture failed")
            jpeg = b""
        cost_s = time.process_time() - began
        facts = lease.lease, lease.camera, lease.seq, lease.frame, picture, cost_s
        if jpeg:
            self._send(WorkerPreview(*facts), jpeg)

    def _load_encoder(self) -> Callable[[Any, str, bytes | None, int], bytes]:
        from framefan_inference.worker import pictures  # OpenCV, which not every predictor loads

        threads.limit_opencv()
        self._encode = pictures.encode
        return pictures.encode
