"""The hub: which client gets what. It takes news, and writes bytes to the clients.

News (outcomes, losses, statuses) is queued and takes effect at `flush`. The stream of each
subscription counts it and encodes it once for all clients of the subscription, and `Subscribers`
writes the bytes. Nothing changes between two flushes, so clients may join, leave, become blocked or
unblocked at any moment, and their accounts stay exact.

Replays for new and reconnecting clients are made in slices. While `has_work` is true, the owner of
the hub calls `work`, and does other things in between.

No I/O: no clock, no sockets, no tasks. A `Writer` consists of functions that take bytes and never
wait. When one fills, its owner calls `block`, even from within the write that filled it.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from framefan.ipc import protocol
from framefan_gateway.delivery import replay, wire
from framefan_gateway.delivery.accounts import NOTHING, Loss, Missed, Totals
from framefan_gateway.delivery.due import Past, resumed
from framefan_gateway.delivery.every import EveryCursor, EveryStream
from framefan_gateway.delivery.history import History
from framefan_gateway.delivery.latest import LatestCursor, LatestStream
from framefan_gateway.delivery.news import NewEpoch, Removed, find_superseded
from framefan_gateway.delivery.subscribers import Client, Place, Subscribers, Work, Writer
from framefan_gateway.delivery.subscription import ANEW, Opening
from framefan_gateway.delivery.wire import Body, Notice, Outcome, Picture

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from framefan.ipc.records import OutcomeRecord
    from framefan_gateway.delivery.news import News
    from framefan_gateway.delivery.replay import Steps
    from framefan_gateway.delivery.subscription import StreamPosition, Subscription

BATCH_BYTES = 8 * 1024
"""A batch that reaches this size is written before more is added to it."""

Subject = tuple[str, str | None, object]


class Hub:
    def __init__(
        self,
        every_messages: int,
        every_bytes: int,
        history_s: float = 60.0,
        history_bytes: int = 4 << 20,
    ) -> None:
        """`every_messages`, `every_bytes`: how far an `every` client may lag before it is closed.

        `history_s`, `history_bytes`: the limits of the history kept for each camera.
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
        """The last status, and when it was delivered, of each camera that is not live or whose
        circuit is not closed, and of a pool that is silent. New clients are sent these."""
        self.observe: Callable[[OutcomeRecord, float], None] = lambda _record, _now: None
        """Called with each result and error when it is delivered."""
        self.release: Callable[[str], None] = lambda _camera: None
        """Called with each removed camera, after everything else about it."""
        self.removal: Callable[[str], protocol.Status | None] = lambda _camera: None
        """Returns the status of a removed camera; None for any other."""
        self.on_regroup: Callable[[], None] = lambda: None
        """Called when the set of the clients' subscriptions has changed."""
        self.left = Totals()
        """The sum of the accounts of clients that have left."""

    # ---- clients ----------------------------------------------------------------------------

    def join(
        self,
        subscription: Subscription,
        writer: Writer,
        evict: Callable[[str], None],
        now: float,
        opening: Opening = ANEW,
    ) -> Client:
        """Add a client whose writer has room. Nothing is written before `start`."""
        subscribers = self._subscribers(subscription)
        client = Client(subscribers, self._cursor(subscribers, Totals()), writer, evict)
        self._greet(client, now)
        self._open(client, opening, {})
        subscribers.admit(client)
        return client

    def start(self, client: Client, now: float) -> None:
        """Write a new client's first messages, in one write if they are small enough."""
        client.subscribers.advance(client, now)

    def send(self, client: Client, body: Body, now: float) -> None:
        """Send one client a message that is not news; it waits while the client is blocked."""
        if client.place is Place.CLOSED:
            return
        if client.place is Place.LIVE:
            client.subscribers.move(client, Place.CATCHING_UP)
        client.cursor.greet(body)
        client.subscribers.advance(client, now)

    def work(self, now: float) -> None:
        """Write one slice to the client that has waited longest for its turn."""
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
        """Change a client's subscription: first send what was due under the old one, then `reply`.

        Cameras of both subscriptions continue where they are. `opening` applies to the others, and
        to those in its `since`. This takes long while the client's cursor is `replaying`, so call
        it later then.
        """
        old, full = client.subscribers, client.place is Place.BLOCKED
        old.move(client, Place.BLOCKED)  # the old stream writes nothing more to it
        rest = client.cursor.end_subscription(now)
        own = client.cursor.account()
        for camera in filter(subscription.covers, {*rest.awaited, *opening.since}):
            own = own.minus(Totals.of(rest.unreported.get(camera, NOTHING)))  # counted anew
        old.move(client, Place.CLOSED)
        subscribers = client.subscribers = self._subscribers(subscription, old)
        client.cursor = self._cursor(subscribers, own)
        client.cursor.adopt(rest)
        client.cursor.greet(reply)
        self._greet(client, now, besides=old.stream.subscription)
        both = [each for each in self._known(old) if subscription.covers(each)]
        kept = {camera: rest.unreported.get(camera, NOTHING) for camera in both}
        since = {camera: was for camera, was in rest.awaited.items() if subscription.covers(camera)}
        self._open(client, opening._replace(since=since | dict(opening.since)), kept)
        subscribers.admit(client)
        self._close(old)  # last, so that pictures of both subscriptions are not interrupted
        if full:
            subscribers.move(client, Place.BLOCKED)
        subscribers.advance(client, now)

    def _subscribers(
        self, subscription: Subscription, before: Subscribers | None = None
    ) -> Subscribers:
        """Those of a subscription; `before`: of the client's earlier one, if it changes."""
        subscribers = self._groups.get(subscription)
        if subscribers is None:
            stream = self._new_stream(subscription)
            if before is not None:
                stream.continue_selection(before.stream)
            subscribers = self._groups[subscription] = Subscribers(stream, self._work)
            self.on_regroup()
        return subscribers

    def _close(self, subscribers: Subscribers) -> None:
        """Delete a subscription that has no clients left."""
        if not subscribers.clients:
            del self._groups[subscribers.stream.subscription]
            self.on_regroup()

    @property
    def subscriptions(self) -> Iterable[Subscription]:
        """The subscriptions of all clients, each once."""
        return self._groups

    def _cursor(self, subscribers: Subscribers, own: Totals) -> LatestCursor | EveryCursor:
        if isinstance(subscribers.stream, EveryStream):
            return EveryCursor(subscribers.stream, own)
        return LatestCursor(subscribers.stream, own)

    def _greet(self, client: Client, now: float, besides: Subscription | None = None) -> None:
        """Queue the current problems; not those that the earlier subscription `besides` covers."""
        for (_, camera, _), (notice, told_at) in self._trouble.items():
            if client.subscription.covers(camera) and not (besides and besides.covers(camera)):
                client.cursor.greet(notice.body_later(client.subscription.format, now - told_at))

    def _open(self, client: Client, opening: Opening, kept: dict[str, Missed]) -> None:
        cursor, subscription = client.cursor, client.subscription
        known = self._known(client.subscribers)
        for camera in dict.fromkeys([*known, *opening.since]):
            since = opening.since.get(camera)
            if since is not None and camera in opening.unknown:
                self._tell_gone(client, camera, since, camera in known)
            elif since is not None:
                self._resume(client, camera, since, opening.history)
            elif camera in kept:
                cursor.follow(camera, kept[camera])
            else:
                history = self._histories.get(camera)
                items = history.current() if history and opening.history else ()
                steps = replay.last(items, opening.history, subscription)
                self._replay(client, camera, steps, None, "", is_newest=opening.history == 1)

    def _known(self, subscribers: Subscribers) -> set[str]:
        """The cameras of this subscription that have had any news."""
        return {
            *subscribers.stream.cameras,
            *filter(subscribers.stream.subscription.covers, self._histories),
        }

    def _resume(self, client: Client, camera: str, since: StreamPosition, results: int) -> None:
        """Resume a camera for a reconnecting client: replay what was kept, or wait for news."""
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
        self,
        client: Client,
        camera: str,
        steps: Steps,
        since: StreamPosition | None,
        epoch: str,
        *,
        is_newest: bool = False,
    ) -> None:
        stream, history = client.subscribers.stream, self._histories.get(camera)
        alone = history.watch_dropped() if history else int
        client.cursor.replay(
            Past(camera, steps, stream, stream.cameras[camera], since, epoch, is_newest, alone)
        )

    def _tell_gone(self, client: Client, camera: str, since: StreamPosition, known: bool) -> None:
        """Tell a reconnecting client that a camera does not exist. If it appears later, the client
        gets it from its first result on.
        """
        fmt = client.subscription.format
        client.cursor.greet(resumed(fmt, camera, since.epoch, since, recovered=False))
        if known:  # its removal is queued as news
            client.cursor.follow(camera, NOTHING)
        elif (removed := self.removal(camera)) is not None:
            client.cursor.greet(wire.body(removed, fmt))

    def leave(self, client: Client) -> None:
        if client.place is Place.CLOSED:
            return
        self.left = self.left.plus(client.cursor.account().closed())
        subscribers = client.subscribers
        subscribers.move(client, Place.CLOSED)
        self._close(subscribers)

    def block(self, client: Client) -> None:
        if client.place is not Place.CLOSED:
            client.subscribers.move(client, Place.BLOCKED)

    def unblock(self, client: Client, now: float) -> None:
        if client.place is Place.BLOCKED:
            client.subscribers.move(client, Place.CATCHING_UP)
            client.subscribers.advance(client, now)

    def _new_stream(self, subscription: Subscription) -> LatestStream | EveryStream:
        if subscription.delivery == "every":
            return EveryStream(subscription, self._every_messages, self._every_bytes)
        return LatestStream(subscription)

    # ---- news -------------------------------------------------------------------------------

    def tell(self, news: News) -> None:
        """Queue news; it takes effect at the next flush."""
        self._news.append(news)

    @property
    def waiting(self) -> int:
        """How many items of news the next flush will deliver."""
        return len(self._news)

    def flush(self, now: float) -> None:
        """Deliver all queued news to the clients that are due it and not blocked, each in one write
        if it is small enough.
        """
        news, self._news = self._news, []
        old = find_superseded(news, now)
        for item in news:
            match item:
                case Outcome():
                    self._deliver_outcome(item, now, superseded=item in old)
                case Picture():
                    self._deliver_picture(item, now)
                case Loss():
                    self._deliver_loss(item, now)
                case protocol.Status():
                    self._deliver_status(item, now)
                case Removed():
                    self._remove(item, now)
                case NewEpoch():
                    self._end_epoch()
        for subscribers in tuple(self._groups.values()):
            self._deliver(subscribers, now)

    def _deliver(self, subscribers: Subscribers, now: float) -> None:
        for client in subscribers.deliver(now):
            self.leave(client)
            client.evict(
                f"more than {self._every_messages} messages or {self._every_bytes} bytes behind"
            )

    def _wake(self, subscribers: Subscribers, camera: str, now: float) -> None:
        """Move clients to catching up if their next message of this camera differs."""
        if subscribers.waits_for(camera):
            self._deliver(subscribers, now)
            subscribers.wake(camera)

    def _covering(self, camera: str | None) -> list[Subscribers]:
        return [
            subscribers
            for subscription, subscribers in self._groups.items()
            if subscription.covers(camera)
        ]

    def _deliver_outcome(self, outcome: Outcome, now: float, *, superseded: bool) -> None:
        camera = outcome.camera
        self.observe(outcome.record, now)
        self._histories[camera].add_outcome(outcome, now)
        large: list[Subscribers] = []
        for subscribers in self._covering(camera):
            self._wake(subscribers, camera, now)
            subscribers.stream.add_outcome(outcome, now, superseded=superseded)
            if subscribers.stream.batch_bytes >= BATCH_BYTES or subscribers.nearly_full:
                large.append(subscribers)
        # What does not fit of a write can no longer be conflated, so a write must not be large.
        for subscribers in large:
            self._deliver(subscribers, now)

    def _deliver_picture(self, picture: Picture, now: float) -> None:
        for subscription, subscribers in tuple(self._groups.items()):
            if str(subscription.preview) == picture.picture and subscription.covers(picture.camera):
                subscribers.stream.add_picture(picture)
                self._deliver(subscribers, now)

    def _deliver_loss(self, loss: Loss, now: float) -> None:
        self._histories[loss.camera].add_loss(loss, now)
        for subscribers in self._covering(loss.camera):
            self._wake(subscribers, loss.camera, now)
            subscribers.stream.add_loss(loss)

    def _deliver_status(self, status: protocol.Status, now: float) -> None:
        camera = status.camera if isinstance(status.camera, str) else None
        subject: Subject = (status.subject, camera, status.worker)
        notice = Notice(status)
        if wire.is_trouble(status):
            self._trouble[subject] = notice, now
        else:
            self._trouble.pop(subject, None)
        for subscribers in self._covering(camera):
            subscribers.stream.add_notice(subject, notice)

    def _remove(self, removed: Removed, now: float) -> None:
        camera, notice = removed.camera, Notice(removed.status)
        for subscribers in self._covering(camera):
            self._deliver(subscribers, now)
            subscribers.wake(camera)
            subscribers.release(camera, notice)
        self._histories.pop(camera, None)
        self._trouble = {of: told for of, told in self._trouble.items() if of[1] != camera}
        self.release(camera)

    def _end_epoch(self) -> None:
        for history in self._histories.values():
            history.forget()

    @property
    def log_bytes(self) -> int:
        """How many bytes the logs hold for `every` clients that are not live."""
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
        """The sum over all present and past clients; what is neither sent nor missed is pending."""
        total = self.left
        for subscribers in self._groups.values():
            total = total.plus(subscribers.totals())
        return total
