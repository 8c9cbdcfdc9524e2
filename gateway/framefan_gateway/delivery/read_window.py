"""A read window: how many writes one client may have in flight, by how soon it echoes them.

Bytes that the kernel has delivered may lie unread for seconds, in the client's receive buffer or in
its library's queue, and no socket option shows that. But the client sends something back: the pong
of a ping that was written after the results, or its own acknowledgement. Both are called an echo
here. Each echo returns a number that its write carried.

1. `size` writes may be in flight. It begins at 1.
2. `base` is the shortest delay of an echo in the last 10 to 20 seconds: that of the path alone.
   Time spent in queues must not count. So a window that held results back restarts at 1 every 10
   seconds, and measures no delay until all earlier writes have been echoed.
3. An echo within `base` + 100 ms is timely. If this process itself ran late, that much is added,
   because the echo may have arrived before the process saw it. If results were held back since the
   write, a timely echo grows the window by 1; so the window doubles in one round trip. If the echo
   came within `PROMPT_S`, only the `STREAK`th such echo in a row grows it: a result that happened
   to arrive between a write and its echo was not held back for long, and a larger window would
   only fill the queue of a slow handler.
4. A late echo shrinks the window in proportion to the delay, to no less than 1, and only once for
   all writes in flight at that time.
5. While an echo is overdue nothing is written, whatever the size.
6. A client is steady once nothing was held back for `CALM_S` seconds and `CALM_WRITES` writes. From
   then on only one write per check (see flow.py) carries a number. Other writes are not limited.
   `CALM_WRITES` exceeds the queue of common client libraries, so a slow handler is not mistaken
   for a fast one. After `CALM_MAX_S`, `CALM_MIN_WRITES` writes suffice: at that rate a check comes
   soon enough. An overdue echo ends the steady state, and the window restarts at 1.
7. Of a steady client, `AHEAD` writes may be in flight, and as many more as it echoes in the time
   that its echoes take (their mean and four times their deviation, as TCP computes its timeout,
   RFC 6298). So a handler that becomes slow has few results in front of it. Prompt echoes never
   grow a window beyond that.
8. A client that has not echoed anything within `GIVE_UP_S` cannot echo. The window stops limiting
   it until an echo comes.

This is delay-based congestion control as in TCP Vegas (Brakmo and Peterson, 1995), applied to
messages and end to end to the reader. No I/O: times, in seconds, are arguments.
"""

from __future__ import annotations

import math
from typing import Protocol

PATIENCE_S = 0.1
PROMPT_S, STREAK = 0.05, 3
CALM_S = 1.0
CALM_WRITES = 24
"""The library websockets queues 17 messages before it pauses, and its user holds one more."""
CALM_MAX_S, CALM_MIN_WRITES = 5.0, 4
AHEAD = 2
RATE_S = 0.5
"""The rate of echoes is counted over this time."""
BASE_S = 10.0
GIVE_UP_S = 3.0
MOST = 1000


class Lateness(Protocol):
    """How late this process runs."""

    @property
    def recent_s(self) -> float:
        """By how much it was late recently, in seconds."""


