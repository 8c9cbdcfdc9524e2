"""What a client asked for: the key by which clients share one stream."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

from msgspec import Struct

from framefan.ipc.protocol import Delivery, Format

Ack = int | Literal["auto"]
"""How many messages of a client may be unacknowledged; auto: as its acknowledgements allow."""


class DetectionFilter(NamedTuple):
    """Which detections of a result are asked for; the others are left out of it."""

    labels: frozenset[str] | None
    """None: any."""
    min_confidence: float


class Subscription(Struct, frozen=True):
    """A client that only connects gets this default: every camera, the newest, as JSON.

    Clients with equal subscriptions are due the same bytes at the same moments.
    """

    cameras: frozenset[str] | None = None
    """None: all of them, those that come later too."""
    delivery: Delivery = "latest"
    format: Format = "json"
    max_fps: float = 0.0
    """Results of one camera in a second; 0: as many as there are."""
    labels: frozenset[str] | None = None
    min_confidence: float = 0.0
    nonempty: bool = False
    """Only results in which something was seen; errors come all the same."""
    preview: int = 0
    """The width of the pictures that come with the results, in pixels; 0: none come."""

    def covers(self, camera: str | None) -> bool:
        """Whether news of this camera is for this client; None is news about no single camera."""
        return camera is None or self.cameras is None or camera in self.cameras

    @property
    def picks(self) -> DetectionFilter | None:
        """None: every detection."""
        if self.labels is None and not self.min_confidence:
            return None
        return DetectionFilter(self.labels, self.min_confidence)

    def told(self) -> dict[str, Any]:
        """The whole subscription as a client is told it."""
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
    """The last result of a camera that a returning client has had."""

    epoch: str
    seq: int


class Opening(NamedTuple):
    """How a client's results begin, of the cameras it has had none of yet."""

    history: int = 1
    """So many of each camera's last results come first."""
    since: Mapping[str, StreamPosition] = MappingProxyType({})
    """By camera, after which result to go on."""
    strange: frozenset[str] = frozenset()
    """Cameras of `since` that this run does not have, or not any more."""


ANEW = Opening()
