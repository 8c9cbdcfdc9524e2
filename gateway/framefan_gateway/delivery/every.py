"""Delivery `every`: each result that the subscription asks for, in order, up to a limit.

Each stream keeps one ordered log, only while a client is not live, and only up to its limits. A
client that is not live is a position in this log. A position before the oldest entry means that
entries were lost: that client can only be closed.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from framefan.ipc.protocol import Gap
from framefan_gateway.delivery.accounts import NOTHING, Loss, Missed, Totals
from framefan_gateway.delivery.cursor import Cursor
from framefan_gateway.delivery.stream import Stream
from framefan_gateway.delivery.wire import Notice, Outcome

if TYPE_CHECKING:
    from framefan_gateway.delivery.queued import PendingReplay
    from framefan_gateway.delivery.subscription import Subscription
    from framefan_gateway.delivery.wire import Body

LEAST_MESSAGES = 16
"""The log holds at least this many messages, however large they are."""
_PATIENCE = 16
"""The factor by which the log's limits grow while a client's replay is unfinished."""


class Entry(NamedTuple):
    body: Body
    item: Outcome | Loss | None
    """None for a status."""
    missed: Missed
    """What an outcome's message reports as missed."""
    over: str = ""
    """The removed camera, if this is its last entry."""


class EveryStream(Stream):
    """The stream of `every`: one ordered log, kept only while a client is not live."""

    def __init__(self, subscription: Subscription, max_messages: int, max_bytes: int) -> None:
        super().__init__(subscription)
        self._max_messages = max(max_messages, LEAST_MESSAGES)
        self._max_bytes = max_bytes
        self._log: deque[Entry] = deque()
        self._log_bytes = 0
        self.keep = False
        """Whether any client is not live; `Subscribers` sets it."""
        self.replays = 0
        """How many clients have not reached the log yet, because their replay is unfinished."""
        self.end = self.end_at_batch = 0
        """The number of the next entry, now and at the last `take_batch`. Live clients stand at the
        latter."""
        self._trailing: dict[str, Missed] = {}

    @property
    def start(self) -> int:
        """The number of the oldest entry kept. A client before it has lost entries."""
        return self.end - len(self._log)

    @property
    def log_bytes(self) -> int:
        return self._log_bytes

    @property
    def nearly_full(self) -> bool:
        """Whether the log is half full, so that clients with room should be written to now."""
        half = 2 * len(self._log) >= self._max_messages or 2 * self._log_bytes >= self._max_bytes
        return self.keep and half

    def take_batch(self) -> list[Body]:
        self.end_at_batch = self.end
        return super().take_batch()

    def entry(self, position: int) -> Entry:
        """The entry with this number, which must still be kept."""
        return self._log[position - self.start]

    def trim(self, position: int) -> None:
        """Drop the entries before `position`; no client needs them."""
        while self._log and self.start < position:
            self._drop_first()

    def trailing(self, camera: str) -> Missed:
        """What the filter refused since the camera's last entry; the next entry reports it."""
        return self._trailing.get(camera, NOTHING)

    def add_outcome(self, outcome: Outcome, now: float, *, superseded: bool = False) -> None:  # noqa: ARG002 - none is left out
        camera = outcome.camera
        progress = self.cameras[camera]
        cause = self._selection.refuses(outcome)
        if cause is not None:
            self._trailing[camera] = self.trailing(camera).plus(Missed.of(cause, 1))
            self._refuse(progress, cause)
            return
        progress.add_outcome(outcome)
        missed = self._trailing.pop(camera, NOTHING)
        body = outcome.body(self.format, missed, now, self.detection_filter)
        self._append(Entry(body, outcome, missed))
        if self.subscription.preview:
            self._expect_picture(outcome, missed, now)

    def add_loss(self, loss: Loss) -> None:
        self.cameras[loss.camera].skip(loss.cause, loss.seqs)
        self._add_missed(loss.missed)
        self._append(Entry(gap(loss).body(self.format), loss, NOTHING))

    def add_notice(self, subject: tuple[object, ...], notice: Notice) -> None:  # noqa: ARG002
        self._append(Entry(notice.body(self.format), None, NOTHING))

    def release(self, camera: str, notice: Notice) -> None:
        self._drop(camera)
        self._trailing.pop(camera, None)
        self._append(Entry(notice.body(self.format), None, NOTHING, camera))

    def _append(self, entry: Entry) -> None:
        self._add_to_batch(entry.body, results=int(isinstance(entry.item, Outcome)))
        self.end += 1
        if not self.keep:
            self._log.clear()
            self._log_bytes = 0
            return
        self._log.append(entry)
        self._log_bytes += len(entry.body.data)
        while self._is_too_long():
            self._drop_first()

    def _is_too_long(self) -> bool:
        patience = _PATIENCE if self.replays else 1
        if len(self._log) > self._max_messages * patience:
            return True
        return self._log_bytes > self._max_bytes * patience and len(self._log) > LEAST_MESSAGES

    def _drop_first(self) -> None:
        self._log_bytes -= len(self._log.popleft().body.data)


