"""The hub: who gets what. News goes in, bytes come out at the lines of the clients due them.

News (outcomes, losses, statuses) is queued as it comes and takes effect at `flush`: the stream of
each subscription counts it and makes the bytes, once for all of its clients, and each group writes
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

from framefan.ipc import protocol
from framefan_gateway.delivery import replay, wire
from framefan_gateway.delivery.accounts import NOTHING, Loss, Missed, Totals
from framefan_gateway.delivery.due import Past, resumed
from framefan_gateway.delivery.every import EveryCursor, EveryStream
from framefan_gateway.delivery.history import History
from framefan_gateway.delivery.latest import LatestCursor, LatestStream
from framefan_gateway.delivery.subscribers import Client, Place, Subscribers, Work, Writer
from framefan_gateway.delivery.subscription import ANEW, Opening
from framefan_gateway.delivery.wire import Body, Notice, Outcome, Picture

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from framefan.ipc.records import OutcomeRecord
    from framefan_gateway.delivery.replay import Step
    from framefan_gateway.delivery.subscription import StreamPosition, Subscription

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
        self._groups: dict[Subscription, Subscribers] = {}
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
        """Told when there is a subscription that nobody had, or nobody has any more."""
        self.left = Totals()
        """The sum of the accounts of clients that are gone."""

    # ---- clients ----------------------------------------------------------------------------

    def join(
        self,
        subscription: Subscription,
        line: Writer,
        evict: Callable[[str], None],
        now: float,
        opening: Opening = ANEW,
    ) -> Client:
        """A new client with a free line. Nothing is written before `start`."""
        subscribers = self._subscribers(subscription)
        client = Client(subscribers, self._cursor(subscribers, Totals()), line, evict)
        self._greet(client, now)
        self._open(client, opening, {})
        subscribers.admit(client)
        return client

    def start(self, client: Client, now: float) -> None:
        """Write what greets it, in one write unless there is much of it."""
        client.subscribers.advance(client, now)

    def say(self, client: Client, body: Body, now: float) -> None:
        """Write something that is no news, in its turn: not past a line that is full."""
        if client.place is Place.CLOSED:
            return
        if client.place is Place.LIVE:
            client.subscribers.move(client, Place.CATCHING_UP)
        client.cursor.greet(body)
        client.subscribers.advance(client, now)

    def work(self, now: float) -> None:
        """Make one slice of what is due, for the client that has waited for longest."""
        if self._work:
            client = next(iter(self._work))
            del self._work[client]
            client.subscribers.advance(client, now)

    @property
    def has_work(self) -> bool:
        return bool(self._work)

    def switch(
        self, client: Client, subscription: Subscription, opening: Opening, reply: Body, now: float
    ) -> None:
        """Another subscription from here on: first what was due under the old one, then `reply`.

        Cameras of both subscriptions continue where they are; `opening` is for the others, and for
        those that its `since` names. This takes long while its cursor is `replaying`: wait.
        """
        old, full = client.subscribers, client.place is Place.BLOCKED
        old.move(client, Place.BLOCKED)  # nothing more from there
        rest = client.cursor.leave_off(now)
        own = client.cursor.account()
        old.move(client, Place.CLOSED)
        subscribers = client.subscribers = self._subscribers(subscription)
        client.cursor = self._cursor(subscribers, own)
        client.cursor.take_over(rest)
        client.cursor.greet(reply)
        self._greet(client, now, besides=old.stream.subscription)
        both = [each for each in self._known(old) if subscription.covers(each)]
        kept = {camera: rest.untold.get(camera, NOTHING) for camera in both}
        since = {camera: was for camera, was in rest.awaited.items() if subscription.covers(camera)}
        self._open(client, opening._replace(since=since | dict(opening.since)), kept)
        subscribers.admit(client)
        self._close(old)  # not before: pictures that both want go on
        if full:
            subscribers.move(client, Place.BLOCKED)
        subscribers.advance(client, now)

    def _subscribers(self, subscription: Subscription) -> Subscribers:
        subscribers = self._groups.get(subscription)
        if subscribers is None:
            subscribers = self._groups[subscription] = Subscribers(
                self._new_stream(subscription), self._work
            )
            self.regrouped()
        return subscribers

    def _close(self, subscribers: Subscribers) -> None:
        """If nobody is left in it."""
        if not subscribers.clients:
            del self._groups[subscribers.stream.subscription]
            self.regrouped()

    @property
    def subscriptions(self) -> Iterable[Subscription]:
        """What the clients have asked for, each once."""
        return self._groups

    def _cursor(self, subscribers: Subscribers, own: Totals) -> LatestCursor | EveryCursor:
        if isinstance(subscribers.stream, EveryStream):
            return EveryCursor(subscribers.stream, own)
        return LatestCursor(subscribers.stream, own)

    def _greet(self, client: Client, now: float, besides: Subscription | None = None) -> None:
        """`besides`: what it asked for before, and so was told."""
        for (_, camera, _), (notice, told_at) in self._trouble.items():
            if client.subscription.covers(camera) and not (besides and besides.covers(camera)):
                client.cursor.greet(notice.later(client.subscription.format, now - told_at))

    def _open(self, client: Client, opening: Opening, kept: dict[str, Missed]) -> None:
        cursor, subscription = client.cursor, client.subscription
        for camera in dict.fromkeys([*self._known(client.subscribers), *opening.since]):
            since = opening.since.get(camera)
            if since is not None and camera in opening.strange:
                self._go_without(client, camera, since)
            elif since is not None:
                self._go_on(client, camera, since, opening.history)
            elif camera in kept:
                cursor.go_on(camera, kept[camera])
            else:
                history = self._histories.get(camera)
                items = history.current() if history and opening.history else ()
                steps = replay.last(items, opening.history, subscription)
                self._replay(client, camera, steps, None, "")

    def _known(self, subscribers: Subscribers) -> set[str]:
        """The cameras of its subscription of which anything was heard."""
        return {
            *subscribers.stream.lines,
            *filter(subscribers.stream.subscription.covers, self._histories),
        }

    def _go_on(self, client: Client, camera: str, since: StreamPosition, results: int) -> None:
        """A client comes back: what was kept since, or word that it has to wait for news."""
        cursor, subscription = client.cursor, client.subscription
        found = self._histories[camera].after(since) if camera in self._histories else None
        if found is None:
            cursor.wait_for(camera, since)
        elif subscription.delivery == "every":
            steps = replay.following(found, subscription)
            self._replay(client, camera, steps, since, found.epoch)
        else:
            steps = replay.newest(found, since, results, subscription)
            self._replay(client, camera, steps, since, found.epoch)

    def _replay(
        self, client: Client, camera: str, steps: Steps, since: StreamPosition | None, epoch: str
    ) -> None:
        stream, history = client.subscribers.stream, self._histories.get(camera)
        alone = history.alone() if history else int
        client.cursor.replay(Past(camera, steps, stream, stream.lines[camera], since, epoch, alone))

    def _go_without(self, client: Client, camera: str, since: StreamPosition) -> None:
        """It comes back for a camera that is not there; should that come, it begins with that."""
        fmt = client.subscription.format
        client.cursor.greet(resumed(fmt, camera, since.epoch, since, recovered=False))
        if camera in self._known(client.subscribers):  # its last word is on its way
            client.cursor.go_on(camera, NOTHING)
        elif (removed := self.removal(camera)) is not None:
            client.cursor.greet(wire.body(removed, fmt))

    def leave(self, client: Client) -> None:
        if client.place is Place.CLOSED:
            return
        self.left = self.left.plus(client.cursor.account().closed())
        subscribers = client.subscribers
        subscribers.move(client, Place.CLOSED)
        self._close(subscribers)

    def line_full(self, client: Client) -> None:
        if client.place is not Place.CLOSED:
            client.subscribers.move(client, Place.BLOCKED)

    def line_free(self, client: Client, now: float) -> None:
        if client.place is Place.BLOCKED:
            client.subscribers.move(client, Place.CATCHING_UP)
            client.subscribers.advance(client, now)

    def _new_stream(self, subscription: Subscription) -> LatestStream | EveryStream:
        if subscription.delivery == "every":
            return EveryStream(subscription, self._every_messages, self._every_bytes)
        return LatestStream(subscription)

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
        for subscribers in tuple(self._groups.values()):
            self._deliver(subscribers, now)

    def _deliver(self, subscribers: Subscribers, now: float) -> None:
        for client in subscribers.deliver(now):
            self.leave(client)
            client.evict(
                f"more than {self._every_messages} messages or {self._every_bytes} bytes behind"
            )

    def _wake(self, subscribers: Subscribers, camera: str, now: float) -> None:
        """Have those stand apart whose next message of this camera is none for all."""
        if subscribers.waits_for(camera):
            self._deliver(subscribers, now)
            subscribers.wake(camera)

    def _covering(self, camera: str | None) -> list[Subscribers]:
        return [
            subscribers
            for subscription, subscribers in self._groups.items()
            if subscription.covers(camera)
        ]

    def _outcome(self, outcome: Outcome, now: float, *, superseded: bool) -> None:
        camera = outcome.camera
        self.observe(outcome.record, now)
        self._histories[camera].outcome(outcome, now)
        much: list[Subscribers] = []
        for subscribers in self._covering(camera):
            self._wake(subscribers, camera, now)
            subscribers.stream.outcome(outcome, now, superseded=superseded)
            if subscribers.stream.batch_bytes >= BATCH_BYTES or subscribers.pressed:
                much.append(subscribers)
        # A line that fills takes the rest of its write with it, so a write must not be large.
        for subscribers in much:
            self._deliver(subscribers, now)

    def _picture(self, picture: Picture, now: float) -> None:
        for subscription, subscribers in tuple(self._groups.items()):
            if str(subscription.preview) == picture.picture and subscription.covers(picture.camera):
                subscribers.stream.picture(picture)
                self._deliver(subscribers, now)

    def _loss(self, loss: Loss, now: float) -> None:
        self._histories[loss.camera].loss(loss, now)
        for subscribers in self._covering(loss.camera):
            self._wake(subscribers, loss.camera, now)
            subscribers.stream.loss(loss)

    def _status(self, status: protocol.Status, now: float) -> None:
        camera = status.camera if isinstance(status.camera, str) else None
        subject: Subject = (status.subject, camera, status.worker)
        notice = Notice(status)
        if wire.is_trouble(status):
            self._trouble[subject] = notice, now
        else:
            self._trouble.pop(subject, None)
        for subscribers in self._covering(camera):
            subscribers.stream.notice(subject, notice)

    def _remove(self, removed: Removed, now: float) -> None:
        camera, notice = removed.camera, Notice(removed.status)
        for subscribers in self._covering(camera):
            self._deliver(subscribers, now)
            subscribers.wake(camera)
            subscribers.release(camera, notice)
        self._histories.pop(camera, None)
        self._trouble = {of: told for of, told in self._trouble.items() if of[1] != camera}
        self.release(camera)

    def _forget(self) -> None:
        for history in self._histories.values():
            history.forget()

    @property
    def log_bytes(self) -> int:
        """What is kept for `every` clients that are behind."""
        streams = (subscribers.stream for subscribers in self._groups.values())
        return sum(
            stream.log_bytes
            for stream in streams
            if isinstance(stream, EveryStream) and stream.keep
        )

    # ---- accounts ---------------------------------------------------------------------------

    @property
    def clients(self) -> int:
        return sum(len(subscribers.clients) for subscribers in self._groups.values())

    def totals(self) -> Totals:
        """The sum over all clients there are and were; offered exceeds the rest by `pending`."""
        total = self.left
        for subscribers in self._groups.values():
            total = total.plus(subscribers.totals())
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
