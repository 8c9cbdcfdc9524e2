"""How long the next flush waits. No I/O: times, in seconds, are arguments.

News is flushed at once if the last flush was short or long ago. Otherwise the next flush waits 16
times as long as the last one took, at most 4 ms, or up to 10 ms when this process computes for more
than half of the time. Then several messages share each client's write, which makes each message
cheaper, and the event loop has time for everything else.
"""

from __future__ import annotations

from framefan_gateway.latency import Busy

_FACTOR = 16
_LEAST_S = 0.0005
"""A shorter pause is not worth a timer."""
_MAX_S, _MAX_BUSY_S = 0.004, 0.010
_BUSY = 0.5
"""The share of CPU time from which on the pause may grow."""


class FlushPause:
    def __init__(self) -> None:
        self._until = 0.0
        self._max_s = _MAX_S
        self._busy = Busy()

    def left_s(self, now: float) -> float:
        """How long the next flush has to wait; 0 if it need not."""
        left_s = self._until - now
        return left_s if left_s >= _LEAST_S else 0.0

    def record_flush(self, start: float, end: float) -> None:
        self._until = end + min((end - start) * _FACTOR, self._max_s)

    def beat(self, now: float, cpu_s: float) -> None:
        """Adapt to the load; call this regularly. `cpu_s`: the CPU time of this process so far."""
        self._busy.beat(now, cpu_s)
        over = max(self._busy.share - _BUSY, 0.0) / (1 - _BUSY)
        self._max_s = _MAX_S + over * (_MAX_BUSY_S - _MAX_S)
