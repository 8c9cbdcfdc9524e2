"""The clients of one stream, and what happens when a client's writer fills or drains.

1. Live clients get the stream's batch in one write each. Nothing else is done for them, not even
   counting: the stream's totals are theirs.
2. A write may fill a writer. That client becomes blocked, and nothing is done for it until its
   writer has room.
3. A client that is catching up is sent what its own cursor returns, until it has been sent the same
   as the live ones; then it becomes live. A client whose room is counted in messages never becomes
   live. A client whose room is counted in writes is asked for room before each batch.
4. Replays, and anything larger than `WRITE_BYTES`, are written in slices. Between two slices the
   client waits in `Work`, a queue that all `Subscribers` share, so other clients get their turn.
5. A client whose next message of one camera differs from the others' stays live until right before
   that message: see `wake`.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from framefan_gateway.delivery.accounts import Totals
from framefan_gateway.delivery.cursor import ALL
from framefan_gateway.delivery.every import EveryCursor, EveryStream
from framefan_gateway.delivery.frames import frames
from framefan_gateway.delivery.latest import LatestCursor, LatestStream

if TYPE_CHECKING:
    from collections.abc import Callable

    from framefan_gateway.delivery.subscription import Subscription
    from framefan_gateway.delivery.wire import Body, Notice

WRITE_BYTES = 1 << 16
"""Roughly the most that one write to a client that is catching up may leave in its buffer."""


class Place(Enum):
    """The state of a client's delivery."""

    LIVE = "live"
    """It has been sent the same as all other live clients, and gets the shared batch."""
    CATCHING_UP = "catching up"
    """Its writer has room; it is sent what its own cursor returns."""
    BLOCKED = "blocked"
    """Its writer has no room; nothing is written."""
    CLOSED = "closed"
    """It has left."""


class Writer(NamedTuple):
    """The functions that write to one client; none of them waits."""

    write: Callable[[bytes], object]
    """Takes all bytes, and buffers what cannot be written at once."""
    try_write: Callable[[bytes], int]
    """Writes what can be written at once, and returns how many bytes that was. Called only while
    nothing is buffered. Raises OSError if nothing can be written or the connection is broken."""
    room: Callable[[], int] | None = None
    """Returns how many messages may be written now, and blocks the client if that is 0.
    None: no limit."""
    by_write: bool = False
    """Whether `room` counts writes: any room allows any number of messages in one write."""


class Client:
    """One client: its writer, its cursor and the state of its delivery."""

    __slots__ = ("cursor", "evict", "place", "subscribers", "writer")

    def __init__(
        self,
        subscribers: Subscribers,
        cursor: LatestCursor | EveryCursor,
        writer: Writer,
        evict: Callable[[str], None],
    ) -> None:
        self.subscribers = subscribers
        self.cursor = cursor
        self.writer = writer
        self.evict = evict
        """Called once, with the reason, when the client exceeds the limit of its backlog."""
        self.place = Place.CATCHING_UP

    @property
    def subscription(self) -> Subscription:
        return self.subscribers.stream.subscription


Work = dict[Client, None]
"""Clients that are due another slice, in the order of their turns."""


