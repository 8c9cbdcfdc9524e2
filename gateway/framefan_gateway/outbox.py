"""An outbox: what one client is due beyond its feed, and its exact account.

In step, an outbox is nothing but the feed's totals at the moment it joined: its account is a
subtraction. Out of step it holds how far the feed had come when the line filled (`latest`: one
mark per camera; `every`: one position in the log), so what is pending, and what was missed, is
again a difference. At every moment, in integers:

    offered = sent + missed (conflated, lost, bus) + pending

Pure: it returns bytes; whoever owns the line writes them, and says when the line is full or free.
"""

from __future__ import annotations

from framefan_gateway.accounts import NOTHING, Mark, Totals
from framefan_gateway.feed import EveryFeed, Feed, LatestFeed, gap


class Outbox:
    """The account of one client; `in_step` says whether the feed keeps it."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._own = Totals()
        self._since = feed.totals
        """The feed's totals up to which `_own` is settled."""
        self._first: list[bytes] = []
        self._first_results = 0
        self.in_step = False

    def greet(self, data: bytes, results: int = 0) -> None:
        """Have this leave before anything else; `results` of it are outcomes, offered now."""
        self._first.append(data)
        self._first_results += results
        self._own = self._own.plus(Totals(offered=results))

    def offset(self) -> Totals:
        """What to add to the feed's totals to get this account, while in step."""
        return self._own.minus(self._since)

    def step_out(self) -> None:
        """The line is full: from here on the feed goes on without this client."""
        self._settle(self._feed.totals.minus(self._since))
        self.in_step = False

    def step_in(self) -> bool:
        """Join the clients in step if nothing sets this one apart; says whether it did."""
        if self._first or not self._level():
            return False
        self._settle(self._passed())
        self.in_step = True
        return True

    def account(self) -> Totals:
        """The account as of now; what offered exceeds the rest by is pending."""
        if self.in_step:
            return self._own.plus(self._feed.totals.minus(self._since))
        return self._own.plus(self._passed())

    def _settle(self, more: Totals) -> None:
        self._own = self._own.plus(more)
        self._since = self._feed.totals

    def _passed(self) -> Totals:
        """What was offered and lost since the last settling; what was sent is ours to count."""
        passed = self._feed.totals.minus(self._since)
        return Totals(offered=passed.offered, lost=passed.lost, bus=passed.bus)

    def _sent(self, parts: list[bytes], results: int, conflated: int = 0) -> bytes:
        data = b"".join(parts)
        self._own = self._own.plus(Totals(sent=results, conflated=conflated, bytes=len(data)))
        return data

    def _take_first(self) -> tuple[list[bytes], int]:
        first = self._first, self._first_results
        self._first, self._first_results = [], 0
        return first

    def drain(self, now: float, most_bytes: int) -> bytes:
        """All that is due and fits; counts as sent. Empty when nothing is due."""
        raise NotImplementedError

    def _level(self) -> bool:
        """Whether this client has been told exactly what those in step have been told."""
        raise NotImplementedError


class LatestOutbox(Outbox):
    def __init__(self, feed: LatestFeed) -> None:
        """A newcomer: the latest outcome of each camera is pending, and nothing before it."""
        super().__init__(feed)
        self._of = feed
        self._noticed = feed.noticed
        self._marks: dict[str, Mark] = {}
        for camera, line in feed.lines.items():
            if not line.current:
                self._marks[camera] = line.now
                continue
            last = line.latest_mark
            self._marks[camera] = last._replace(results=last.results - 1)
            lost, bus = line.now.lost - last.lost, line.now.bus - last.bus
            self._own = self._own.plus(Totals(1 + lost + bus, lost=lost, bus=bus))

    def step_out(self) -> None:
        super().step_out()
        self._marks = dict(self._of.told)
        self._noticed = self._of.noticed

    def drain(self, now: float, most_bytes: int) -> bytes:  # noqa: ARG002 - bounded by its nature
        """All that is due: the newest of each camera. Empty when there is nothing."""
        parts, results = self._take_first()
        parts += self._notices()
        conflated = 0
        for camera, line in self._of.lines.items():
            mark = self._marks.setdefault(camera, Mark())
            if line.latest is None or line.now.results == mark.results:
                continue
            missed = mark.missed_until(line.latest_mark)
            parts.append(line.latest.frame(self._of.format, missed, now))
            self._marks[camera] = line.latest_mark
            results += 1
            conflated += missed.conflated
        return self._sent(parts, results, conflated)

    def _notices(self) -> list[bytes]:
        feed = self._of
        if self._noticed == feed.noticed:
            return []
        due = sorted((n, notice) for n, notice in feed.notices.values() if n > self._noticed)
        self._noticed = feed.noticed
        return [notice.frame(feed.format) for _, notice in due]

    def _level(self) -> bool:
        return self._noticed == self._of.noticed and self._marks == self._of.told

    def _passed(self) -> Totals:
        """Results that a newer one has already replaced count as conflated, not as pending."""
        passed = super()._passed()
        conflated = 0
        for camera, line in self._of.lines.items():
            unsent = line.now.results - self._marks.get(camera, Mark()).results
            conflated += max(unsent - 1, 0)
        return passed._replace(conflated=conflated)


class EveryOutbox(Outbox):
    def __init__(self, feed: EveryFeed, now: float) -> None:
        """A newcomer: greeted with the latest of each camera and the gaps since."""
        super().__init__(feed)
        self._of = feed
        self.position = feed.end
        """The number of the log entry that is due next, while out of step."""
        for line in feed.lines.values():
            if line.current and line.latest is not None:
                self.greet(line.latest.frame(feed.format, NOTHING, now), results=1)
                for loss in line.losses:
                    self.greet(gap(loss).frame(feed.format))
                    self._own = self._own.plus(Totals.of(loss.missed))

    @property
    def overflowed(self) -> bool:
        """Behind the log's oldest entry: what it was due is gone, so it can only be closed."""
        return not self.in_step and self.position < self._of.start

    def step_out(self) -> None:
        super().step_out()
        self.position = self._of.end

    def drain(self, now: float, most_bytes: int) -> bytes:  # noqa: ARG002 - encoded when it came
        """The next entries of the log, about `most_bytes` of them. Empty when there is nothing."""
        parts, results = self._take_first()
        entries = self._of.entries(self.position, most_bytes)
        self.position += len(entries)
        parts += [entry.data for entry in entries]
        return self._sent(parts, results + sum(entry.results for entry in entries))

    def _level(self) -> bool:
        return self.position == self._of.end
