"""A window: how much one client may have on its way, found out from how soon it is heard of.

What the kernel has delivered may lie unread for seconds, in the client's receive buffer or in its
library's queue, and no socket option tells. But something comes back: the pong of a ping that
was written behind the results, or the client's own acknowledgement. Both are called an echo here;
what they echo is a number that each write carries.

1. `size` writes may be on their way. A newcomer begins with one.
2. `base` is the least delay of an echo in the last 10 to 20 seconds: what the way itself takes. So
   that it is that and no wait behind other writes, a window that held something back begins with
   one again every 10 seconds, and until all that is on its way has come back nothing is learned.
3. An echo within `base` + 100 ms is timely; and if this process ran late itself, within so much
   more, since it may have come before it was seen. If anything was held back since that write, a
   timely echo lets the window grow by one: so by each write of a round trip, to twice its size.
   Where the echo came within `PROMPT_S`, that counts only the `STREAK`th time in a row: a result
   that happened to come between a write and its echo had not long to wait, and a larger window
   would only fill the queue of a slow handler.
4. A later echo shrinks the window in proportion, once for all that was on its way by then, and at
   least to one.
5. While an echo is overdue nothing else is written, whatever the window.
6. After a second and `CALM_WRITES` writes in which nothing was held back, the client is steady: it
   is written to without a limit, and one write in each look carries a number. These are more
   writes than the queue of a common library holds, so that a slow handler cannot pass for a fast
   one. After `CALM_MOST_S`, `CALM_LEAST` are enough: at such a rate a look is soon enough.
   An overdue echo ends that, and the window begins again with one.
7. A client that has never echoed anything for `GIVE_UP_S` does not know how to: it is no longer
   judged, until it does.

This is congestion control by delay, as TCP Vegas does it (Brakmo and Peterson, 1995), on messages
and up to the one who reads them. Pure: times, in seconds, come in as arguments.
"""

from __future__ import annotations

import math
from typing import Protocol

PATIENCE_S = 0.1
PROMPT_S, STREAK = 0.05, 3
CALM_S = 1.0
CALM_WRITES = 24
"""websockets holds 17 before it pauses, and its user the one that comes before them."""
CALM_MOST_S, CALM_LEAST = 5.0, 4
BASE_S = 10.0
GIVE_UP_S = 3.0
MOST = 1000


class Lateness(Protocol):
    """What a window needs to know of its own process."""

    @property
    def recent_s(self) -> float:
        """By how much it was late lately, in seconds."""


class ReadWindow:
    """One client's, from the numbers written to it and those that came back."""

    __slots__ = (
        "_base",
        "_base_at",
        "_base_before",
        "_calm_since",
        "_calm_writes",
        "_clean_from",
        "_echoes",
        "_first_at",
        "_held_back",
        "_lateness",
        "_out",
        "_shrunk_at",
        "_size",
        "_streak",
        "judged",
        "steady",
    )

    def __init__(self, now: float, lateness: Lateness) -> None:
        self._lateness = lateness
        self._out: list[tuple[int, float, int]] = []  # an empty deque would take half a KiB
        """Numbers that are on their way, since when, and how much had been held back by then."""
        self._size = 1.0
        self._base = self._base_before = math.inf
        self._base_at = now
        self._clean_from = -1
        """The newest number whose delay may be a wait behind other writes."""
        self._held_back = False
        """Whether anything was since `_base_at`."""
        self._echoes = False
        """Whether anything ever came back."""
        self._first_at = math.inf
        """When the first number was written."""
        self._shrunk_at = -1
        """The newest number that was on its way when the window shrank last."""
        self._streak = 0
        """How many timely echoes in a row came after something was held back."""
        self._calm_since = now
        self._calm_writes = 0
        self.steady = False
        """Whether it is written to without a limit."""
        self.judged = True
        """False: it never echoed anything."""

    @property
    def size(self) -> int:
        """How many writes may be on their way."""
        return int(self._size)

    @property
    def outstanding(self) -> int:
        """How many numbers are on their way."""
        return len(self._out)

    @property
    def timely_s(self) -> float:
        """Up to which delay an echo is timely, in seconds."""
        return min(self._base, self._base_before) + PATIENCE_S + self._lateness.recent_s

    def is_overdue(self, now: float) -> bool:
        """Whether the oldest number on its way has not come back in time."""
        return bool(self._out) and now - self._out[0][1] > self.timely_s

    def room(self, now: float) -> int:
        """How many writes more may leave now."""
        if not self.judged:
            return MOST
        if self.is_overdue(now):
            return 0
        return MOST if self.steady else max(int(self._size) - len(self._out), 0)

    def wrote(self, number: int, now: float, held: int) -> None:
        """A write left that carries this number; numbers rise. `held`: how many results have been
        held back so far, those that were replaced meanwhile and those that still wait.
        """
        self._out.append((number, now, held))
        self._first_at = min(self._first_at, now)
        self._calm_writes += 1

    def awaits(self, number: int) -> bool:
        """Whether an echo of this number would tell anything."""
        return bool(self._out) and self._out[0][0] <= number

    def echoed(self, number: int, now: float, held: int) -> bool:
        """An echo of this number, and so of all before it; whether it was timely."""
        sent_at, held_then = now, held
        while self._out and self._out[0][0] <= number:
            _, sent_at, held_then = self._out.pop(0)
        delay, bound = now - sent_at, self.timely_s
        timely = delay <= bound
        self._streak = self._streak + 1 if timely and held > held_then else 0
        held_back = held > held_then and (delay > PROMPT_S or self._streak >= STREAK)
        self._echoes = self.judged = True
        self._held_back = self._held_back or held_back
        self._learn(number, delay, now)
        if timely:
            self._size = min(self._size + held_back, MOST)
        elif number > self._shrunk_at:
            self._size = 1.0 if self.steady else max(self._size * bound / delay, 1.0)
            self._shrunk_at = self._out[-1][0] if self._out else number
            self.steady = False
        if held_back or not timely:
            self.stirred(now)
        else:
            calm_s = now - self._calm_since
            least = CALM_WRITES if calm_s < CALM_MOST_S else CALM_LEAST
            self.steady |= calm_s >= CALM_S and self._calm_writes >= least
        return timely

    def _learn(self, number: int, delay: float, now: float) -> None:
        if now - self._base_at > BASE_S:
            self._base_before, self._base, self._base_at = self._base, math.inf, now
            if self._held_back:
                self._held_back = False
                self._size = 1.0
                self._clean_from = self._out[-1][0] if self._out else number
        if number > self._clean_from:
            self._base = min(self._base, delay)

    def stirred(self, now: float) -> None:
        """Something was held back: the calm begins anew."""
        self._calm_since, self._calm_writes = now, 0

    def falls_behind(self, now: float) -> bool:
        """Whether a steady client is so no longer, from now on; ask at each look."""
        if not self.steady or not self._echoes or not self.is_overdue(now):
            return False
        self.steady = False
        self._size = 1.0
        self._shrunk_at = self._out[-1][0]
        self.stirred(now)
        return True

    def gives_up(self, now: float) -> bool:
        """Whether this client is not judged any more, from now on; ask at each look."""
        if self._echoes or not self.judged or now - self._first_at < GIVE_UP_S:
            return False
        self.judged = False
        return True
