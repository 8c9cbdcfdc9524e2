"""Computes frame rates and latencies as `framefan top` and the page show them. No I/O.

The run's table contains counters; two tables some seconds apart give rates. Latencies are those of
the results that this client received in the last minute.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from framefan.ipc.protocol import Latency

WINDOW_S = 60.0
_KEPT = 20_000
"""Most results of one camera within the window: enough for 300 per second."""
_LEAST = 0.05
"""A cause with fewer frames per second is not shown."""


class Stages(NamedTuple):
    """Milliseconds: the mean of each stage, and percentiles of the total."""

    wait: float
    predict: float
    deliver: float
    p50: float
    p95: float
    p99: float


class Minute:
    """One camera's latencies."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, Latency]] = deque(maxlen=_KEPT)

    def add(self, latency: Latency, now: float) -> None:
        """Add a result, unless its frame is older than the window: then it was replayed."""
        if latency.total < WINDOW_S * 1000:
            self._seen.append((now, latency))

    def stages(self, now: float) -> Stages | None:
        """None if there was no result within the window."""
        while self._seen and self._seen[0][0] <= now - WINDOW_S:
            self._seen.popleft()
        if not self._seen:
            return None
        found = [latency for _, latency in self._seen]
        totals = sorted(each.total for each in found)
        count = len(found)
        return Stages(
            sum(each.wait for each in found) / count,
            sum(each.predict for each in found) / count,
            sum(each.deliver for each in found) / count,
            *(totals[max(math.ceil(share * count) - 1, 0)] for share in (0.5, 0.95, 0.99)),
        )


class Flow(NamedTuple):
    """Frames per second of one camera."""

    captured: float
    predicted: float
    dropped: dict[str, float]
    """By cause: frames that no worker got, and frames that were lost, bad or failed."""

    def told(self, causes: int = 99) -> str:
        """The `causes` largest causes and how many more there are; with 0, only the sum."""
        order = sorted(self.dropped.items(), key=lambda item: -item[1])
        if not causes and order:
            return f"{sum(self.dropped.values()):.1f}"
        more = len(order) - causes
        named = ", ".join(f"{cause} {rate:.1f}" for cause, rate in order[:causes]) or "-"
        return f"{named} +{more}" if more > 0 else named


def flow(before: Mapping[str, Any], after: Mapping[str, Any], seconds: float) -> Flow:
    """The rates between two tables; each is a camera's entry in `/api/status`."""

    def rate(name: str) -> float:
        return float(after[name] - before[name]) / seconds

    dropped: dict[str, float] = {}
    for field, head in (("superseded_by", ""), ("lost_by", "lost ")):
        for cause, count in after[field].items():
            dropped[head + cause] = (count - before[field].get(cause, 0)) / seconds
    dropped["bad"], dropped["errors"] = rate("bad"), rate("errors")
    named = {cause: round(each, 2) for cause, each in dropped.items() if each > _LEAST}
    return Flow(round(rate("captured"), 2), round(rate("results") + rate("errors"), 2), named)
