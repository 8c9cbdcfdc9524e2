"""The hub: who gets what. News goes in, bytes come out at the lines of the clients due them.

News (outcomes, losses, statuses) is queued as it comes and takes effect at `flush`: the feed of
each contract counts it and makes the bytes, once for all of its clients, and each group writes
them. Between two flushes everything stands still, so a client may join, leave, fill or drain at
any moment and its account is exact.

What a newcomer or a returning client is due of the past is made in slices: as long as there is
`work`, whoever owns the hub calls it, and does other things in between.

Pure: no clock, no sockets, no tasks. Lines are functions that take bytes and never wait; a line
that fills says so by `line_full`, also from within the write that filled it.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from framefan import protocol
from framefan_gateway.delivery import replay, wire
from framefan_gateway.delivery.accounts import NOTHING, Loss, Missed, Totals
from framefan_gateway.delivery.contract import ANEW, Opening
from framefan_gateway.delivery.due import Past, resumed
from framefan_gateway.delivery.every import EveryFeed, EveryOutbox
from framefan_gateway.delivery.group import Client, Group, Line, Place, Work
from framefan_gateway.delivery.history import History
from framefan_gateway.delivery.latest import LatestFeed, LatestOutbox
from framefan_gateway.delivery.wire import Body, Notice, Outcome, Picture

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from framefan.records import OutcomeRecord
    from framefan_gateway.delivery.contract import Contract, Since
    from framefan_gateway.delivery.replay import Step

    Steps = Generator[Step, None, Missed]

BATCH_BYTES = 8 * 1024
"""From here on a batch leaves before more is added to it."""

STALE_S = 0.5
"""A result that came so late, with a newer one behind it, is not the latest for anybody."""

Subject = tuple[str, str | None, object]


class NewEpoch:
    """A new pool: `seq` starts anew, and the last results of the old one greet nobody."""


class Removed(NamedTuple):
    """A camera is not there any more: `status` is the last that is told of it."""

    camera: str
    status: protocol.Status


News = Outcome | Picture | Loss | protocol.Status | NewEpoch | Removed


class Hub:
    def __init__(
        self,
        every_messages: int,
        every_bytes: int,
        history_s: float = 60.0,
        history_bytes: int = 4 << 20,
    ) -> None:
        """The first two bound how far an `every` client may fall behind before it is closed; the
        others what is kept of each camera.
        """
        self._every_messages = every_messages
        self._every_bytes = every_bytes
        self._groups: dict[Contract, Group] = {}
        self._work: Work = {}
        self._news: list[News] = []
        self._histories: defaultdict[str, History] = defaultdict(
            lambda: History(history_s, history_bytes)
        )
        self._trouble: dict[Subject, tuple[Notice, float]] = {}
        """The last status of each camera that is not live, or whose circuit is not closed, and of a
        pool that is silent; with the moment it was told."""
        self.observe: Callable[[OutcomeRecord, float], None] = lambda _record, _now: None
        """Told of each result and error as it is delivered."""
        self.release: Callable[[str], None] = lambda _camera: None
        """Told of each camera that is gone, after all else of it."""
        self.removal: Callable[[str], protocol.Status | None] = lambda _camera: None
        """What there is to say of a camera that is not there."""
        self.regrouped: Callable[[], None] = lambda: None
        """Told when there is a contract that nobody had, or nobody has any more."""
        self.left = Totals()
        """The sum of the accounts of clients that are gone."""

    # ---- clients ----------------------------------------------------------------------------

    def join(
        self,
        contract: Contract,
        line: Line,
        evict: Callable[[str], None],
        now: float,
        opening: Opening = ANEW,
    ) -> Client:
        """A new client with a free line. Nothing is written before `start`."""
        group = self._group(contract)
        client = Client(group, self._outbox(group, Totals()), line, evict)
        self._greet(client, now)
        self._open(client, opening, {})
        group.admit(client)
        return client

    def start(self, client: Client, now: float) -> None:
        """Write what greets it, in one write unless there is much of it."""
        client.group.advance(client, now)

    def say(self, client: Client, body: Body, now: float) -> None:
        """Write something that is no news, in its turn: not past a line that is full."""
        if client.place is Place.GONE:
            return
        if client.place is Place.IN_STEP:
            client.group.move(client, Place.APART)
        client.outbox.greet(body)
        client.group.advance(client, now)

    def work(self, now: float) -> None:
        """Make one slice of what is due, for the client that has waited for longest."""
        if self._work:
            client = next(iter(self._work))
            del self._work[client]
            client.group.advance(client, now)

    @property
    def has_work(self) -> bool:
        return bool(self._work)

    def switch(
        self, client: Client, contract: Contract, opening: Opening, reply: Body, now: float
    ) -> None:
        """Another contract from here on: first what was due under the old one, then `reply`.

        Cameras of both contracts go on where they are; `opening` is for the others, and for those
        that its `since` names. While its outbox is `replaying`, this takes long: wait for the end.
        """
        old, full = client.group, client.place is Place.FULL
        old.move(client, Place.FULL)  # nothing more from there
        rest = client.outbox.leave_off(now)
        own = client.outbox.account()
        old.move(client, Place.GONE)
        group = client.group = self._group(contract)
        client.outbox = self._outbox(group, own)
        client.outbox.take_over(rest)
        client.outbox.greet(reply)
        self._greet(client, now, besides=old.feed.contract)
        both = [each for each in self._known(old) if contract.covers(each)]
        kept = {camera: rest.untold.get(camera, NOTHING) for camera in both}
        since = {camera: was for camera, was in rest.awaited.items() if contract.covers(camera)}
        self._open(client, opening._replace(since=since | dict(opening.since)), kept)
        group.admit(client)
        self._close(old)  # not before: pictures that both want go on
        if full:
            group.move(client, Place.FULL)
        group.advance(client, now)

    def _group(self, contract: Contract) -> Group:
        group = self._groups.get(contract)
        if group is None:
            group = self._groups[contract] = Group(self._new_feed(contract), self._work)
            self.regrouped()
        return group

    def _close(self, group: Group) -> None:
        """If nobody is left in it."""
        if not group.clients:
            del self._groups[group.feed.contract]
            self.regrouped()

    @property
    def contracts(self) -> Iterable[Contract]:
        """What the clients have asked for, each once."""
        return self._groups

    def _outbox(self, group: Group, own: Totals) -> LatestOutbox | EveryOutbox:
        if isinstance(group.feed, EveryFeed):
            return EveryOutbox(group.feed, own)
        return LatestOutbox(group.feed, own)

    def _greet(self, client: Client, now: float, besides: Contract | None = None) -> None:
        """`besides`: what it asked for before, and so was told."""
        for (_, camera, _), (notice, told_at) in self._trouble.items():
            if client.contract.covers(camera) and not (besides and besides.covers(camera)):
                client.outbox.greet(notice.later(client.contract.format, now - told_at))

    def _open(self, client: Client, opening: Opening, kept: dict[str, Missed]) -> None:
        outbox, contract = client.outbox, client.contract
        for camera in dict.fromkeys([*self._known(client.group), *opening.since]):
            since = opening.since.get(camera)
            if since is not None and camera in opening.strange:
                self._go_without(client, camera, since)
            elif since is not None:
                self._go_on(client, camera, since, opening.history)
            elif camera in kept:
                outbox.go_on(camera, kept[camera])
            else:
                history = self._histories.get(camera)
                items = history.current() if history and opening.history else ()
                steps = replay.last(items, opening.history, contract)
                self._replay(client, camera, steps, None, "")

    def _known(self, group: Group) -> set[str]:
        """The cameras of its contract of which anything was heard."""
        return {*group.feed.lines, *filter(group.feed.contract.covers, self._histories)}

    def _go_on(self, client: Client, camera: str, since: Since, results: int) -> None:
        """A client comes back: what was kept since, or word that it has to wait for news."""
        outbox, contract = client.outbox, client.contract
        found = self._histories[camera].after(since) if camera in self._histories else None
        if found is None:
            outbox.wait_for(camera, since)
        elif contract.delivery == "every":
            steps = replay.following(found, contract)
            self._replay(client, camera, steps, since, found.epoch)
        else:
            steps = replay.newest(found, since, results, contract)
            self._replay(client, camera, steps, since, found.epoch)

    def _replay(
        self, client: Client, camera: str, steps: Steps, since: Since | None, epoch: str
    ) -> None:
        feed, history = client.group.feed, self._histories.get(camera)
        alone = history.alone() if history else int
        client.outbox.replay(Past(camera, steps, feed, feed.lines[camera], since, epoch, alone))

    def _go_without(self, client: Client, camera: str, since: Since) -> None:
        """It comes back for a camera that is not there; should that come, it begins with that."""
        fmt = client.contract.format
        client.outbox.greet(resumed(fmt, camera, since.epoch, since, recovered=False))
        if camera in self._known(client.group):  # its last word is on its way
            client.outbox.go_on(camera, NOTHING)
        elif (removed := self.removal(camera)) is not None:
            client.outbox.greet(wire.body(removed, fmt))

    def leave(self, client: Client) -> None:
        if client.place is Place.GONE:
            return
        self.left = self.left.plus(client.outbox.account().closed())
        group = client.group
        group.move(client, Place.GONE)
        self._close(group)

    def line_full(self, client: Client) -> None:
        if client.place is not Place.GONE:
            client.group.move(client, Place.FULL)

    def line_free(self, client: Client, now: float) -> None:
        if client.place is Place.FULL:
            client.group.move(client, Place.APART)
            client.group.advance(client, now)

    def _new_feed(self, contract: Contract) -> LatestFeed | EveryFeed:
        if contract.delivery == "every":
            return EveryFeed(contract, self._every_messages, self._every_bytes)
        return LatestFeed(contract)

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
        old = _superseded(news, now)
        for item in news:
            match item:
                case Outcome():
                    self._outcome(item, now, superseded=item in old)
                case Picture():
                    self._picture(item, now)
                case Loss():
                    self._loss(item, now)
                case protocol.Status():
                    self._status(item, now)
                case Removed():
                    self._remove(item, now)
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

    def _wake(self, group: Group, camera: str, now: float) -> None:
        """Have those stand apart whose next message of this camera is none for all."""
        if group.waits_for(camera):
            self._deliver(group, now)
            group.wake(camera)

    def _covering(self, camera: str | None) -> list[Group]:
        return [group for contract, group in self._groups.items() if contract.covers(camera)]

    def _outcome(self, outcome: Outcome, now: float, *, superseded: bool) -> None:
        camera = outcome.camera
        self.observe(outcome.record, now)
        self._histories[camera].outcome(outcome, now)
        much: list[Group] = []
        for group in self._covering(camera):
            self._wake(group, camera, now)
            group.feed.outcome(outcome, now, superseded=superseded)
            if group.feed.batch_bytes >= BATCH_BYTES or group.pressed:
                much.append(group)
        # A line that fills takes the rest of its write with it, so a write must not be large.
        for group in much:
            self._deliver(group, now)

    def _picture(self, picture: Picture, now: float) -> None:
        for contract, group in tuple(self._groups.items()):
            if str(contract.preview) == picture.picture and contract.covers(picture.camera):
                group.feed.picture(picture)
                self._deliver(group, now)

    def _loss(self, loss: Loss, now: float) -> None:
        self._histories[loss.camera].loss(loss, now)
        for group in self._covering(loss.camera):
            self._wake(group, loss.camera, now)
            group.feed.loss(loss)

    def _status(self, status: protocol.Status, now: float) -> None:
        camera = status.camera if isinstance(status.camera, str) else None
        subject: Subject = (status.subject, camera, status.worker)
        notice = Notice(status)
        if wire.is_trouble(status):
            self._trouble[subject] = notice, now
        else:
            self._trouble.pop(subject, None)
        for group in self._covering(camera):
            group.feed.notice(subject, notice)

    def _remove(self, removed: Removed, now: float) -> None:
        camera, notice = removed.camera, Notice(removed.status)
        for group in self._covering(camera):
            self._deliver(group, now)
            group.wake(camera)
            group.release(camera, notice)
        self._histories.pop(camera, None)
        self._trouble = {of: told for of, told in self._trouble.items() if of[1] != camera}
        self.release(camera)

    def _forget(self) -> None:
        for history in self._histories.values():
            history.forget()

    @property
    def log_bytes(self) -> int:
        """What is kept for `every` clients that are behind."""
        feeds = (group.feed for group in self._groups.values())
        return sum(feed.log_bytes for feed in feeds if isinstance(feed, EveryFeed) and feed.keep)

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


def _superseded(news: list[News], now: float) -> set[Outcome]:
    """Results that were long over when they came, each with a newer one of its camera behind it.

    There are such after this process stood still: whoever wants the latest wants none of them.
    """
    late = [
        item
        for item in news
        if isinstance(item, Outcome) and item.record.finished_at < now - STALE_S
    ]
    if not late:
        return set()
    newest = {item.camera: item for item in news if isinstance(item, Outcome)}
    return {item for item in late if newest[item.camera] is not item}