class Subscribers:
    """The clients of one stream."""

    def __init__(self, stream: LatestStream | EveryStream, work: Work) -> None:
        self.stream = stream
        self.clients: set[Client] = set()
        self._work = work
        self._live: dict[Client, Callable[[bytes], int]] = {}
        self._limited: dict[Client, Callable[[], int]] = {}
        """The live clients that have to be asked for room."""
        self._offsets = Totals()
        """The sum over live clients of what their account exceeds the stream's totals by."""
        self._catching_up: set[Client] = set()
        self._waiting: dict[str, set[Client]] = {}
        """By camera, the live clients whose next message of it differs from the others'."""
        self._slowest = 0
        """No client of an `every` stream is before this position of its log."""

    # ---- places -----------------------------------------------------------------------------

    def try_go_live(self, client: Client) -> None:
        """Make a client live if it was sent the same as the live ones."""
        writer = client.writer
        if client.place is not Place.CATCHING_UP or (
            writer.room is not None and not writer.by_write
        ):
            return
        if client.cursor.try_go_live():
            self._catching_up.discard(client)
            self._live[client] = writer.try_write
            if writer.room is not None:
                self._limited[client] = writer.room
            self._offsets = self._offsets.plus(client.cursor.offset())
            client.place = Place.LIVE
            for camera in client.cursor.waits_for:
                self._waiting.setdefault(camera, set()).add(client)
            self._keep_log()

    def move(self, client: Client, place: Place) -> None:
        """Move a client to any place except LIVE."""
        if client.place is Place.LIVE:
            del self._live[client]
            self._limited.pop(client, None)
            self._offsets = self._offsets.minus(client.cursor.offset())
            for camera in client.cursor.waits_for:
                self._waiting.get(camera, set()).discard(client)
            client.cursor.stop_live()
        self._catching_up.discard(client)
        client.place = place
        if place is Place.CATCHING_UP:
            self._catching_up.add(client)
        elif place is Place.CLOSED:
            self.clients.discard(client)
            client.cursor.leave()
        self._keep_log()

    def set_try_write(self, client: Client, try_write: Callable[[bytes], int]) -> None:
        """Replace the function that writes batches to a live client."""
        if client.place is Place.LIVE:
            self._live[client] = try_write

    def set_writer(self, client: Client, writer: Writer) -> None:
        """Replace a client's writer."""
        client.writer = writer
        if client.place is Place.LIVE:
            self.move(client, Place.CATCHING_UP)
            self.try_go_live(client)

    def _keep_log(self) -> None:
        if isinstance(self.stream, EveryStream):
            self.stream.keep = len(self._live) < len(self.clients)

    @property
    def nearly_full(self) -> bool:
        """Whether a client that is catching up would soon exceed the limit of the log."""
        return bool(self._catching_up) and self.stream.nearly_full

    def waits_for(self, camera: str) -> bool:
        """Whether `wake` has anything to do."""
        return camera in self._waiting

    def wake(self, camera: str) -> None:
        """Move the clients that wait for this camera to catching up; deliver everything before."""
        for client in self._waiting.pop(camera, ()):
            if client.place is Place.LIVE:
                self.move(client, Place.CATCHING_UP)

    # ---- delivery ---------------------------------------------------------------------------

    def admit(self, client: Client) -> None:
        self.clients.add(client)
        self.move(client, Place.CATCHING_UP)

    def release(self, camera: str, notice: Notice) -> None:
        """A camera was removed: send all clients `notice`, and keep only what is still due.

        Deliver everything before this call. Clients that may have no room move to catching up:
        their cursors hold the notice, while the stream sends it only once.
        """
        for client in tuple(self._limited):
            self.move(client, Place.CATCHING_UP)
        for client in self.clients:
            if client.place is not Place.LIVE:
                client.cursor.release(camera, notice)
        self.stream.release(camera, notice)

    def deliver(self, now: float) -> list[Client]:
        """Write what is due; return the clients that exceed the limit of the log."""
        if self.stream.batch_bytes:
            for room in tuple(self._limited.values()):
                room()
        bodies = self.stream.take_batch()
        if bodies and self._live:
            self._deliver_live(bodies)
        if self._catching_up:
            for client in tuple(self._catching_up):
                self.advance(client, now)
        return self._find_overflowed()

    def _deliver_live(self, bodies: list[Body]) -> None:
        data = frames(bodies)
        size = len(data)
        live = self._live  # a write may remove a client from it
        for client, try_write in zip(tuple(live), tuple(live.values()), strict=True):
            # This loop runs for every delivery: one system call and little else.
            try:
                taken = try_write(data)
            except OSError:
                taken = 0
            if taken != size:
                client.writer.write(data[taken:])

    def advance(self, client: Client, now: float) -> None:
        """Write what a client that is catching up is due, while it has room: at most one slice."""
        written = 0
        while client.place is Place.CATCHING_UP:
            writer, cursor = client.writer, client.cursor
            room = ALL if writer.room is None else writer.room()
            bodies = cursor.drain(now, WRITE_BYTES, room) if room else []
            if bodies:
                data = frames(bodies)
                writer.write(data)
                written += len(data)
            unfinished = cursor.replaying or (cursor.has_queued and not bodies)
            if client.place is Place.CATCHING_UP and (unfinished or written >= WRITE_BYTES):
                self._catching_up.discard(client)
                self._work[client] = None
                return
            if client.place is Place.CATCHING_UP and not bodies:
                self._catching_up.add(client)
                self.try_go_live(client)
                return

    def _find_overflowed(self) -> list[Client]:
        stream = self.stream
        if not isinstance(stream, EveryStream) or stream.start <= self._slowest:
            return []
        lost: list[Client] = []
        self._slowest = stream.end
        for client in self.clients:
            if client.place is Place.LIVE or not isinstance(client.cursor, EveryCursor):
                continue
            if client.cursor.overflowed:
                lost.append(client)
            else:
                self._slowest = min(self._slowest, client.cursor.position)
        stream.trim(self._slowest)
        return lost

    def totals(self) -> Totals:
        """The sum of all accounts; what is neither sent nor missed is pending."""
        total = self._offsets.plus(self.stream.totals.times(len(self._live)))
        for client in self.clients:
            if client.place is not Place.LIVE:
                total = total.plus(client.cursor.account())
        return total
