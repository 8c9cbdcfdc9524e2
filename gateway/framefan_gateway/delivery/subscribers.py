"""A group: the clients of one stream, and what happens when a line fills or drains.

1. Clients in step get the stream's batch in one write each. Nothing else is done for them, not even
   counting: the stream's totals are theirs.
2. A write may fill a line. The client then falls out of step, and nothing is done for it until
   its line is free.
3. A client whose line is free but which is not in step is given what it is due by itself, until
   it has been told the same as all others; then it falls in step. One whose line has a limit in
   messages never does; with a limit in writes it is asked for room before each batch.
4. A past that is to be replayed, and whatever is more than `WRITE_BYTES`, is made a slice at a
   time. Between two slices the client is in `Work`, the queue that all groups share, and everybody
   else has a turn.
5. Whoever waits for news of one camera only, to be told of it otherwise than the others, is in step
   until right before that news: see `wake`.
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
"""About as much as one write to a draining line may leave behind in its buffer."""


class Place(Enum):
    """Where a client stands."""

    LIVE = "in step"
    CATCHING_UP = "apart"
    BLOCKED = "full"
    CLOSED = "gone"


class Writer(NamedTuple):
    """The way to one client; none of these functions waits."""

    write: Callable[[bytes], object]
    """Takes all it is given, and keeps what does not fit at once."""
    offer: Callable[[bytes], int]
    """Takes what fits at once and answers how much that was; only called while nothing is kept.
    Raises OSError when nothing fits or the way is broken."""
    room: Callable[[], int] | None = None
    """How many messages may be written now; None: as many as there are. When there are none, the
    client's line is full from then on."""
    by_write: bool = False
    """Whether any room at all is enough for any number of messages in one write."""


class Client:
    """One subscriber: its line, its cursor and where it stands."""

    __slots__ = ("cursor", "evict", "line", "place", "subscribers")

    def __init__(
        self,
        subscribers: Subscribers,
        cursor: LatestCursor | EveryCursor,
        line: Writer,
        evict: Callable[[str], None],
    ) -> None:
        self.subscribers = subscribers
        self.cursor = cursor
        self.line = line
        self.evict = evict
        """Called once, with the reason, when it has fallen further behind than it may."""
        self.place = Place.CATCHING_UP

    @property
    def subscription(self) -> Subscription:
        return self.subscribers.stream.subscription


Work = dict[Client, None]
"""Clients that are due more than one slice, in the order of their turns."""


