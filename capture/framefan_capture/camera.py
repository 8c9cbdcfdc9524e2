"""The camera: the states of one source, its failures, and where it resumes after them.

    connecting --first frame--> live <--picture changes or not--> frozen
        ^  |                     |            (live is `still` while the motion gate is closed)
        |  +------failure--------+---> backoff
        |                        +--end of a file--> ended
        +------------when the wait is over-----+

`step` does one thing and returns: it opens the source, skips frames, or takes one. The process
reads its links between two steps. So nothing here blocks but waiting for a camera's next picture.

Two questions decide how a source is treated:

- Is it live (`is_live`)? Then it is retried without end. For any other source the first failure
  ends the run, because the user probably named a wrong file. If frames have come before, from this
  process or an earlier one, it is retried like a camera, so a deleted file does not end the run.
- Can it pause while no frames are taken? Files always can. A user's function pauses in mode
  `every`; in mode `live` it is drained like a camera, so that its frames do not age. A URL may turn
  out to be a recorded video once it is open; then it can pause, too.

A pausable source that is reopened (after a failure, or by the next process after a crash) resumes
after the last frame that the pool knows of, so each frame comes exactly once. If the previous
process died in its decoder and the source is exact, the next picture was the cause: it counts as
bad and is passed over. The first welcome says how many frames to skip: the difference between the
number of the source's first frame and that of its next. With `loop`, skipping continues from the
start at the end of the source, whose length is known by then.
"""

from __future__ import annotations

import enum
import math
from typing import TYPE_CHECKING

from framefan.base import clock, logs
from framefan.base.backoff import Backoff
from framefan.errors import SourceError, StartError
from framefan.settings.states import REASONS, STILL
from framefan_capture import kinds
from framefan_capture.frame_writer import FrameWriter
from framefan_capture.rate import Rate

if TYPE_CHECKING:
    from framefan.settings.run import CameraSettings
    from framefan_capture.pool_link import PoolLink

LEAST_WAIT_S = 0.1
"""The least wait before a retry, whatever the settings say: a dead camera must not use a core."""
LOGIN_WAIT_S = 10.0
"""The least wait after a refused login: cameras lock out clients that retry too often."""
_HEALTHY_S = 60.0
"""After being live for this long, a camera's backoff starts over."""


class State(enum.Enum):
    CONNECTING = "connecting"
    LIVE = "live"
    FROZEN = "frozen"
    BACKOFF = "backoff"
    ENDED = "ended"


_FLOWING = (State.LIVE, State.FROZEN)
_TELL_STILL = 0.75
"""How often the pool hears of frames that the gate leaves out, as a share of `stalled_s`."""


