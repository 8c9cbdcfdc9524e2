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

from typing import TYPE_CHECKING, Protocol

from framefan.ipc import protocol
from framefan_gateway.delivery.accounts import NOTHING, Loss, Totals
from framefan_gateway.delivery.every import EveryCursor, EveryStream
from framefan_gateway.delivery.latest import LatestCursor, LatestStream
from framefan_gateway.delivery.news import NewEpoch, Removed, find_superseded
from framefan_gateway.delivery.retained import Retained
from framefan_gateway.delivery.subscribers import Client, Place, Subscribers, Work, Writer
from framefan_gateway.delivery.subscription import ANEW, Opening
from framefan_gateway.delivery.wire import Body, Notice, Outcome, Picture

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from framefan_gateway.delivery.news import News
    from framefan_gateway.delivery.subscription import Subscription

BATCH_BYTES = 8 * 1024
"""A batch that reaches this size is written before more is added to it."""


class SubscriptionObserver(Protocol):
    def on_subscriptions(self, subscriptions: Collection[Subscription]) -> None:
        """The set of the clients' subscriptions has changed; it has each of them once."""


class Hub:
    def __init__(
        self,
        every_messages: int,
        every_bytes: int,
        history_s: float = 60.0,
        history_bytes: int = 4 << 20,
        observer: SubscriptionObserver | None = None,
    ) -> None:
        """`every_messages`, `every_bytes`: how far an `every` client may lag before it is closed.

        `history_s`, `history_bytes`: the limits of the history kept for each camera.
        """
        self._every_messages = every_messages
        self._every_bytes = every_bytes
        self._groups: dict[Subscription, Subscribers] = {}
        self._work: Work = {}
        self._news: list[News] = []
        self._observer = observer
        self._retained = Retained(history_s, history_bytes)
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
        self._retained.queue_problems(client, now)
        self._retained.open(client, opening, {})
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
        client.cursor.queue(body)
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
        old, was_blocked = client.subscribers, client.place is Place.BLOCKED
        old.move(client, Place.BLOCKED)  # the old stream writes nothing more to it
        leftover = client.cursor.end_subscription(now)
        own = client.cursor.account()
        for camera in filter(subscription.covers, {*leftover.awaited, *opening.since}):
            own = own.minus(Totals.of(leftover.unreported.get(camera, NOTHING)))  # counted anew
        old.move(client, Place.CLOSED)
        subscribers = client.subscribers = self._subscribers(subscription, old)
        client.cursor = self._cursor(subscribers, own)
        client.cursor.adopt(leftover)
        client.cursor.queue(reply)
        self._retained.queue_problems(client, now, besides=old.stream.subscription)
        both = [each for each in self._retained.known(old) if subscription.covers(each)]
        kept = {camera: leftover.unreported.get(camera, NOTHING) for camera in both}
        since = {
            camera: was for camera, was in leftover.awaited.items() if subscription.covers(camera)
        }
        self._retained.open(client, opening._replace(since=since | dict(opening.since)), kept)
        subscribers.admit(client)
        self._close(old)  # last, so that pictures of both subscriptions are not interrupted
        if was_blocked:
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
            self._on_subscriptions()
        return subscribers

    def _close(self, subscribers: Subscribers) -> None:
        """Delete a subscription that has no clients left."""
        if not subscribers.clients:
            del self._groups[subscribers.stream.subscription]
            self._on_subscriptions()

    def _on_subscriptions(self) -> None:
        if self._observer is not None:
            self._observer.on_subscriptions(self._groups.keys())

    def _cursor(self, subscribers: Subscribers, own: Totals) -> LatestCursor | EveryCursor:
        if isinstance(subscribers.stream, EveryStream):
            return EveryCursor(subscribers.stream, own)
        return LatestCursor(subscribers.stream, own)

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

    def publish(self, news: News) -> None:
        """Queue news; it takes effect at the next flush."""
        self._news.append(news)

    @property
    def waiting(self) -> int:
        """How many items of news the next flush will deliver."""
        return len(self._news)

    def flush(self, now: float) -> list[News]:
        """Deliver all queued news to the clients that are due it and not blocked, each in one write
        if it is small enough. Returns the news, in order.
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
                    self._retained.end_epoch()
        for subscribers in tuple(self._groups.values()):
            self._deliver(subscribers, now)
        return news

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
        self._retained.add_outcome(outcome, now)
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
        self._retained.add_loss(loss, now)
        for subscribers in self._covering(loss.camera):
            self._wake(subscribers, loss.camera, now)
            subscribers.stream.add_loss(loss)

    def _deliver_status(self, status: protocol.Status, now: float) -> None:
        camera = status.camera if isinstance(status.camera, str) else None
        subject = (status.subject, camera, status.worker)
        notice = Notice(status)
        self._retained.add_status(subject, status, notice, now)
        for subscribers in self._covering(camera):
            subscribers.stream.add_notice(subject, notice)

    def _remove(self, removed: Removed, now: float) -> None:
        camera, notice = removed.camera, Notice(removed.status)
        for subscribers in self._covering(camera):
            self._deliver(subscribers, now)
            subscribers.wake(camera)
            subscribers.release(camera, notice)
        self._retained.forget(camera)

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
