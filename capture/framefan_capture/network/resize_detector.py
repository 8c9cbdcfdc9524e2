"""Detects that a stream's pictures may have another size than OpenCV returns. No I/O.

When a camera changes its size, FFmpeg's decoder follows; OpenCV silently scales the pictures to the
first size. Checking the size costs a session of the camera, so it is done only on these signs:

1. Scaling costs the decoder's thread several times the CPU of a plain conversion. The usual cost is
   the median of the first `FIRST` pictures. If the cheapest of the last `LAST` costs more than
   `FACTOR` times that, the size may have changed. (The cheapest, because single pictures may be
   expensive when another program used the caches; eight in a row are not.)
2. Cameras that change their size often damage a picture or cause a gap in the stream. After such a
   hint the size is checked at most every `HINT_REST_S`, half as often after each "same size".
3. The answer "same size" makes the current cost the usual one, and disables sign 1 for `REST_S`.
4. Without an answer after sign 1 (many cameras serve one session only), only reopening gives the
   size, and the pictures may be distorted. So the stream is reopened, at most once per
   `REOPEN_REST_S`. After a hint, no answer counts as "same size".

It misses changes between two sizes that both need scaling from the start (odd widths).
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
        """Start over: the stream was reopened, or reported its new size itself."""
        self._usual_s: float | None = None
        self._costs: deque[float] = deque(maxlen=FIRST)
        self._silent_until = -math.inf
        self._hinted = False

    def decoded(self, cost_s: float) -> None:
        """Record a picture of the usual size, and its CPU time in this thread."""
        self._costs.append(cost_s)
        if self._usual_s is None and len(self._costs) == FIRST:
            self._usual_s = median(self._costs)

    def disturbed(self) -> None:
        """Record a hint: a picture was damaged, or pictures were missing."""
        self._hinted = True

    @property
    def is_dear(self) -> bool:
        """Whether decoding has become expensive (sign 1)."""
        if self._usual_s is None:
            return False
        return min(list(self._costs)[-LAST:]) > FACTOR * self._usual_s

    def asks(self, now: float) -> bool:
        """Whether to check the camera's size now; call `answered` with the outcome."""
        if self.is_dear and now >= self._silent_until:
            return True
        return self._hinted and now >= self._hints_from

    def answered(self, now: float, same: bool | None) -> bool:
        """Record the outcome of a check (None: no answer); return whether to reopen the stream."""
        if same is False:
            # Wait before the next check: some cameras give each session another size.
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
