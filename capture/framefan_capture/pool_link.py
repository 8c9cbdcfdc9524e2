"""The pool link: capture's connection to the pool, and the ring whose slots it fills.

The life of a link: connect, HelloCapture, Welcome; then RingMade once the frame size is known, and
Ready for each frame. When the pool dies the link ends. The next pool gets a new hello, a new ring
and counters from zero; frame numbers continue. Returned slots of an earlier ring are ignored.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from typing import TYPE_CHECKING

from framefan.base import logs
from framefan.errors import LinkClosed, LinkError, RingTooLarge
from framefan.ipc import links
from framefan.ipc.messages import (
    FrameWanted,
    Free,
    HelloCapture,
    Ready,
    RingMade,
    Slots,
    SourceStatus,
    ToCapture,
    Welcome,
)
from framefan.ipc.ring import RingWriter

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

RETRY_S = 0.2
"""The wait between two attempts to connect to a pool."""

LOW_SLOTS = 2
"""With more free slots than this, returned slots are read later, several at once."""


class Counters:
    """Totals since the hello to this pool; frames taken without a pool are not counted."""

    def __init__(self) -> None:
        self.captured = 0
        self.bad = 0
        self.no_slot = 0
        self.max_fps = 0
        self.still = 0


class PoolLink:
    def __init__(self, path: str, camera: str) -> None:
        """`path` is the pool's socket. `connect` connects to it."""
        self._path = path
        self._camera = camera
        self._link: links.Link[ToCapture] | None = None
        self._ring: RingWriter | None = None
        # Different from those of any process before or after this one.
        self._ring_ids = itertools.count(os.getpid() << 16)
        self._slots = 0
        self._views: dict[int, NDArray[np.uint8]] = {}
        self.width = 0
        self.height = 0
        self.frame = 0
        """The number of the next frame."""
        self.told = 0
        """The number of the next frame, as last reported to the pool."""
        self.first_welcome: Welcome | None = None
        """How far an earlier process of this camera had come; later welcomes concern this one."""
        self.counters = Counters()
        self.frame_wanted = False
        """Whether the pool waits for a frame, so that the motion gate lets the next one pass."""
        self.retry_at = 0.0

    # ---- the link ------------------------------------------------------------------------------

    @property
    def link(self) -> links.Link[ToCapture] | None:
        return self._link

    @property
    def welcomed(self) -> bool:
        """Whether a pool accepts frames."""
        return self._slots > 0

    def connect(self, now: float) -> None:
        """Connect to the pool, unless that was just tried; `receive` gets the welcome later."""
        if self._link is not None or now < self.retry_at:
            return
        self.retry_at = now + RETRY_S
        try:
            self._link = links.Link(links.connect(self._path), ToCapture)
            began = self.first_welcome.began if self.first_welcome else 0
            self._link.send(HelloCapture(self._camera, os.getpid(), self.frame, began))
        except LinkClosed:
            self._lose()

    def receive(self) -> bool:
        """Handle the pool's messages; return whether a welcome was among them."""
        if self._link is None:
            return False
        try:
            messages = self._link.receive()
        except LinkError as error:
            logs.debug("the pool is gone", why=error.what)
            self._lose()
            return False
        welcome = False
        for message in messages:
            if isinstance(message, Free):
                self._freed(message)
            elif isinstance(message, Welcome):
                welcome = True
                self.first_welcome = self.first_welcome or message
                self._slots = message.slots
                self.frame = self.told = message.frame
                self.counters = Counters()
                self.frame_wanted = True  # a new pool has none
            elif isinstance(message, FrameWanted):
                self.frame_wanted = True
            else:
                self._resize(message)
        return welcome

    def _resize(self, message: Slots) -> None:
        self._slots = message.slots
        if self._ring is not None:
            # Without memory for more slots the present ring stays.
            with contextlib.suppress(RingTooLarge):
                self._make_ring(self._ring.slot_bytes)

    def _freed(self, message: Free) -> None:
        if self._ring is not None and message.ring == self._ring.ring:
            for slot in message.slots:
                self._ring.give_back(slot)

    def _lose(self) -> None:
        if self._link is not None:
            self._link.close()
        self._link = None
        self._slots = 0
        self._drop_ring()

    def close(self) -> None:
        self._lose()

    # ---- the ring ------------------------------------------------------------------------------

    @property
    def has_room(self) -> bool:
        """Whether there is a slot for the next frame."""
        return self.welcomed and (self._ring is None or self._ring.free > 0)

    @property
    def is_low(self) -> bool:
        """Whether returned slots should be read before the next frame."""
        return not self.welcomed or (self._ring is not None and self._ring.free <= LOW_SLOTS)

    def take(self) -> int | None:
        """Take a free slot for the next frame; None if there is none, or no ring yet."""
        return self._ring.take() if self._ring else None

    @property
    def has_ring(self) -> bool:
        return self._ring is not None

    def give_back(self, slot: int) -> None:
        """Return a slot whose frame turned out to be bad."""
        assert self._ring is not None
        self._ring.give_back(slot)

    def view(self, slot: int) -> NDArray[np.uint8]:
        """The slot as `uint8[height, width, 3]`, in the current frame size."""
        assert self._ring is not None
        view = self._views.get(slot)
        if view is None:
            view = self._views[slot] = self._ring.view(slot, self.height, self.width)
        return view

    def place(self, width: int, height: int, slot: int | None) -> int | None:
        """Change the frame size, and return a slot for a picture of that size.

        If the picture does not fit into `slot`, or there is no ring yet, this makes a new ring.
        Returns None if the pool has just died. Raises RingTooLarge, and changes nothing then.
        """
        frame_bytes = width * height * 3
        if slot is None or self._ring is None or frame_bytes > self._ring.slot_bytes:
            self._make_ring(frame_bytes)
            slot = self.take()
        if (self.width, self.height) != (width, height):
            self.width, self.height = width, height
            self._views = {}
        return slot

    def _make_ring(self, frame_bytes: int) -> None:
        ring = RingWriter(next(self._ring_ids), self._slots, frame_bytes)
        try:
            fd = ring.share()
        except RingTooLarge:
            ring.close()
            raise
        self._drop_ring()
        self._ring = ring
        try:
            self._send(RingMade(ring.ring, ring.slots, ring.slot_bytes), fd)
        finally:
            os.close(fd)

    def _drop_ring(self) -> None:
        self._views = {}
        if self._ring is not None:
            self._ring.close()
        self._ring = None

    # ---- messages to the pool ------------------------------------------------------------------

    def ready(
        self, slot: int, frame: int, captured_at: float, ts: float, pts: float | None
    ) -> None:
        """Report a complete frame; from here on the pool owns its slot."""
        assert self._ring is not None
        counters = self.counters
        self.told = frame + 1
        self._send(
            Ready(
                self._ring.ring,
                slot,
                frame,
                captured_at,
                ts,
                self.width,
                self.height,
                counters.captured,
                counters.bad,
                counters.no_slot,
                counters.max_fps,
                pts,
                counters.still,
            )
        )

    def status(
        self, state: str, reason: str, message: str, next_try_s: float | None, fps: float
    ) -> None:
        if not self.welcomed:
            return
        counters = self.counters
        self.told = self.frame
        self._send(
            SourceStatus(
                state=state,
                reason=reason,
                message=message,
                next_try_s=next_try_s,
                width=self.width,
                height=self.height,
                fps=fps,
                captured=counters.captured,
                bad=counters.bad,
                no_slot=counters.no_slot,
                max_fps=counters.max_fps,
                frame=self.frame,
                still=counters.still,
            )
        )

    def _send(self, message: Ready | SourceStatus | RingMade, fd: int | None = None) -> None:
        assert self._link is not None
        try:
            self._link.send(message, fd)
        except LinkClosed as error:
            logs.debug("the pool is gone", why=error.what)
            self._lose()
