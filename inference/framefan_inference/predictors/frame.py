"""What a predictor is told of a frame besides its picture."""

from __future__ import annotations

from msgspec import Struct


class Frame(Struct, frozen=True):
    """A frame's metadata, for predictors with a second parameter `frame`."""

    camera: str
    frame: int
    """The frame's number at its source."""
    ts: float
    """Wall time of the grab, seconds since 1970."""
    seq: int
    pts: float | None = None
    """Seconds on the source's own clock, where it has one."""