class Subscribers:
    """The clients of one stream."""

    def __init__(self, stream: LatestStream | EveryStream, work: Work) -> None:
        self.stream = stream
        self.clients: set[Client] = set()
        self._work = work
        self._in_step: dict[Client, Callable[[bytes], int]] = {}
        self._limited: dict[Client, Callable[[], int]] = {}
        """Those in step that have to be asked for room."""
        self._offsets = Totals()
        """Summed over the clients in step: their account beyond the stream's totals."""
        self._apart: set[Client] = set()
        self._waiting: dict[str, set[Client]] = {}
        """By camera, the clients in step that are to be told otherwise of its next news."""
        self._hindmost = 0
        """No client of an `every` stream stands before this position of its log."""

    # ---- where clients stand ----------------------------------------------------------------

    def fall_in(self, client: Client) -> None:
        line = client.line
        if client.place is not Place.CATCHING_UP or (line.room is not None and not line.by_write):
            return
        if client.cursor.step_in():
            self._apart.discard(client)
            self._in_step[client] = line.offer
            if line.room is not None:
                self._limited[client] = line.room
            self._offsets = self._offsets.plus(client.cursor.offset())
            client.place = Place.LIVE
            for camera in client.cursor.waits_for:
                self._waiting.setdefault(camera, set()).add(client)
            self._keep_log()

    def move(self, client: Client, place: Place) -> None:
        """To anywhere but in step."""
        if client.place is Place.LIVE:
            del self._in_step[client]
            self._limited.pop(client, None)
            self._offsets = self._offsets.minus(client.cursor.offset())
            for camera in client.cursor.waits_for:
                self._waiting.get(camera, set()).discard(client)
            client.cursor.step_out()
        self._apart.discard(client)
        client.place = place
        if place is Place.CATCHING_UP:
            self._apart.add(client)
        elif place is Place.CLOSED:
            self.clients.discard(client)
            client.cursor.leave()
        self._keep_log()

    def write_by(self, client: Client, offer: Callable[[bytes], int]) -> None:
        """Have a client in step be offered its next batch in another way."""
        if client.place is Place.LIVE:
            self._in_step[client] = offer

    def use(self, client: Client, line: Writer) -> None:
        """Write to a client by another line from here on."""
        client.line = line
        if client.place is Place.LIVE:
            self.move(client, Place.CATCHING_UP)
            self.fall_in(client)

    def _keep_log(self) -> None:
        if isinstance(self.stream, EveryStream):
            self.stream.keep = len(self._in_step) < len(self.clients)

    @property
    def pressed(self) -> bool:
        """Whether a client with a free line would soon be behind by more than it may."""
        return bool(self._apart) and self.stream.crowded

    def waits_for(self, camera: str) -> bool:
        """Whether `wake` has anything to do."""
        return camera in self._waiting

    def wake(self, camera: str) -> None:
        """There is news of this camera; call it with nothing undelivered."""
        for client in self._waiting.pop(camera, ()):
            if client.place is Place.LIVE:
                self.move(client, Place.CATCHING_UP)

    # ---- what they get ----------------------------------------------------------------------

    def admit(self, client: Client) -> None:
        self.clients.add(client)
        self.move(client, Place.CATCHING_UP)

    def release(self, camera: str, notice: Notice) -> None:
        """A camera is gone: tell everybody, and keep nothing of it but what is still due.

        Call it with nothing undelivered. Who may have no room when that leaves is told apart, since
        the stream can say it only once.
        """
        for client in tuple(self._limited):
            self.move(client, Place.CATCHING_UP)
        for client in self.clients:
            if client.place is not Place.LIVE:
                client.cursor.release(camera, notice)
        self.stream.release(camera, notice)

    def deliver(self, now: float) -> list[Client]:
        """Write what is due; returns the clients that have fallen further behind than they may."""
        if self.stream.batch_bytes:
            for room in tuple(self._limited.values()):
                room()
        bodies = self.stream.take_batch()
        if bodies and self._in_step:
            self._deliver_in_step(bodies)
        if self._apart:
            for client in tuple(self._apart):
                self.advance(client, now)
        return self._overflowed()

    def _deliver_in_step(self, bodies: list[Body]) -> None:
        data = frames(bodies)
        size = len(data)
        in_step = self._in_step  # a write may take a client out of it
        for client, offer in zip(tuple(in_step), tuple(in_step.values()), strict=True):
            # The one place that runs for every delivery: a system call and little else.
            try:
                taken = offer(data)
            except OSError:
                taken = 0
            if taken != size:
                client.line.write(data[taken:])

    def advance(self, client: Client, now: float) -> None:
        """Give a free line what it is due, for as long as it stays free: at most one slice."""
        written = 0
        while client.place is Place.CATCHING_UP:
            line, cursor = client.line, client.cursor
            room = ALL if line.room is None else line.room()
            bodies = cursor.drain(now, WRITE_BYTES, room) if room else []
            if bodies:
                data = frames(bodies)
                line.write(data)
                written += len(data)
            if client.place is Place.CATCHING_UP and (cursor.replaying or written >= WRITE_BYTES):
                self._apart.discard(client)
                self._work[client] = None
                return
            if client.place is Place.CATCHING_UP and not bodies:
                self._apart.add(client)
                self.fall_in(client)
                return

    def _overflowed(self) -> list[Client]:
        stream = self.stream
        if not isinstance(stream, EveryStream) or stream.start <= self._hindmost:
            return []
        lost: list[Client] = []
        self._hindmost = stream.end
        for client in self.clients:
            if client.place is Place.LIVE or not isinstance(client.cursor, EveryCursor):
                continue
            if client.cursor.overflowed:
                lost.append(client)
            else:
                self._hindmost = min(self._hindmost, client.cursor.position)
        stream.trim(self._hindmost)
        return lost

    def totals(self) -> Totals:
        """The sum of all accounts; what offered exceeds the rest by is pending."""
        total = self._offsets.plus(self.stream.totals.times(len(self._in_step)))
        for client in self.clients:
            if client.place is not Place.LIVE:
                total = total.plus(client.cursor.account())
        return total