class ReadWindow:
    """The window of one client, computed from the numbers written and echoed."""

    __slots__ = (
        "_base",
        "_base_at",
        "_base_before",
        "_calm_since",
        "_calm_writes",
        "_clean_from",
        "_delay",
        "_delay_varies",
        "_echoed",
        "_echoed_from",
        "_echoes",
        "_first_at",
        "_held_back",
        "_lateness",
        "_out",
        "_rate",
        "_rate_before",
        "_shrunk_at",
        "_size",
        "_streak",
        "limiting",
        "steady",
    )

    def __init__(self, now: float, lateness: Lateness) -> None:
        self._lateness = lateness
        self._out: list[tuple[int, float, int]] = []  # an empty deque would take half a KiB
        """Each number in flight: the number, when it was written, and `held` at that time."""
        self._size = 1.0
        self._base = self._base_before = math.inf
        self._base_at = now
        self._rate = self._rate_before = 0.0
        """The highest rate of echoes, a second, since `_base_at` and in the interval before."""
        self._echoed, self._echoed_from = 0, now
        """How many numbers were echoed since when."""
        self._delay = self._delay_varies = 0.0
        """The mean of the timely delays, and their mean deviation."""
        self._clean_from = -1
        """The newest number whose delay may include queueing behind other writes."""
        self._held_back = False
        """Whether anything was held back since `_base_at`."""
        self._echoes = False
        """Whether an echo ever came."""
        self._first_at = math.inf
        """When the first number was written."""
        self._shrunk_at = -1
        """The newest number in flight when the window last shrank."""
        self._streak = 0
        """How many echoes in a row were timely although results had been held back."""
        self._calm_since = now
        self._calm_writes = 0
        self.steady = False
        """Whether writes are not limited because the client has kept up."""
        self.limiting = True
        """False: the window does not limit the client, because it has never echoed anything."""

    @property
    def size(self) -> int:
        """How many writes may be in flight."""
        return int(self._size)

    @property
    def outstanding(self) -> int:
        """How many numbers are in flight."""
        return len(self._out)

    @property
    def timely_s(self) -> float:
        """The longest delay of a timely echo, in seconds."""
        return min(self._base, self._base_before) + PATIENCE_S + self._lateness.recent_s

    def is_overdue(self, now: float) -> bool:
        """Whether the oldest number in flight should have been echoed by now."""
        return bool(self._out) and now - self._out[0][1] > self.timely_s

    def room(self, now: float) -> int:
        """How many more writes are allowed now."""
        if not self.limiting:
            return MOST
        if self.is_overdue(now):
            return 0
        size = self._needed if self.steady else int(self._size)
        return max(size - len(self._out), 0)

    @property
    def _needed(self) -> int:
        """How many writes in flight a client needs that handles each at once."""
        echo_s = self._delay + 4 * self._delay_varies
        return min(AHEAD + math.ceil(max(self._rate, self._rate_before) * echo_s), MOST)

    def record_write(self, number: int, now: float, held: int) -> None:
        """Record a write that carries this number; numbers increase.

        `held`: how many results have been held back so far, replaced ones and waiting ones.
        """
        self._out.append((number, now, held))
        self._first_at = min(self._first_at, now)
        self._calm_writes += 1

    def awaits(self, number: int) -> bool:
        """Whether an echo of this number is new information."""
        return bool(self._out) and self._out[0][0] <= number

    def record_echo(self, number: int, now: float, held: int) -> bool:
        """Record an echo of this number, and so of all before it; return whether it was timely."""
        sent_at, held_then = now, held
        while self._out and self._out[0][0] <= number:
            _, sent_at, held_then = self._out.pop(0)
            self._echoed += 1
        delay, bound = now - sent_at, self.timely_s
        timely = delay <= bound
        self._streak = self._streak + 1 if timely and held > held_then else 0
        may_grow = self._streak >= STREAK and self._size < self._needed
        held_back = held > held_then and (delay > PROMPT_S or may_grow)
        self._echoes = self.limiting = True
        self._held_back = self._held_back or held_back
        self._learn(number, delay, now)
        self._measure_rate(now)
        if timely:
            self._smooth(delay)
            self._size = min(self._size + held_back, MOST)
        elif number > self._shrunk_at:
            self._size = 1.0 if self.steady else max(self._size * bound / delay, 1.0)
            self._shrunk_at = self._out[-1][0] if self._out else number
            self.steady = False
        if held_back or not timely:
            self.restart_calm(now)
        else:
            calm_s = now - self._calm_since
            least = CALM_WRITES if calm_s < CALM_MAX_S else CALM_MIN_WRITES
            self.steady |= calm_s >= CALM_S and self._calm_writes >= least
        return timely

    def _learn(self, number: int, delay: float, now: float) -> None:
        if now - self._base_at > BASE_S:
            self._base_before, self._base, self._base_at = self._base, math.inf, now
            self._rate_before, self._rate = self._rate, 0.0
            if self._held_back:
                self._held_back = False
                self._size = 1.0
                self._clean_from = self._out[-1][0] if self._out else number
        if number > self._clean_from:
            self._base = min(self._base, delay)

    def _measure_rate(self, now: float) -> None:
        passed = now - self._echoed_from
        if passed >= RATE_S:
            self._rate = max(self._rate, self._echoed / passed)
            self._echoed, self._echoed_from = 0, now

    def _smooth(self, delay: float) -> None:
        """Mean and deviation of delays as in RFC 6298, section 2."""
        if not self._delay:
            self._delay, self._delay_varies = delay, delay / 2
            return
        self._delay_varies += (abs(self._delay - delay) - self._delay_varies) / 4
        self._delay += (delay - self._delay) / 8

    def restart_calm(self, now: float) -> None:
        """Results were held back, so the time and writes until steady count from now."""
        self._calm_since, self._calm_writes = now, 0

    def end_steady_if_overdue(self, now: float) -> bool:
        """End the steady state if an echo is overdue; return whether it ended."""
        if not self.steady or not self._echoes or not self.is_overdue(now):
            return False
        self.steady = False
        self._size = 1.0
        self._shrunk_at = self._out[-1][0]
        self.restart_calm(now)
        return True

    def give_up_if_silent(self, now: float) -> bool:
        """Stop limiting a client that has never echoed; return whether that happened now."""
        if self._echoes or not self.limiting or now - self._first_at < GIVE_UP_S:
            return False
        self.limiting = False
        return True
