"""A camera's frames in the ledger: what waits, what was granted, and why the others were not.

In `live` mode a queue has one waiting frame at most, in `every` mode as many as capture has slots.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any, NamedTuple

from msgspec import Struct

if TYPE_CHECKING:
    from framefan.settings.run import Mode

NEWER, NO_WORKER = "newer", "no_worker"
NO_SLOT = "no_slot"
MAX_FPS = "max_fps"
REMOVED = "removed"
CIRCUIT = "circuit"


class Frame(NamedTuple):
    """A frame in a slot, as capture announced it."""

    ring: int
    slot: int
    frame: int
    captured_at: float
    ts: float
    width: int
    height: int
    pts: float | None = None


class Freed(NamedTuple):
    """A slot that belongs to capture again."""

    camera: str
    ring: int
    slot: int


class Grant(Struct):
    """The right of a worker to read a frame until it returns the lease.

    It is kept until its seq has left.
    """

    lease: int
    worker: int
    camera: str
    seq: int
    frame: Frame
    queue: CameraQueue | None = None
    """The camera's queue, which may have moved to another schedule meanwhile."""
    holder: Any = None
    """The worker's handle; when the seq leaves, another worker may have the number."""


class CameraQueue:
    """One camera's waiting frames and its part of the ledger."""

    def __init__(self, mode: Mode) -> None:
        self.mode = mode
        self.waiting: deque[Frame] = deque()
        self.since = 0.0
        """When the queue last stopped being empty. A newer frame that replaces the waiting one does
        not change it, so it is not the age of that frame."""
        self.superseded_by: Counter[str] = Counter()
        self.next_seq = 0
        self.in_flight = 0
        self.served = 0
        self.pinned: int | None = None
        self.lent: Frame | None = None
        """The frame borrowed from the front; it counts as waiting and cannot be granted."""
        self.overtaken = ""
        """Why the lent frame will be superseded when it returns; empty: it will not."""

    @property
    def waits(self) -> int:
        """How many frames are neither leased nor superseded, including the lent one."""
        return len(self.waiting) + (self.lent is not None)

    @property
    def slots_out(self) -> int:
        """How many slots capture has handed over and not got back."""
        return self.waits + self.in_flight

    def holds(self, ring: int) -> bool:
        """Whether a waiting or lent frame is in this ring."""
        lent = self.lent is not None and self.lent.ring == ring
        return lent or any(frame.ring == ring for frame in self.waiting)

    @property
    def may_go(self) -> bool:
        """Whether a frame may be leased; in `every` none may overtake the lent one."""
        return bool(self.waiting) and (self.lent is None or self.mode == "live")
