"""One camera as the pool sees it: its link, its state as told to clients, its part of the ledger.

Capture says `connecting`, `live`, `backoff`, `ended` or `failed`. The pool adds what capture cannot
say of itself: `stalled`, when no frame has come for a while, and `connecting` with the reason
`restarting`, when the capture process is gone.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from framefan import clock
from framefan.records import CameraFacts, StatusRecord
from framefan_inference.schedule import NO_SLOT

if TYPE_CHECKING:
    from framefan.links import Link
    from framefan.messages import ChildFacts, Ready, SourceStatus, ToPool
    from framefan.settings import CameraSettings
    from framefan_inference.ledger import Ledger

_FLOWING = ("live", "frozen")


class Camera:
    """State and counters. Totals of a capture process end with it; `_before` keeps their sum."""

    def __init__(self, settings: CameraSettings) -> None:
        self.settings = settings
        self.facts = CameraFacts(
            source=str(settings.source), mode=settings.mode, since=clock.wall()
        )
        self.link: Link[ToPool] | None = None
        self.next_frame = 0
        self._before = (0, 0, 0)
        self._now = (0, 0, 0)
        """Frames captured, bad and without a slot, as this capture process counts them."""
        self._frame_at = clock.now()

    # ---- events, each answering the status to publish, if any --------------------------------

    def hello(self, link: Link[ToPool], pid: int, frame: int) -> int:
        """A capture process connected; answers the number of its next frame."""
        self.link = link
        self.facts.pid = pid
        self._before = self._total()
        self._now = (0, 0, 0)
        self.next_frame = max(self.next_frame, frame)
        return self.next_frame

    def ready(self, message: Ready) -> StatusRecord | None:
        self.next_frame = message.frame + 1
        self._frame_at = clock.now()
        self._now = (message.captured, message.bad, message.no_slot)
        facts = self.facts
        facts.width = message.width
        facts.height = message.height
        if facts.state == "live":
            return None
        return self._enter("live", "", "", None)

    def source_status(self, message: SourceStatus) -> StatusRecord | None:
        self._now = (message.captured, message.bad, message.no_slot)
        facts = self.facts
        facts.fps = message.fps
        if message.width:
            facts.width, facts.height = message.width, message.height
        if facts.state == "stalled" and message.state == "live":
            return None  # it is live in its own eyes: the next frame will tell
        same = (facts.state, facts.reason) == (message.state, message.reason)
        if same and facts.next_try_s == message.next_try_s:
            return None
        if message.state == "live":
            self._frame_at = clock.now()
        return self._enter(message.state, message.reason, message.message, message.next_try_s)

    def gone(self) -> StatusRecord | None:
        """Its link ended."""
        self.link = None
        if self.facts.state in ("ended", "failed"):
            return None
        return self._enter("connecting", "restarting", "its capture process ended", None)

    def child(self, facts: ChildFacts) -> StatusRecord | None:
        """What the supervisor knows of its process."""
        self.facts.restarts = facts.restarts
        if facts.state == "failed" and self.facts.state != "failed":
            return self._enter("failed", "crash_loop", "its capture process keeps ending", None)
        return None

    def tick(self, now: float, waiting: int) -> StatusRecord | None:
        """`stalled` when it should be live and nothing came, unless frames wait for workers."""
        late = now - self._frame_at > self.settings.stalled_s
        if self.facts.state in _FLOWING and late and not waiting:
            text = f"no frame for {self.settings.stalled_s:g} s"
            return self._enter("stalled", "no_frame", text, None)
        return None

    def _enter(
        self, state: str, reason: str, message: str, next_try_s: float | None
    ) -> StatusRecord:
        """The one place where a camera changes its state."""
        facts = self.facts
        facts.state, facts.reason, facts.message = state, reason, message
        facts.next_try_s = next_try_s
        facts.since = clock.wall()
        facts.been_live = facts.been_live or state == "live"
        return StatusRecord(
            subject="camera",
            camera=self.settings.name,
            state=state,
            reason=reason,
            message=message,
            next_try_s=next_try_s,
        )

    # ---- the ledger --------------------------------------------------------------------------

    def _total(self) -> tuple[int, int, int]:
        captured, bad, no_slot = (sum(pair) for pair in zip(self._before, self._now, strict=True))
        return captured, bad, no_slot

    def measure(self, ledger: Ledger, slots: int) -> CameraFacts:
        """Its facts with every counter of this epoch, taken in one moment."""
        facts = self.facts
        facts.captured, facts.bad, no_slot = self._total()
        name = self.settings.name
        queue, sequencer = ledger.schedule.cameras[name], ledger.sequencers[name]
        by = Counter(queue.superseded_by)
        if no_slot:
            by[NO_SLOT] = no_slot
        facts.superseded_by = dict(by)
        facts.superseded = by.total()
        facts.waiting = len(queue.waiting)
        facts.leased = facts.next_seq = queue.next_seq
        facts.results = sequencer.left["results"]
        facts.errors = sequencer.left["errors"]
        facts.lost = sequencer.left["lost"]
        facts.lost_by = dict(sequencer.lost_by)
        facts.running = sequencer.running
        facts.next_frame = self.next_frame
        facts.slots = slots
        facts.slots_out = ledger.schedule.slots_out(name)
        return facts
