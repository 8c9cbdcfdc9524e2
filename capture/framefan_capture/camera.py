"""The camera: one source's states, and the way of each of its frames into a slot.

    connecting --first frame--> live --end of a file--> ended
        ^  |                     |
        |  +------failure--------+---> backoff
        +------------when the wait is over-----+

`step` does one thing and returns: opens the source, or takes one frame. Between two steps the
process looks at its links, so nothing here waits, except for a network camera's next picture and
that with a time limit.
"""

from __future__ import annotations

import enum
import math
from typing import TYPE_CHECKING

from framefan import clock, logs, sources
from framefan.backoff import Backoff
from framefan.errors import SourceError, StartError
from framefan_capture import source

if TYPE_CHECKING:
    from framefan.settings import CameraSettings
    from framefan_capture.feed import Feed

BAD_IN_A_ROW = 30
"""So many pictures that cannot be decoded, one after the other, and the source is opened anew."""

_HEALTHY_S = 60.0
"""A camera that was live for so long has earned a fresh start."""


class State(enum.Enum):
    CONNECTING = "connecting"
    LIVE = "live"
    BACKOFF = "backoff"
    ENDED = "ended"


class Camera:
    def __init__(self, settings: CameraSettings, feed: Feed) -> None:
        """Raises UsageError for a source that framefan does not open."""
        self._settings = settings
        self._feed = feed
        self._can_wait = sources.parse(settings.source.reveal()).can_wait
        # Played fast, a file has no speed of its own: it waits too, rather than be thrown away.
        self._waits_for_slots = settings.mode == "every" or (settings.fast and self._can_wait)
        self._source = source.make(settings)
        self._reconnect = Backoff(settings.backoff_first_s, settings.backoff_cap_s, _HEALTHY_S)
        self._state = State.CONNECTING
        self._reason = ""
        self._message = ""
        self._is_open = False
        self._been_live = False
        self._live_since = 0.0
        self._next_try = 0.0
        self._bad_in_a_row = 0
        self._taken = 0
        self._rate = Rate()

    # ---- states --------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        return self._state

    def _enter(self, state: State, error: SourceError | None = None) -> None:
        """Every change of state comes by here; people hear of it from the pool."""
        self._state = state
        self._reason = error.reason if error else ""
        self._message = ". ".join(part for part in (error.what, error.why) if part) if error else ""
        facts = {"reason": self._reason, "message": self._message} if error else {}
        logs.debug(f"camera {self._settings.name} is {state.value}", **facts)
        self.report()

    def report(self) -> None:
        """Tell the pool the state and the counters as they are now."""
        next_try_s = None
        if self._state is State.BACKOFF:
            next_try_s = max(0.0, self._next_try - clock.now())
        fps = self._rate.per_second(clock.now(), self._taken)
        self._feed.status(self._state.value, self._reason, self._message, next_try_s, fps)

    # ---- the loop's questions ------------------------------------------------------------------

    @property
    def due(self) -> float:
        """When the next `step` makes sense, on clock.now; inf: when a link has news, not before."""
        if self._state is State.ENDED:
            return math.inf
        if self._state is State.BACKOFF:
            return self._next_try
        if not self._is_open:
            return 0.0
        if self._can_wait and not self._feed.welcomed:
            return math.inf
        if self._waits_for_slots and not self._feed.has_room:
            return math.inf
        return self._source.due

    def step(self) -> None:
        """Open the source or take one frame.

        Raises StartError for a file that cannot be played the first time, and RingTooLarge.
        """
        try:
            if not self._is_open:
                self._open()
            elif self._source.grab(self._feed.frame):
                self._frame()
            else:
                self._end()
        except SourceError as error:
            self._fail(error)

    def close(self) -> None:
        self._source.close()
        self._is_open = False

    # ---- one step ------------------------------------------------------------------------------

    def _open(self) -> None:
        if self._state is State.BACKOFF:
            self._enter(State.CONNECTING)
        self._source.open()
        self._is_open = True
        self._bad_in_a_row = 0

    def _end(self) -> None:
        if not self._been_live:
            raise SourceError(
                "unreadable",
                f"{self._settings.source} has no picture",
                "it ended before the first one that could be decoded",
                "check that it is what you meant",
            )
        self.close()
        if not self._settings.loop:
            self._enter(State.ENDED)

    def _fail(self, error: SourceError) -> None:
        self.close()
        if self._can_wait and not self._been_live:
            # The person named a wrong file: no use in trying again.
            raise StartError(error.what, error.why, error.fix) from error
        now = clock.now()
        live_s = now - self._live_since if self._state is State.LIVE else 0.0
        self._next_try = now + self._reconnect.failed(live_s)
        self._enter(State.BACKOFF, error)

    def _frame(self) -> None:
        captured_at, ts = clock.now(), clock.wall()
        feed = self._feed
        if not feed.welcomed:
            return  # a live camera is drained while there is no pool; nobody counts on these frames
        skipped = self._source.skipped
        frame = feed.frame + skipped
        feed.frame = frame + 1
        feed.counters.captured += 1 + skipped
        feed.counters.bad += skipped
        self._taken += 1
        if feed.has_ring and not feed.has_room:
            feed.counters.no_slot += 1
        elif not self._into_slot(frame, captured_at, ts):
            return
        if self._state is not State.LIVE:
            self._been_live = True
            self._live_since = captured_at
            self._enter(State.LIVE)

    def _into_slot(self, frame: int, captured_at: float, ts: float) -> bool:
        """Whether the picture could be decoded; the pool has it then."""
        feed = self._feed
        slot = feed.take()
        view = None if slot is None else feed.view(slot)
        try:
            image = self._source.retrieve(view)
        except SourceError:
            if slot is not None:
                feed.give_back(slot)
            feed.counters.bad += 1
            self._bad_in_a_row += 1
            if self._bad_in_a_row >= BAD_IN_A_ROW and not self._can_wait:
                raise
            return False
        self._bad_in_a_row = 0
        if image is not view:
            slot = feed.fit(image, slot)
        if slot is not None:
            feed.ready(slot, frame, captured_at, ts)
        return True


class Rate:
    """Frames per second over the last seconds, from totals sampled about once a second."""

    WINDOW = 4

    def __init__(self) -> None:
        self._samples: list[tuple[float, int]] = []

    def per_second(self, now: float, total: int) -> float:
        if not self._samples or now - self._samples[-1][0] >= 0.5:
            self._samples = [*self._samples[-self.WINDOW :], (now, total)]
        then, before = self._samples[0]
        return round((total - before) / (now - then), 2) if now > then else 0.0
