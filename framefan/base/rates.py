"""How many events a second there are, also of events that are seconds apart. No I/O."""

from __future__ import annotations

SILENT_S = 4.0
"""After this long, and after twice the usual time between two events, the rate is 0."""


def per_second(count: int, first: float, last: float, now: float) -> float:
    """Events a second: `count` came after `first`, the newest one at `last`; all in seconds.

    The rate stays as it is until the next event is overdue, and falls from then on. A count within
    a fixed window would jump between none and too many for events that are rarer than the window.
    """
    if count <= 0 or last <= first:
        return 0.0
    each = (last - first) / count
    if now - last > max(SILENT_S, 2 * each):
        return 0.0
    return count / (max(last, now - each) - first)


def in_words(rate: float) -> str:
    """A rate for people: below 1, two digits, so that 1 in 30 seconds is not shown as 0.0."""
    return f"{rate:.2g}" if 0.001 <= rate < 0.95 else f"{rate:.1f}"
