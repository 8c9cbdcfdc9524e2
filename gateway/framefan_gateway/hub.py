"""The hub: who gets what. News goes in, bytes come out at the lines of the clients due them.

News (outcomes, losses, statuses) is queued as it comes and takes effect at `flush`: the feed of
each contract counts it and makes the bytes, once for all of its clients, and each group writes
them. Between two flushes everything stands still, so a client may join, leave, fill or drain at
any moment and its account is exact.

Pure: no clock, no sockets, no tasks. Lines are functions that take bytes and never wait; a line
that fills says so by `line_full`, also from within the write that filled it.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from framefan import protocol
from framefan_gateway.accounts import Loss, Totals
from framefan_gateway.feed import CameraLine, EveryFeed, LatestFeed
from framefan_gateway.group import Client, Group, Line, Place
from framefan_gateway.outbox import EveryOutbox, LatestOutbox
from framefan_gateway.wire import Notice, Outcome

if TYPE_CHECKING:
    from collections.abc import Callable

    from framefan_gateway.contract import Contract

BATCH_BYTES = 8 * 1024
"""From here on a batch leaves before more is added to it."""

Subject = tuple[str, str | None, object]


class NewEpoch:
    """A new pool: `seq` starts anew, and the last results of the old one greet nobody."""


News = Outcome | Loss | protocol.Status | NewEpoch


class Hub:
    def __init__(self, every_messages: int, every_bytes: int) -> None:
        """The arguments bound how far an `every` client may fall behind before it is closed."""
        self._every_messages = every_messages
        self._every_bytes = every_bytes
        self._groups: dict[Contract, Group] = {}
        self._news: list[News] = []
        self._seen: defaultdict[str, CameraLine] = defaultdict(CameraLine)
        """Each camera as a new feed needs to know it."""
        self._trouble: dict[Subject, Notice] = {}
        """The last status of each camera that is not live, and of a pool that is silent."""
        self.left = Totals()
        """The sum of the accounts of clients that are gone."""

    # ---- clients ----------------------------------------------------------------------------

    def join(
        self,
        contract: Contract,
        line: Line,
        evict: Callable[[str], None],
        now: float,
    ) -> Client:
        """A new client with a free line; what greets it leaves in one write."""
        group = self._groups.get(contract)
        if group is None:
            group = self._groups[contract] = Group(self._new_feed(contract))
        outbox: LatestOutbox | EveryOutbox
        if isinstance(group.feed, EveryFeed):
            outbox = EveryOutbox(group.feed, now)
        else:
            outbox = LatestOutbox(group.feed)
        client = Client(group, outbox, line, evict)
        for (_, camera, _), notice in self._trouble.items():
            if contract.covers(camera):
                outbox.greet(notice.frame(contract.format))
        group.admit(client)
        group.advance(client, now)
        return client

    def leave(self, client: Client) -> None:
        if client.place is Place.GONE:
            return
        self.left = self.left.plus(client.outbox.account())
        group = client.group
        group.move(client, Place.GONE)
        if not group.clients:
            del self._groups[client.contract]

    def line_full(self, client: Client) -> None:
        if client.place is not Place.GONE:
            client.group.move(client, Place.FULL)

    def line_free(self, client: Client, now: float) -> None:
        if client.place is Place.FULL:
            client.group.move(client, Place.APART)
            client.group.advance(client, now)

    def _new_feed(self, contract: Contract) -> LatestFeed | EveryFeed:
        feed: LatestFeed | EveryFeed
        if contract.delivery == "every":
            feed = EveryFeed(contract, self._every_messages, self._every_bytes)
        else:
            feed = LatestFeed(contract)
        for camera, line in self._seen.items():
            if contract.covers(camera):
                feed.prime(camera, line)
        return feed

    # ---- news -------------------------------------------------------------------------------

    def tell(self, news: News) -> None:
        """Queue it; it takes effect at the next flush."""
        self._news.append(news)

    @property
    def waiting(self) -> int:
        """How much news the next flush will deliver."""
        return len(self._news)

    def flush(self, now: float) -> None:
        """Deliver all queued news: to each client that is due any and has a free line, in one
        write unless there is much of it.
        """
        news, self._news = self._news, []
        for item in news:
            match item:
                case Outcome():
                    self._outcome(item, now)
                case Loss():
                    self._loss(item)
                case protocol.Status():
                    self._status(item)
                case NewEpoch():
                    self._forget()
        for group in tuple(self._groups.values()):
            self._deliver(group, now)

    def _deliver(self, group: Group, now: float) -> None:
        for client in group.deliver(now):
            self.leave(client)
            client.evict(
                f"more than {self._every_messages} messages or {self._every_bytes} bytes behind"
            )

    def _covering(self, camera: str | None) -> list[Group]:
        return [group for contract, group in self._groups.items() if contract.covers(camera)]

    def _outcome(self, outcome: Outcome, now: float) -> None:
        camera = outcome.camera
        self._seen[camera].outcome(outcome)
        much: list[Group] = []
        for contract, group in self._groups.items():
            if contract.covers(camera):
                group.feed.outcome(outcome, now)
                if group.feed.batch_bytes >= BATCH_BYTES:
                    much.append(group)
        # A line that fills takes the rest of its write with it, so a write must not be large.
        for group in much:
            self._deliver(group, now)

    def _loss(self, loss: Loss) -> None:
        self._seen[loss.camera].loss(loss)
        for group in self._covering(loss.camera):
            group.feed.loss(loss)

    def _status(self, status: protocol.Status) -> None:
        camera = status.camera if isinstance(status.camera, str) else None
        subject: Subject = (status.subject, camera, status.worker)
        notice = Notice(status)
        if status.subject in ("camera", "pool") and status.state != "live":
            self._trouble[subject] = notice
        else:
            self._trouble.pop(subject, None)
        for group in self._covering(camera):
            group.feed.notice(subject, notice)

    def _forget(self) -> None:
        for line in self._seen.values():
            line.forget()
        for group in self._groups.values():
            group.feed.forget()

    # ---- accounts ---------------------------------------------------------------------------

    @property
    def clients(self) -> int:
        return sum(len(group.clients) for group in self._groups.values())

    def totals(self) -> Totals:
        """The sum over all clients there are and were; offered exceeds the rest by `pending`."""
        total = self.left
        for group in self._groups.values():
            total = total.plus(group.totals())
        return total
