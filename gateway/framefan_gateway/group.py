"""A group: the clients of one feed, and what happens when a line fills or drains.

1. Clients in step get the feed's batch in one write each. Nothing else is done for them, not even
   counting: the feed's totals are theirs.
2. A write may fill a line. The client then falls out of step, and nothing is done for it until
   its line is free.
3. A client whose line is free but which is not in step is given what it is due by itself, until
   it has been told the same as all others; then it falls in step.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from framefan_gateway.accounts import Totals
from framefan_gateway.every import EveryFeed, EveryOutbox
from framefan_gateway.latest import LatestFeed, LatestOutbox

if TYPE_CHECKING:
    from collections.abc import Callable

    from framefan_gateway.contract import Contract
    from framefan_gateway.wire import Notice

WRITE_BYTES = 1 << 16
"""About as much as one write to a draining line may leave behind in its buffer."""


class Place(Enum):
    """Where a client stands."""

    IN_STEP = "in step"
    APART = "apart"
    FULL = "full"
    GONE = "gone"


class Line(NamedTuple):
    """The way to one client; neither function waits."""

    write: Callable[[bytes], object]
    """Takes all it is given, and keeps what does not fit at once."""
    offer: Callable[[bytes], int]
    """Takes what fits at once and answers how much that was; only called while nothing is kept.
    Raises OSError when nothing fits or the way is broken."""


class Client:
    """One subscriber: its line, its outbox and where it stands."""

    __slots__ = ("evict", "group", "line", "outbox", "place")

    def __init__(
        self,
        group: Group,
        outbox: LatestOutbox | EveryOutbox,
        line: Line,
        evict: Callable[[str], None],
    ) -> None:
        self.group = group
        self.outbox = outbox
        self.line = line
        self.evict = evict
        """Called once, with the reason, when it has fallen further behind than it may."""
        self.place = Place.APART

    @property
    def contract(self) -> Contract:
        return self.group.feed.contract


class Group:
    """The clients of one feed."""

    def __init__(self, feed: LatestFeed | EveryFeed) -> None:
        self.feed = feed
        self.clients: set[Client] = set()
        self._in_step: dict[Client, Callable[[bytes], int]] = {}
        self._offsets = Totals()
        """The sum of what distinguishes the accounts of clients in step from the feed's totals."""
        self._apart: set[Client] = set()
        self._hindmost = 0
        """No client of an `every` feed stands before this position of its log."""

    # ---- where clients stand ----------------------------------------------------------------

    def fall_in(self, client: Client) -> None:
        if client.place is Place.APART and client.outbox.step_in():
            self._apart.discard(client)
            self._in_step[client] = client.line.offer
            self._offsets = self._offsets.plus(client.outbox.offset())
            client.place = Place.IN_STEP
            self._keep_log()

    def move(self, client: Client, place: Place) -> None:
        """To anywhere but in step."""
        if client.place is Place.IN_STEP:
            del self._in_step[client]
            self._offsets = self._offsets.minus(client.outbox.offset())
            client.outbox.step_out()
        self._apart.discard(client)
        client.place = place
        if place is Place.APART:
            self._apart.add(client)
        elif place is Place.GONE:
            self.clients.discard(client)
        self._keep_log()

    def write_by(self, client: Client, offer: Callable[[bytes], int]) -> None:
        """Have a client in step be offered its next batches in another way."""
        if client.place is Place.IN_STEP:
            self._in_step[client] = offer

    def _keep_log(self) -> None:
        if isinstance(self.feed, EveryFeed):
            self.feed.keep = len(self._in_step) < len(self.clients)

    @property
    def pressed(self) -> bool:
        """Whether a client with a free line would soon be behind by more than it may."""
        return bool(self._apart) and self.feed.crowded

    # ---- what they get ----------------------------------------------------------------------

    def admit(self, client: Client) -> None:
        self.clients.add(client)
        self.move(client, Place.APART)

    def release(self, camera: str, notice: Notice) -> None:
        """A camera is gone: tell everybody, and keep nothing of it but what is still due."""
        for client in self.clients:
            if client.place is not Place.IN_STEP:
                client.outbox.release(camera, notice)
        self.feed.release(camera, notice)

    def deliver(self, now: float) -> list[Client]:
        """Write what is due; returns the clients that have fallen further behind than they may."""
        data = self.feed.take_batch()
        if data:
            self._deliver_in_step(data)
        if self._apart:
            for client in tuple(self._apart):
                self.advance(client, now)
        return self._overflowed()

    def _deliver_in_step(self, data: bytes) -> None:
        size = len(data)
        for client, offer in tuple(self._in_step.items()):
            # The one place that runs for every delivery: a system call and little else.
            try:
                taken = offer(data)
            except OSError:
                taken = 0
            if taken != size:
                client.line.write(data[taken:])

    def advance(self, client: Client, now: float) -> None:
        """Give a free line all it is due, for as long as it stays free."""
        while client.place is Place.APART:
            data = client.outbox.drain(now, WRITE_BYTES)
            if not data:
                self.fall_in(client)
                return
            client.line.write(data)

    def _overflowed(self) -> list[Client]:
        feed = self.feed
        if not isinstance(feed, EveryFeed) or feed.start <= self._hindmost:
            return []
        lost: list[Client] = []
        self._hindmost = feed.end
        for client in self.clients:
            if client.place is Place.IN_STEP or not isinstance(client.outbox, EveryOutbox):
                continue
            if client.outbox.overflowed:
                lost.append(client)
            else:
                self._hindmost = min(self._hindmost, client.outbox.position)
        feed.trim(self._hindmost)
        return lost

    def totals(self) -> Totals:
        """The sum of all accounts; what offered exceeds the rest by is pending."""
        total = self._offsets.plus(self.feed.totals.times(len(self._in_step)))
        for client in self.clients:
            if client.place is not Place.IN_STEP:
                total = total.plus(client.outbox.account())
        return total
