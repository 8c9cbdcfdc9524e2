"""The table of `framefan watch`: the last seconds of each camera, from its messages. No I/O.

A camera's state is that of its last status, or `live` without one: a new client gets a status only
for cameras that are not live. A frame captured after the status shows that the camera is live
again, so a status missed while disconnected does no lasting harm.
"""

from __future__ import annotations

import re
import statistics
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec import UNSET

from framefan.base.rates import per_second
from framefan.ipc.protocol import Failure, Result, Status
from framefan.settings.states import FLOWING

if TYPE_CHECKING:
    from framefan.ipc.protocol import Message

WINDOW_S = 5.0
_SUMMARY_MOST = 40
_KEPT = 5000
"""Most results of one camera within the window: enough for 1,000 per second."""


class Row(NamedTuple):
    """One line of the table, for one camera."""

    camera: str
    state: str
    fps: float
    seq: int | None
    seen: str
    p50_ms: float | None
    p95_ms: float | None
    trouble: str = ""
    """Why it is not live, or why its newest result is an error; never shortened."""


class _Camera:
    def __init__(self) -> None:
        self.status: Status | None = None
        self.try_at: float | None = None
        self.seq: int | None = None
        self.seen = ""
        self.error = ""
        self.since: float | None = None
        self.arrived: deque[tuple[float, float]] = deque(maxlen=_KEPT)
        """For each result, when it arrived and its total latency in milliseconds."""

    def take(self, outcome: Result | Failure, now: float) -> None:
        if self.since is None:
            self.since = now
        if self.status and self.status.state not in FLOWING and outcome.ts > self.status.ts:
            self.status = None
        self.seq = outcome.seq
        self.seen = summary(outcome)
        self.error = self.seen if isinstance(outcome, Failure) else ""
        if outcome.latency_ms.total < WINDOW_S * 1000:  # an older one was replayed
            self.arrived.append((now, outcome.latency_ms.total))

    def told(self, status: Status, now: float) -> None:
        self.status = status
        self.try_at = None if status.next_try_s is UNSET else now + status.next_try_s

    def state(self, now: float) -> str:
        if self.status is None:
            return "live" if self.since is not None else "?"
        left = None if self.try_at is None else max(self.try_at - now, 0.0)
        return in_words(self.status.state, self.status.reason, left)

    def row(self, name: str, now: float) -> Row:
        arrived = self.arrived
        while len(arrived) > 2 and arrived[1][0] <= now - WINDOW_S:
            arrived.popleft()
        fps = 0.0
        if arrived:
            fps = per_second(len(arrived) - 1, arrived[0][0], arrived[-1][0], now)
        totals = [total for at, total in arrived if fps or at > now - WINDOW_S]
        p50, p95 = _percentiles(totals)
        trouble = "; ".join(filter(None, (self.trouble(now), self.error)))
        return Row(name, self.state(now), fps, self.seq, self.seen, p50, p95, trouble)

    def trouble(self, now: float) -> str:
        """Why it is not live: its state and the message that came with it."""
        if self.status is None or self.status.state == "live":
            return ""
        message = self.status.message
        return self.state(now) + (f": {printable(message)}" if message else "")


class Board:
    def __init__(self) -> None:
        self._cameras: dict[str, _Camera] = {}
        self.notice = ""
        """The last change of a worker or the pool."""

    def take(self, message: Message, now: float) -> None:
        if isinstance(message, Result | Failure):
            self._camera(message.camera).take(message, now)
        elif isinstance(message, Status):
            self._told(message, now)

    def _told(self, status: Status, now: float) -> None:
        if not isinstance(status.camera, str):
            worker = "" if status.worker is UNSET else f" {status.worker}"
            self.notice = printable(
                f"{status.subject}{worker}: {in_words(status.state, status.reason)}"
            )
        elif status.reason == "removed":
            self._cameras.pop(status.camera, None)
        else:
            self._camera(status.camera).told(status, now)

    def _camera(self, name: str) -> _Camera:
        return self._cameras.setdefault(name, _Camera())

    def rows(self, now: float) -> list[Row]:
        return [camera.row(name, now) for name, camera in self._ordered()]

    def _ordered(self) -> list[tuple[str, _Camera]]:
        return sorted(self._cameras.items(), key=lambda item: natural(item[0]))


def in_words(state: str, reason: str, next_try_s: float | None = None) -> str:
    """A state as tables show it: `backoff (refused), next try in 3 s`."""
    text = printable(f"{state} ({reason})" if reason else state)
    return text if next_try_s is None else f"{text}, next try in {next_try_s:.0f} s"


def _percentiles(totals: list[float]) -> tuple[float | None, float | None]:
    if len(totals) < 2:
        only = totals[0] if totals else None
        return only, only
    cuts = statistics.quantiles(totals, n=20, method="inclusive")
    return cuts[9], cuts[18]


def summary(outcome: Result | Failure) -> str:
    """The content of an outcome in a few words."""
    if isinstance(outcome, Failure):
        return printable(f"{outcome.error.kind}: {outcome.error.message}")
    if outcome.detections is UNSET:
        return printable(_shortly(outcome.result))
    counts = Counter(each.label for each in outcome.detections)
    return printable(", ".join(f"{label} {count}" for label, count in counts.most_common())) or "-"


def _shortly(value: Any) -> str:
    return msgspec.json.encode(value).decode(errors="replace")


def natural(name: str) -> list[tuple[bool, int, str]]:
    """A sort key that puts cam-2 before cam-10."""
    parts = re.split(r"([0-9]+)", name)
    return [(True, int(each), "") if each.isdecimal() else (False, 0, each) for each in parts]


def printable(text: str) -> str:
    """Text safe for a terminal, on one line: a label must not contain control sequences."""
    return "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in text)


def clean(text: str) -> str:
    """`printable`, shortened to fit into a table."""
    shown = printable(text)
    return shown if len(shown) <= _SUMMARY_MOST else shown[: _SUMMARY_MOST - 3] + "..."