class Camera:
    def __init__(self, settings: CameraSettings, feed: PoolLink, after_crash: bool = False) -> None:
        """`after_crash`: the process before this one died in its decoder.

        Raises UsageError for an invalid source or size.
        """
        self._settings = settings
        self._feed = feed
        self._spec = settings.source.spec
        self._source = kinds.make(settings)
        self._intake = FrameWriter(settings, self._source, feed)
        self._reconnect = Backoff(settings.backoff_first_s, settings.backoff_cap_s, _HEALTHY_S)
        self._state = State.CONNECTING
        self._reason = ""
        self._message = ""
        self._is_open = False
        self._been_live = False
        self._live_since = 0.0
        self._next_try = 0.0
        self._position: int | None = None
        """How many pictures of the source have passed; None before the first welcome."""
        self._to_skip = 0
        self._skipped = 0
        self._is_empty = True
        """Whether the source has produced nothing since it was opened."""
        self._passes_over = after_crash and self._source.is_exact
        self._taken = 0
        self._told_at = 0.0
        self._rate = Rate()

    # ---- states --------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        return self._state

    def _enter(self, state: State, reason: str = "", message: str = "") -> None:
        """Change the state. The pool reports it to users."""
        self._state, self._reason, self._message = state, reason, message
        facts = {"reason": reason, "message": message} if reason else {}
        logs.debug(f"camera {self._settings.name} is {state.value}", **facts)
        self.report()

    def report(self) -> None:
        """Send the pool the current state and counters."""
        next_try_s = None
        if self._state is State.BACKOFF:
            next_try_s = max(0.0, self._next_try - clock.now())
        self._told_at = now = clock.now()
        fps = self._rate.per_second(now, self._taken)
        self._feed.status(self._state.value, self._reason, self._message, next_try_s, fps)

    def welcomed(self) -> None:
        """A pool has answered; the first answer says how far this camera had come before."""
        first = self._feed.first_welcome
        if self._position is None and first is not None:
            self._position = first.frame - first.began if self._may_end else 0
            if first.ended:
                self._enter(State.ENDED)
                return
        self.report()

    # ---- the kind of source --------------------------------------------------------------------

    @property
    def _may_end(self) -> bool:
        """Whether the source may have an end and be read again from its beginning."""
        return self._spec.can_wait or self._spec.kind == "http"

    @property
    def _is_live(self) -> bool:
        """Whether the source is a live camera; a URL counts as one until it is open."""
        return self._spec.is_live and not self._source.is_recorded

    @property
    def _waits_for_slots(self) -> bool:
        """Whether reading pauses without a free slot: in mode `every`, and for files if `fast`."""
        can_wait = self._spec.can_wait or self._source.is_recorded
        return self._settings.mode == "every" or (self._settings.fast and can_wait)

    # ---- for the loop --------------------------------------------------------------------------

    @property
    def due(self) -> float:
        """When to call `step` next, on clock.now; inf: not before a link has news."""
        if self._state is State.ENDED:
            return math.inf
        if self._state is State.BACKOFF:
            return self._next_try
        if not self._is_open:
            # A source that may end is opened only once the position to resume at is known.
            return 0.0 if self._position is not None or not self._may_end else math.inf
        if self._to_skip:
            return 0.0
        waits = self._waits_for_slots
        if (waits or not self._is_live) and not self._feed.welcomed:
            return math.inf
        if waits and not self._feed.has_room:
            return math.inf
        return max(self._source.due, self._intake.due)

    def step(self) -> None:
        """Open the source, skip frames, or take one.

        Raises StartError for a file that cannot be played, or a function that cannot be loaded, the
        first time.
        """
        try:
            if not self._is_open:
                self._open()
            elif self._to_skip:
                self._skip()
            elif self._source.grab(self._feed.frame):
                self._frame()
            else:
                self._end()
        except SourceError as error:
            if self._is_first_life and not self._spec.is_live:
                raise StartError(error.what, error.why, error.fix) from error
            self._fail(error)
        except StartError as error:
            if self._is_first_life:
                raise
            self._fail(SourceError("source_failed", error.what, error.why, error.fix))

    def close(self) -> None:
        self._source.close()
        self._is_open = False

    # ---- one step ------------------------------------------------------------------------------

    @property
    def _is_first_life(self) -> bool:
        """Whether this camera has never produced a frame, as far as known."""
        first = self._feed.first_welcome
        return not self._been_live and (first is None or first.frame == 0)

    def _open(self) -> None:
        if self._state is State.BACKOFF:
            self._enter(State.CONNECTING)
        self._source.open()
        self._is_open = True
        self._is_empty = True
        self._check_mode()
        self._intake.begin(leaves_out=not self._waits_for_slots, gives_up=self._is_live)
        self._to_skip = 0 if self._is_live else self._position or 0
        self._skipped = 0

    def _check_mode(self) -> None:
        """Raises StartError for a live stream that should wait."""
        if self._settings.mode == "every" and self._is_live and not self._spec.can_wait:
            raise StartError(
                f"--mode every is not possible with {self._settings.source}",
                "it turned out to be a live stream, which does not wait",
                "use --mode live, or record the stream and give the file",
            )

    def _skip(self) -> None:
        """Skip some of the frames; the loop runs between calls, so the watchdog sees progress."""
        skipped = self._source.skip(self._to_skip)
        if skipped:
            # Damaged pictures count as well, so it may skip more than requested.
            self._to_skip = max(0, self._to_skip - skipped)
            self._skipped += skipped
            self._is_empty = False
        elif self._settings.loop and self._skipped:
            # The source has been read to its end, so its length is known.
            self._position = self._to_skip % self._skipped
            self.close()
        else:
            self._to_skip = 0
            self._end()

    def _end(self) -> None:
        if self._is_empty:
            problem = self._intake.last_problem
            raise SourceError(
                problem.reason if problem else "unreadable",
                f"{self._settings.source} has no good picture",
                problem.what if problem else "it ended before the first one",
                "check that it is what you meant",
            )
        self.close()
        self._position = 0
        if not self._settings.loop:
            self._enter(State.ENDED)

    def _fail(self, error: SourceError) -> None:
        self.close()
        now = clock.now()
        live_s = now - self._live_since if self._state in _FLOWING else 0.0
        least_s = LEAST_WAIT_S
        if error.reason == "unauthorised":
            least_s = min(LOGIN_WAIT_S, self._settings.backoff_cap_s)
        self._next_try = now + max(least_s, self._reconnect.failed(live_s))
        message = ". ".join(part for part in (error.what, error.why) if part)
        self._enter(State.BACKOFF, error.reason, message)

    def _frame(self) -> None:
        captured_at, ts = clock.now(), clock.wall()
        if not self._feed.welcomed:
            return  # without a pool a live camera is drained, and its frames are not counted
        self._taken += 1
        self._position = (self._position or 0) + 1 + self._source.skipped
        if self._passes_over:
            self._pass_over()
            return
        if self._source.is_exact and self._feed.told < self._feed.frame:
            self.report()  # if the decoder dies of this picture, the pool knows which one it was
        if self._intake.take(captured_at, ts):
            self._is_empty = False
            self._flows(captured_at)

    def _pass_over(self) -> None:
        """Count the first picture that the pool does not know as bad: it killed the decoder."""
        self._passes_over = False
        what = f"picture {self._position} of {self._settings.source} crashes the decoder"
        logs.warning(what, camera=self._settings.name)
        self._intake.pass_over(SourceError("decoder_died", what))
        self.report()

    def _flows(self, now: float) -> None:
        """Update the state after a good frame."""
        if self._state not in _FLOWING:
            self._been_live = True
            self._live_since = now
        state, reason, message = self._flowing_state()
        if (state, reason) != (self._state, self._reason):
            self._enter(state, reason, message)
        elif self.is_still and now - self._told_at > _TELL_STILL * self._settings.stalled_s:
            self.report()  # the pool is not told of each of these frames

    def _flowing_state(self) -> tuple[State, str, str]:
        same = self._intake.stillness
        if same.is_frozen:
            return State.FROZEN, "same_picture", f"the same picture for {same.still_s:.0f} s"
        if self.is_still:
            return State.LIVE, STILL, REASONS[STILL]
        return State.LIVE, "", ""

    @property
    def is_still(self) -> bool:
        """Whether the motion gate leaves frames out, as of the last one."""
        return self._intake.is_still
