"""When a stream's pictures may have another size than they come out with: a pure core.

FFmpeg's decoder follows a camera that changes its size; OpenCV scales what comes out to the size it
had at first, and tells nobody. Asking the camera again costs a session of it, so that is done on
suspicion only:

1. Scaling costs the decoder's thread several times the CPU of a plain conversion, and goes on.
   The usual cost is the median of the first `FIRST` pictures. When the cheapest of the last
   `LAST` costs more than `FACTOR` times that, the size is suspected. (The cheapest: one picture
   may be dear because another program had the caches, eight in a row are not.)
2. A damaged picture, or a gap in the stream, is how cameras change their size: a hint. The camera
   is asked at most every `HINT_REST_S`, twice as seldom after each answer that it was nothing.
3. The answer "same size" makes the cost of now the usual one, and silences sign 1 for `REST_S`.
4. No answer (many cameras serve one session only) after sign 1: reopening is the only way to know,
   and what is shown may be distorted. So that is done, but once in `REOPEN_REST_S` only. After a
   hint it is taken for "same size".

It misses changes between sizes of which both need the scaler from the start (odd widths).
"""

from __future__ import annotations

import math
from collections import deque
from statistics import median

FIRST = 25
LAST = 8
FACTOR = 2.0
REST_S = 60.0
HINT_REST_S = 10.0
HINT_REST_CAP_S = 600.0
REOPEN_REST_S = 600.0


class ResizeDetector:
    def __init__(self) -> None:
        self._hint_rest_s = HINT_REST_S
        self._hints_from = -math.inf
        self._reopen_from = -math.inf
        self.restart()

    def restart(self) -> None:
        """The stream was opened anew, or said its new size itself."""
        self._usual_s: float | None = None
        self._costs: deque[float] = deque(maxlen=FIRST)
        self._silent_until = -math.inf
        self._hinted = False

    def decoded(self, cost_s: float) -> None:
        """A picture came out at the usual size, for so much CPU of this thread."""
        self._costs.append(cost_s)
        if self._usual_s is None and len(self._costs) == FIRST:
            self._usual_s = median(self._costs)

    def disturbed(self) -> None:
        """A picture was damaged, or pictures were missing."""
        self._hinted = True

    @property
    def is_dear(self) -> bool:
        """Sign 1."""
        if self._usual_s is None:
            return False
        return min(list(self._costs)[-LAST:]) > FACTOR * self._usual_s

    def asks(self, now: float) -> bool:
        """Whether the camera should be asked for its size now; if so, `answered` comes next."""
        if self.is_dear and now >= self._silent_until:
            return True
        return self._hinted and now >= self._hints_from

    def answered(self, now: float, same: bool | None) -> bool:
        """Whether to open the stream anew; `same` is None when the camera did not say."""
        if same is False:
            # Not at once again: some cameras give each session a size of its own.
            self._hint_rest_s = HINT_REST_S
            self._hints_from = now + HINT_REST_S
            return True
        if same is None and self.is_dear and now >= self._reopen_from:
            self._reopen_from = now + REOPEN_REST_S
            return True
        self._rest(now)
        return False

    def _rest(self, now: float) -> None:
        if self._hinted:
            self._hinted = False
            self._hints_from = now + self._hint_rest_s
            self._hint_rest_s = min(2 * self._hint_rest_s, HINT_REST_CAP_S)
        if self.is_dear:
            self._usual_s = None
            self._costs.clear()
            self._silent_until = now + REST_S
