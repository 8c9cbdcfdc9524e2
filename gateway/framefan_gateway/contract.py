"""What a client asked for: the key by which clients share one feed."""

from __future__ import annotations

from msgspec import Struct

from framefan.protocol import Delivery, Format


class Contract(Struct, frozen=True):
    """A client that only connects gets this default: every camera, the newest, as JSON.

    Clients with equal contracts are due the same bytes at the same moments.
    """

    cameras: frozenset[str] | None = None
    """None: all of them, those that come later too."""
    delivery: Delivery = "latest"
    format: Format = "json"

    def covers(self, camera: str | None) -> bool:
        """Whether news of this camera is for this client; None is news about no single camera."""
        return camera is None or self.cameras is None or camera in self.cameras


DEFAULT = Contract()
