"""One camera in the pool: its link, its published state, its part of the ledger.

Capture reports the state of the source: connecting, live, frozen, backoff, ended. The pool adds
what capture cannot report:

1. A frame makes a camera `live`, or gives it the flowing state that capture reported last. No frame
   for `stalled_s` makes it `stalled`; the next frame ends that.
2. A frame of another size than the one before makes it `live`, reason `size_changed`.
3. When its process has ended, it is `connecting (restarting)`; while the supervisor delays the next
   start, `backoff`; when the process has ended too often, or can never work, `failed`.
4. A camera whose source has ended stays `ended` until its settings change, whatever happens to its
   process.

Capture repeats its report once a second. A repeated report does not undo what the pool added.
Frames that the motion gate leaves out reach the pool only as a number in these reports. They count
as frames that arrived.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

from framefan.base import clock
from framefan.errors import LinkGarbled
from framefan.ipc.records import CameraFacts, StatusRecord
from framefan.settings.states import FLOWING, REASONS, STATES, STILL
from framefan_inference.leases.camera_queue import MAX_FPS, NO_SLOT

if TYPE_CHECKING:
    from framefan.ipc.links import Link
    from framefan.ipc.messages import ChildFacts, HelloCapture, Ready, SourceStatus, ToPool
    from framefan.settings.run import CameraSettings
    from framefan_inference.leases.ledger import Ledger

_SAME_TRY_S = 0.25
"""Two reported times of the next attempt that differ by less are the same attempt."""
_NOTHING = ("", "", "")


class Totals(NamedTuple):
    """Frames that captures counted: all, and those that no worker will get, by cause."""

    captured: int = 0
    bad: int = 0
    no_slot: int = 0
    max_fps: int = 0
    still: int = 0


class Camera:
    """State and counters. Each capture process counts from 0; `_before` sums up earlier ones."""

    def __init__(self, settings: CameraSettings, before: Camera | None = None) -> None:
        """`before`: the same camera when it was removed; its counters continue."""
        self.settings = settings
        self.facts = CameraFacts(
            source=str(settings.source), mode=settings.mode, since=clock.wall()
        )
        self.link: Link[ToPool] | None = None
        self.is_removed = False
        self.next_frame: int = before.next_frame if before else 0
        self.began = 0
        """The number of the first frame of its current source."""
        self._from_start = before is not None
        """The next process reads another source, or the same one from the start."""
        self._before: Totals = before.totals() if before else Totals()
        self._latest: Ready | SourceStatus | None = None
        """The newest message with the counters of this capture process."""
        self._frame_at = clock.now()
        self._said = _NOTHING
        """State, reason and message, as this capture process reported them last."""
        self._next_try_at: float | None = None
        self._is_down = False
        """The supervisor reports that there is no process, so messages on its link are old."""
        self._begins_anew = False
        """Its settings have changed, so the next process reads the source even if it had ended."""

    @property
    def has_ended(self) -> bool:
        return self.facts.state == "ended" and not self._begins_anew

    # ---- frames; each method returns the status to publish, if any ---------------------------

    def ready(self, message: Ready) -> StatusRecord | None:
        self.next_frame = message.frame + 1
        self._frame_at = clock.now()
        self._latest = message
        facts = self.facts
        same_size = message.width == facts.width and message.height == facts.height
        if same_size and facts.state in FLOWING:
            return None
        return self._flows(message)

    def _flows(self, message: Ready) -> StatusRecord | None:
        before = self.facts.width, self.facts.height
        size = self.facts.width, self.facts.height = message.width, message.height
        if self._is_down:
            return None
        if before not in (size, (0, 0)):
            text = f"{size[0]}x{size[1]}, was {before[0]}x{before[1]}"
            return self._enter("live", "size_changed", text)
        if self.facts.state in FLOWING:
            return None
        return self._enter(*self._said) if self._said[0] in FLOWING else self._enter("live")

    @property
    def stalls_at(self) -> float:
        """When it becomes `stalled`, unless a frame arrives first."""
        if self.facts.state not in FLOWING or self.is_removed:
            return math.inf
        return self._frame_at + self.settings.stalled_s

    def tick(self, now: float, waiting: int) -> StatusRecord | None:
        """`stalled` if no frame arrived in time, unless frames still wait for workers."""
        if now < self.stalls_at or waiting:
            return None
        return self._enter("stalled", "no_frame", f"no frame for {self.settings.stalled_s:g} s")

    # ---- what capture reports of the source --------------------------------------------------

    def source_status(self, message: SourceStatus) -> StatusRecord | None:
        """Raises LinkGarbled for a state or reason that is not in the table."""
        state, reason = message.state, message.reason
        if state not in STATES or reason not in STATES[state].reasons:
            raise LinkGarbled(f'capture reported the unknown state "{state}" ("{reason}")')
        came = message.still > (self._latest.still if self._latest else 0)
        self._latest = message
        self.next_frame = max(self.next_frame, message.frame)  # frames without a Ready count too
        self.facts.fps = message.fps
        if message.width:
            self.facts.width, self.facts.height = message.width, message.height
        next_try_at = None if message.next_try_s is None else clock.now() + message.next_try_s
        again = (state, reason) == self._said[:2] and self._is_known(next_try_at)
        if self._is_down:
            return None
        self._said = (state, reason, message.message)
        if came and state in FLOWING:
            self._frame_at = clock.now()
            if self.facts.state == "stalled":
                return self._enter(*self._said)
        if again or self._stays(state, reason):
            return None
        if (state, reason) == (self.facts.state, self.facts.reason) and self._is_known(next_try_at):
            return None
        if self.facts.state not in FLOWING:
            self._frame_at = clock.now()
        return self._enter(state, reason, message.message, message.next_try_s)

    def _stays(self, said: str, reason: str) -> bool:
        """Whether the current state overrides this report of capture."""
        state = self.facts.state
        if said in FLOWING and state == "stalled":
            return True  # only a frame ends `stalled`
        if said == "live" and state == "live":
            # The current reason may be `size_changed`: keep it.
            return STILL not in (reason, self.facts.reason)
        return said == "connecting" and (state == "connecting" or self.has_ended)

    def _is_known(self, next_try_at: float | None) -> bool:
        if next_try_at is None or self._next_try_at is None:
            return next_try_at is self._next_try_at
        # While an attempt is overdue, every report says that it is due now.
        expected = max(self._next_try_at, clock.now())
        return abs(next_try_at - expected) < _SAME_TRY_S

    # ---- its process -------------------------------------------------------------------------

    def hello(self, link: Link[ToPool], hello: HelloCapture) -> StatusRecord | None:
        """A capture process connected; its next frame gets the number `next_frame`."""
        self._before = self.totals()
        self._latest = None
        self._said = _NOTHING
        self._is_down = False
        self.next_frame = max(self.next_frame, hello.frame)
        self.began = max(self.began, hello.began)  # known from an earlier pool
        stays = self.has_ended
        if self._from_start and hello.pid != self.facts.pid:
            self.began, self._from_start = self.next_frame, False
        self._begins_anew = self._begins_anew and hello.pid == self.facts.pid
        self.link = link
        self.facts.pid = hello.pid
        return None if stays or self.facts.state == "connecting" else self._restarting()

    def gone(self) -> StatusRecord | None:
        """Its link ended."""
        self.link = None
        self._said = _NOTHING
        if self.has_ended or self._is_down or self.is_removed:
            return None
        return self._restarting()

    def child(self, child: ChildFacts) -> StatusRecord | None:
        """Apply the supervisor's report of its process."""
        self.facts.restarts = child.restarts
        if self.has_ended or self.is_removed:
            return None
        was_down, self._is_down = self._is_down, True
        if child.state == "failed":
            known = child.reason in STATES["failed"].reasons
            return self._waits(child, child.reason if known else "crash_loop")
        if child.state == "backoff" and child.reason in STATES["backoff"].reasons:
            return self._waits(child, child.reason)
        self._is_down = False
        return self._restarting() if was_down else None

    def _waits(self, child: ChildFacts, reason: str) -> StatusRecord | None:
        state, next_start_s = child.state, child.next_start_s
        next_try_at = None if next_start_s is None else clock.now() + next_start_s
        if (state, reason) == (self.facts.state, self.facts.reason) and self._is_known(next_try_at):
            return None
        return self._enter(state, reason, child.message or REASONS[reason], next_start_s)

    def _restarting(self) -> StatusRecord | None:
        if (self.facts.state, self.facts.reason) == ("connecting", "restarting"):
            return None
        return self._enter("connecting", "restarting", REASONS["restarting"])

    # ---- reload --------------------------------------------------------------------------------

    def added(self) -> StatusRecord:
        """The status of a camera that a reload has added."""
        return self._enter("connecting")

    def change(self, settings: CameraSettings) -> StatusRecord | None:
        """Apply new settings; its process, if there is one, is about to be replaced."""
        was_removed, self.is_removed = self.is_removed, False
        same = settings.for_capture == self.settings.for_capture
        if same and not was_removed:
            self.settings = settings
            return None
        another = settings.source != self.settings.source
        self._from_start |= another or was_removed or self.facts.state == "ended"
        self.settings = settings
        self.facts.source, self.facts.mode = str(settings.source), settings.mode
        self._begins_anew = True
        if self.link is not None or self._is_down or self.facts.state == "connecting":
            return None
        return self._restarting()

    def remove(self) -> None:
        """Drop its link; it ends when all its frames are settled."""
        self.link = None
        self.is_removed = True

    def parted(self) -> StatusRecord:
        return self._enter("ended", "removed", REASONS["removed"])

    def _enter(
        self, state: str, reason: str = "", message: str = "", next_try_s: float | None = None
    ) -> StatusRecord:
        """Change the state. Nothing else assigns it."""
        assert reason in STATES[state].reasons, (state, reason)
        facts = self.facts
        facts.state, facts.reason, facts.message = state, reason, message
        facts.since = clock.wall()
        self._next_try_at = None if next_try_s is None else clock.now() + next_try_s
        facts.been_live = facts.been_live or state in FLOWING
        return StatusRecord(
            subject="camera",
            camera=self.settings.name,
            state=state,
            reason=reason,
            message=message,
            next_try_s=next_try_s,
        )

    # ---- the ledger --------------------------------------------------------------------------

    def totals(self) -> Totals:
        """The sum over all its processes."""
        before, now = self._before, self._latest
        if now is None:
            return before
        return Totals(
            before.captured + now.captured,
            before.bad + now.bad,
            before.no_slot + now.no_slot,
            before.max_fps + now.max_fps,
            before.still + now.still,
        )

    def measure(self, ledger: Ledger, slots: int) -> CameraFacts:
        """Its facts with every counter of this epoch, all read at the same moment."""
        facts = self.facts
        totals = self.totals()
        facts.captured, facts.bad = totals.captured, totals.bad
        name = self.settings.name
        queue, sequencer = ledger.queue(name), ledger.sequencers[name]
        by = Counter(queue.superseded_by)
        for cause, count in (
            (NO_SLOT, totals.no_slot),
            (MAX_FPS, totals.max_fps),
            (STILL, totals.still),
        ):
            if count:
                by[cause] = count
        facts.superseded_by = dict(by)
        facts.superseded = by.total()
        facts.waiting = queue.waits
        facts.leased = facts.next_seq = queue.next_seq
        facts.results = sequencer.left["results"]
        facts.errors = sequencer.left["errors"]
        facts.lost = sequencer.left["lost"]
        facts.lost_by = dict(sequencer.lost_by)
        facts.running = sequencer.running
        facts.circuit, facts.circuit_message = ledger.circuit(name)
        facts.next_frame = self.next_frame
        facts.next_try_s = self._next_try_s()
        facts.slots = slots
        facts.slots_out = queue.slots_out
        return facts

    def _next_try_s(self) -> float | None:
        """Seconds until the next attempt; 0 while that is overdue."""
        if self._next_try_at is None:
            return None
        return round(max(0.0, self._next_try_at - clock.now()), 3)
