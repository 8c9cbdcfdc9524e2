"""What workers publish to the pool over ZeroMQ: the outcome of each lease, and pictures.

Internal, and encoded as arrays, like the messages between processes (messages.py).
"""

from __future__ import annotations

from typing import Literal

from msgspec import Raw, Struct


class WorkerOutcome(Struct, array_like=True, frozen=True):
    """The outcome of one lease. `payload` is passed on without being decoded."""

    lease: int
    kind: Literal["detections", "value", "error"]
    started_at: float
    finished_at: float
    payload: Raw


class WorkerPreview(Struct, array_like=True, frozen=True):
    """The header of a preview; its JPEG is the second part of the ZeroMQ message."""

    lease: int
    camera: str
    seq: int
    frame: int
    picture: str
    cpu_s: float
