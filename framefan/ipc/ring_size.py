"""What a ring takes: its layout as numbers, for those who need no NumPy."""

from __future__ import annotations

PAGE = 4096
SPARE_BYTES = 256 << 20
"""Memory that a new ring must leave to the rest of the machine."""


def stride(frame_bytes: int) -> int:
    """Bytes a slot takes for frames of `frame_bytes`: whole pages, so that slots share none."""
    return -(-frame_bytes // PAGE) * PAGE


def ring_bytes(slots: int, frame_bytes: int) -> int:
    return PAGE + slots * stride(frame_bytes)