class EveryCursor(Cursor):
    """The cursor of `every`: all log entries from its position on are pending."""

    def __init__(self, stream: EveryStream, own: Totals = Totals()) -> None:  # noqa: B008 - immutable
        super().__init__(stream, own)
        self._of = stream
        self.position = stream.end
        """The number of the log entry that is due next, while not live."""
        self._late = False
        """Whether its replay is unfinished, so that it counts in the stream's `replays`."""

    def replay(self, past: PendingReplay) -> None:
        super().replay(past)
        if not self._late:
            self._late = True
            self._of.replays += 1

    def leave(self) -> None:
        if self._late:
            self._late = False
            self._of.replays -= 1

    def release(self, camera: str, notice: Notice) -> None:  # noqa: ARG002 - it is in the log
        """Finish the camera's replay now; everything else of it is in the log, in its order."""
        self._finish(camera)  # while the next log entry can still report what the replay missed

    def follow(self, camera: str, carry: Missed) -> None:
        self._add_carry(camera, carry.minus(self._of.trailing(camera)))

    def _unreported(self, camera: str) -> Missed:
        return self._of.trailing(camera).plus(self._carry.get(camera, NOTHING))

    @property
    def backlog_bytes(self) -> int:
        stream = self._of
        if self.live or stream.end == stream.start:
            return self.own_bytes
        share = (stream.end - max(self.position, stream.start)) / (stream.end - stream.start)
        return self.own_bytes + int(stream.log_bytes * share)

    @property
    def overflowed(self) -> bool:
        """Whether entries were dropped before this client got them, so it has to be closed."""
        return not self.live and self.position < self._of.start

    def stop_live(self) -> None:
        super().stop_live()
        self.position = self._of.end_at_batch

    def _take_live(
        self, now: float, max_bytes: int, max_messages: int
    ) -> tuple[list[Body], int, int]:
        """The next entries of the log. Nothing once it has overflowed."""
        bodies: list[Body] = []
        taken = results = 0
        if self.overflowed:
            return bodies, 0, 0
        while taken < max_bytes and len(bodies) < max_messages and not self._first:
            if self.position >= self._of.end:
                self.leave()  # its replay has ended
                bodies += self._take_pictures(max_messages - len(bodies))
                break
            entry = self._of.entry(self.position)
            self.position += 1
            made, sent = self._make_entry(entry, now, max_messages - len(bodies))
            results += sent
            bodies += made
            taken += sum(len(body.data) for body in made)
        return bodies, results, 0

    def _make_entry(self, entry: Entry, now: float, most: int) -> tuple[list[Body], int]:
        """The messages of a log entry, and how many of them are outcomes."""
        item = entry.item
        match item:
            case Outcome() if self._carry or self._awaited:
                return self._make_messages(item, entry.missed, now, most)
            case Loss() if item.camera in self._awaited:
                return self._queue_excess(self._resume_at_loss(item), most), 0
            case Loss() if item.camera in self._carry:
                self._add_carry(item.camera, item.missed)
                return [], 0  # a gap would leap over seqs that the next outcome reports
            case None if entry.over:
                return self._queue_excess([*self._over(entry.over), entry.body], most), 0
        return [entry.body], int(isinstance(item, Outcome))

    def _queue_excess(self, bodies: list[Body], most: int) -> list[Body]:
        """The first `most` bodies; the others are queued before everything else."""
        self._first.extend(bodies[most:])
        return bodies[:most]

    def _take_pictures(self, most: int) -> list[Body]:
        """The newest picture of each camera whose result this client has."""
        bodies: list[Body] = []
        if self._of.subscription.preview:
            for camera in self._of.cameras:
                if len(bodies) < most:
                    bodies += self._take_picture(camera)
        return bodies

    def _resume_at_loss(self, loss: Loss) -> list[Body]:
        """The messages for a loss of an awaited camera: only seqs new to this client."""
        since = self._awaited[loss.camera]
        had = 0
        if loss.epoch == since.epoch:
            had = max(min(loss.last_seq, since.seq) - loss.first_seq + 1, 0)
            self._own = self._own.minus(Totals.of(Missed.of(loss.cause, had)))
        if had == loss.seqs:
            return []
        unseen = loss._replace(first_seq=loss.first_seq + had)
        met = self._meet_awaited(loss.camera, loss.epoch, unseen.first_seq, NOTHING, since)
        assert met is not None
        resumed, dropped = met
        if any(dropped):
            self._add_carry(loss.camera, dropped.plus(unseen.missed))
            return [resumed]
        return [resumed, gap(unseen).body(self._of.format)]

    def _count_unsent(self) -> int:
        return self._of.end - self.position

    def _has_caught_up(self) -> bool:
        return self.position == self._of.end


def gap(loss: Loss) -> Notice:
    return Notice(
        Gap(
            camera=loss.camera,
            epoch=loss.epoch,
            first_seq=loss.first_seq,
            last_seq=loss.last_seq,
            missed=loss.seqs,
            missed_by={loss.cause: loss.seqs},
        )
    )
