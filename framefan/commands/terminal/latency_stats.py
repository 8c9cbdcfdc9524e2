"""Computes frame rates and latencies as `framefan top` and the page show them. No I/O.

The run's table contains counters; two tables some seconds apart give rates: as far apart as a slow
camera needs for some frames. Latencies are those of the results that this client received in the
last minute.
"""

from __future__ import annotations

import math
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from framefan.base.rates import in_words, per_second

if TYPE_CHECKING:
    from collections.abc import Mapping

    from framefan.ipc.protocol import Latency

WINDOW_S = 60.0
_KEPT = 20_000
"""Most results of one camera within the window: enough for 300 per second."""
_LEAST = 0.05
"""A cause with fewer frames per second is not shown."""


_FRAMES = 5
"""Rates are measured over this many frames, of a slow camera over at most a minute."""
_TABLES = 60


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
            return in_words(sum(self.dropped.values()))
        more = len(order) - causes
        named = ", ".join(f"{cause} {in_words(rate)}" for cause, rate in order[:causes]) or "-"
        return f"{named} +{more}" if more > 0 else named


class Tables:
    """The tables of the last minute, of `/api/status`."""

    def __init__(self) -> None:
        self._tables: deque[dict[str, Any]] = deque(maxlen=_TABLES)
        self.newest: dict[str, Any] | None = None

    def add(self, table: dict[str, Any]) -> None:
        """One that was added already changes nothing; one of a new epoch begins anew."""
        if self.newest and self.newest["epoch"] != table["epoch"]:
            self._tables.clear()
        elif self.newest and table["ts"] <= self.newest["ts"]:
            return
        self.newest = table
        self._tables.append(table)

    def flow(self, camera: str) -> Flow | None:
        """The rates of a camera; None if the table before the newest one does not have it."""
        seen = [(each["ts"], each["cameras"].get(camera)) for each in self._tables]
        if len(seen) < 2 or not seen[-1][1] or not seen[-2][1]:
            return None
        now, after = seen[-1]
        since, before = _window(seen)
        return flow(before, after, now - since)


def _window(seen: list[tuple[float, Any]]) -> tuple[float, Any]:
    """The table from which on there are _FRAMES frames, or the last but one if none come now."""
    now, after = seen[-1]
    last, start = now, seen[-2]
    for ts, facts in reversed(seen[:-1]):
        if facts is None:
            break
        start = ts, facts
        if facts["captured"] == after["captured"]:
            last = ts
        if after["captured"] - facts["captured"] >= _FRAMES:
            break
    count = after["captured"] - start[1]["captured"]
    return start if per_second(count, start[0], last, now) else seen[-2]


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
