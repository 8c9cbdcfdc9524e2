"""The frame writer: puts a grabbed picture into a slot, or counts why it did not.

    it is stale                        counted as no_slot, not decoded
    it comes too soon for max_fps      counted as max_fps, not decoded
    no slot is free                    counted as no_slot, not decoded; max_fps does not count it
    it cannot be decoded or placed     counted as bad; its slot is given back
    otherwise                          decoded into the slot (scaled down if larger than max_size),
                                       and checked for `frozen`; then
    the motion gate leaves it out      counted as still; its slot is given back, the pool not told
    otherwise                          reported as ready

Each picture ends in exactly one of these: captured = ready + max_fps + no_slot + bad + still.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from framefan.errors import RingTooLarge, SourceError
from framefan.settings import source_spec
from framefan_capture.freeze_detector import FreezeDetector, fingerprint
from framefan_capture.motion_gate import MotionGate, reduced
from framefan_capture.rate import FpsLimiter
from framefan_capture.shrink import Shrink

if TYPE_CHECKING:
    from framefan.settings.run import CameraSettings
    from framefan_capture.pool_link import PoolLink
    from framefan_capture.source import Source

BAD_IN_A_ROW = 30
"""A camera is reopened after this many consecutive pictures that cannot be decoded."""


class FrameWriter:
    def __init__(self, settings: CameraSettings, source: Source, feed: PoolLink) -> None:
        """Raises UsageError for an invalid max_size."""
        self._source = source
        self._feed = feed
        self._leaves_out = self._gives_up = True
        self._spacing = FpsLimiter(settings.max_fps)
        self._shrink = Shrink(source_spec.parse_size(settings.max_size))
        self.stillness = FreezeDetector(settings.frozen_s)
        self._gate = MotionGate(settings.gate_keep_s) if settings.gate == "motion" else None
        self.last_problem: SourceError | None = None
        """Why the last picture was bad; None after a good one."""
        self._bad_in_a_row = 0

    def begin(self, leaves_out: bool, gives_up: bool) -> None:
        """Start over for a source that was opened.

        `leaves_out`: pictures that exceed max_fps are dropped; otherwise reading slows down.
        `gives_up`: too many bad pictures raise an error, so that the source is reopened.
        """
        self._leaves_out, self._gives_up = leaves_out, gives_up
        self.stillness.forget()
        if self._gate is not None:
            self._gate.forget()
        self.last_problem = None
        self._bad_in_a_row = 0

    @property
    def is_still(self) -> bool:
        """Whether the motion gate is closed: nothing has moved for a while."""
        return self._gate is not None and not self._gate.is_open

    @property
    def due(self) -> float:
        """When to read the next picture, on clock.now; in the past: at once."""
        return 0.0 if self._leaves_out else self._spacing.due

    def take(self, captured_at: float, ts: float) -> bool:
        """Count the grabbed picture and report it to the pool; return False if it was bad.

        Raises SourceError if the source has to be reopened.
        """
        feed, counters = self._feed, self._feed.counters
        skipped = self._source.skipped
        frame = feed.frame + skipped
        feed.frame = frame + 1
        counters.captured += 1 + skipped
        counters.bad += skipped
        if self._source.stale:
            counters.no_slot += 1
        elif self._leaves_out and not self._spacing.wants(captured_at):
            counters.max_fps += 1
        elif feed.has_ring and not feed.has_room:
            counters.no_slot += 1
        else:
            return self._into_slot(frame, captured_at, ts)
        return True

    def pass_over(self, error: SourceError) -> None:
        """Count the grabbed picture as bad without decoding it."""
        self._feed.frame += 1
        self._feed.counters.captured += 1
        self._feed.counters.bad += 1
        self.last_problem = error

    def _into_slot(self, frame: int, captured_at: float, ts: float) -> bool:
        feed = self._feed
        slot = feed.take()
        try:
            slot = self._written(slot)
        except SourceError as error:
            self._bad(slot, error)
            return False
        self.last_problem = None
        self._bad_in_a_row = 0
        self._spacing.took(captured_at)
        if slot is None:
            return True
        if self._passes(slot, captured_at):
            feed.ready(slot, frame, captured_at, ts, self._source.pts)
            self._look(slot, captured_at)
        else:
            self._look(slot, captured_at)
            feed.counters.still += 1
            feed.give_back(slot)
        return True

    def _passes(self, slot: int, captured_at: float) -> bool:
        """Ask the motion gate; the time is the source's own, if it has one."""
        if self._gate is None:
            return True
        if self._feed.frame_wanted:
            self._feed.frame_wanted = False
            self._gate.demand()
        pts = self._source.pts
        return self._gate.passes(
            reduced(self._feed.view(slot)), captured_at if pts is None else pts
        )

    def _written(self, slot: int | None) -> int | None:
        """Decode the picture and return its slot; None if the pool has just died."""
        feed, shrink = self._feed, self._shrink
        view = None if slot is None else feed.view(slot)
        image = self._source.retrieve(shrink.destination(view))
        if image is view:
            return slot
        slot = self._placed(shrink.size(image), slot)
        if slot is not None:
            shrink.write(image, feed.view(slot))
        return slot

    def _placed(self, size: tuple[int, int], slot: int | None) -> int | None:
        try:
            return self._feed.place(*size, slot)
        except RingTooLarge as error:
            raise SourceError("too_large", error.what, error.why, error.fix) from error

    def _bad(self, slot: int | None, error: SourceError) -> None:
        """Count a bad picture. Raises the error if the next picture will hardly be better."""
        if slot is not None:
            self._feed.give_back(slot)
        self._feed.counters.bad += 1
        self._bad_in_a_row += 1
        self.last_problem = error
        hopeless = error.reason == "unsupported" or self._bad_in_a_row >= BAD_IN_A_ROW
        if error.reason == "too_large" or (self._gives_up and hopeless):
            raise error

    def _look(self, slot: int, now: float) -> None:
        """Check for `frozen`, after reporting the frame, so that this does not delay it."""
        if self.stillness.is_due(now) and self._feed.has_ring:
            self.stillness.look(now, fingerprint(self._feed.view(slot)))
