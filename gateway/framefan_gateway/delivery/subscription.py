"""A client's subscription; clients with equal subscriptions share one stream."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from framefan.ipc.protocol import Delivery, Format, Status

Ack = int | Literal["auto"]
"""How many messages may be unacknowledged; auto: adapts to how fast acknowledgements come."""


class DetectionFilter(NamedTuple):
    """Which detections of a result are included; the others are left out of the message."""

    labels: frozenset[str] | None
    """None: any label."""
    min_confidence: float


class Subscription(Struct, frozen=True):
    """The default, for clients that set nothing: the newest result of every camera, as JSON."""

    cameras: frozenset[str] | None = None
    """None: all cameras, including those that are added later."""
    delivery: Delivery = "latest"
    format: Format = "json"
    max_fps: float = 0.0
    """The most results of one camera per second; 0: no limit."""
    labels: frozenset[str] | None = None
    min_confidence: float = 0.0
    nonempty: bool = False
    """Leave out results in which nothing was detected; errors are always sent."""
    preview: int = 0
    """The width of the pictures sent with the results, in pixels; 0: no pictures."""

    def covers(self, camera: str | None) -> bool:
        """Whether the subscription includes this camera; None: news that concerns no one camera."""
        return camera is None or self.cameras is None or camera in self.cameras

    @property
    def detection_filter(self) -> DetectionFilter | None:
        """None: all detections are included."""
        if self.labels is None and not self.min_confidence:
            return None
        return DetectionFilter(self.labels, self.min_confidence)

    def to_dict(self) -> dict[str, Any]:
        """The subscription as JSON values, as in replies to clients and in `/api/clients`."""
        return {
            "cameras": None if self.cameras is None else sorted(self.cameras),
            "delivery": self.delivery,
            "format": self.format,
            "max_fps": self.max_fps or None,
            "labels": None if self.labels is None else sorted(self.labels),
            "min_confidence": self.min_confidence,
            "nonempty": self.nonempty,
            "preview": self.preview or None,
        }


DEFAULT = Subscription()


class StreamPosition(NamedTuple):
    """The last result of a camera that a reconnecting client got."""

    epoch: str
    seq: int


class Opening(NamedTuple):
    """Where a client's results begin."""

    history: int = 1
    """How many of each camera's last results come first."""
    since: Mapping[str, StreamPosition] = MappingProxyType({})
    """By camera, the position to resume after."""
    unknown: Mapping[str, Status | None] = MappingProxyType({})
    """For each camera in `since` that this run does not have: the status to send to the client.
    None until the first state table has arrived."""


ANEW = Opening()
