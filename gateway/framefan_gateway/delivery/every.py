"""The delivery `every`: all that was asked for, in order, up to a bound.

Each stream has one ordered log, kept only while a client is behind, and only up to a bound. A
client out of step is a position in this log; one behind its oldest entry can only be closed.
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
    from framefan_gateway.delivery.due import Past
    from framefan_gateway.delivery.subscription import Subscription
    from framefan_gateway.delivery.wire import Body

LEAST_MESSAGES = 16
"""However large messages are, a client may be so many of them behind."""
_PATIENCE = 16
"""How much longer the log may be while somebody's past is replayed."""


class Entry(NamedTuple):
    body: Body
    item: Outcome | Loss | None
    """None for a status."""
    missed: Missed
    """Of an outcome: what its message says."""
    over: str = ""
    """The camera whose last word this is."""


class EveryStream(Stream):
    """`every`: one ordered log, kept only while somebody is behind, and only up to its bounds."""

    def __init__(self, subscription: Subscription, most_messages: int, most_bytes: int) -> None:
        super().__init__(subscription)
        self._most_messages = max(most_messages, LEAST_MESSAGES)
        self._most_bytes = most_bytes
        self._log: deque[Entry] = deque()
        self._log_bytes = 0
        self.keep = False
        """Whether anybody is behind; set by the owner of the clients."""
        self.replays = 0
        """How many clients have not come to the log yet, since their past is still replayed."""
        self.end = self.given_end = 0
        """The number of the next entry, and of the next after the last batch that was taken: there
        is a client in step."""
        self._trailing: dict[str, Missed] = {}

    @property
    def start(self) -> int:
        """The oldest entry kept: a client further behind than this has lost something."""
        return self.end - len(self._log)

    @property
    def log_bytes(self) -> int:
        return self._log_bytes

    @property
    def crowded(self) -> bool:
        """Whether the log is half full: who can take some should get it now."""
        half = 2 * len(self._log) >= self._most_messages or 2 * self._log_bytes >= self._most_bytes
        return self.keep and half

    def take_batch(self) -> list[Body]:
        self.given_end = self.end
        return super().take_batch()

    def entry(self, position: int) -> Entry:
        """The entry of that number, which is kept."""
        return self._log[position - self.start]

    def trim(self, position: int) -> None:
        """Nobody needs what is before `position` any more."""
        while self._log and self.start < position:
            self._drop_first()

    def trailing(self, camera: str) -> Missed:
        """What was refused since the camera's last entry: the next one will tell it."""
        return self._trailing.get(camera, NOTHING)

    def outcome(self, outcome: Outcome, now: float, *, superseded: bool = False) -> None:  # noqa: ARG002 - none is left out
        camera = outcome.camera
        line = self.lines[camera]
        cause = self._selection.refuses(outcome)
        if cause is not None:
            self._trailing[camera] = self.trailing(camera).plus(Missed.of(cause, 1))
            self._refuse(line, cause)
            return
        line.outcome(outcome)
        missed = self._trailing.pop(camera, NOTHING)
        body = outcome.body(self.format, missed, now, self.picks)
        self._append(Entry(body, outcome, missed))
        if self.subscription.preview:
            self._show(outcome, missed, now)

    def loss(self, loss: Loss) -> None:
        self.lines[loss.camera].passed(loss.cause, loss.seqs)
        self._lose(loss.missed)
        self._append(Entry(gap(loss).body(self.format), loss, NOTHING))

    def notice(self, subject: tuple[object, ...], notice: Notice) -> None:  # noqa: ARG002
        self._append(Entry(notice.body(self.format), None, NOTHING))

    def release(self, camera: str, notice: Notice) -> None:
        self._drop(camera)
        self._trailing.pop(camera, None)
        self._append(Entry(notice.body(self.format), None, NOTHING, camera))

    def _append(self, entry: Entry) -> None:
        self._due(entry.body, results=int(isinstance(entry.item, Outcome)))
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
        if len(self._log) > self._most_messages * patience:
            return True
        return self._log_bytes > self._most_bytes * patience and len(self._log) > LEAST_MESSAGES

    def _drop_first(self) -> None:
        self._log_bytes -= len(self._log.popleft().body.data)


class EveryCursor(Cursor):
    """`every`: what is pending is the rest of the stream's log."""

    def __init__(self, stream: EveryStream, own: Totals = Totals()) -> None:  # noqa: B008 - immutable
        super().__init__(stream, own)
        self._of = stream
        self.position = stream.end
        """The number of the log entry that is due next, while out of step."""
        self._late = False
        """Whether its past is replayed: it counts among the stream's `replays`."""

    def replay(self, past: Past) -> None:
        super().replay(past)
        if not self._late:
            self._late = True
            self._of.replays += 1

    def leave(self) -> None:
        if self._late:
            self._late = False
            self._of.replays -= 1

    def release(self, camera: str, notice: Notice) -> None:  # noqa: ARG002 - it is in the log
        """The rest is in the log, in its turn."""
        self._finish(camera)  # while its end can still be told with what comes behind it

    def go_on(self, camera: str, carry: Missed) -> None:
        self._carry_on(camera, carry.minus(self._of.trailing(camera)))

    def _untold(self, camera: str) -> Missed:
        return self._of.trailing(camera).plus(self._carry.get(camera, NOTHING))

    @property
    def behind_bytes(self) -> int:
        stream = self._of
        if self.in_step or stream.end == stream.start:
            return self.own_bytes
        share = (stream.end - max(self.position, stream.start)) / (stream.end - stream.start)
        return self.own_bytes + int(stream.log_bytes * share)

    @property
    def overflowed(self) -> bool:
        """Behind the log's oldest entry: what it was due is gone, so it can only be closed."""
        return not self.in_step and self.position < self._of.start

    def step_out(self) -> None:
        super().step_out()
        self.position = self._of.given_end

    def _take_live(
        self, now: float, most_bytes: int, most_messages: int
    ) -> tuple[list[Body], int, int]:
        """The next entries of the log. Nothing past its bound."""
        bodies: list[Body] = []
        taken = results = 0
        if self.overflowed:
            return bodies, 0, 0
        while taken < most_bytes and len(bodies) < most_messages and not self._first:
            if self.position >= self._of.end:
                self.leave()  # its past is over
                bodies += self._pictures(most_messages - len(bodies))
                break
            entry = self._of.entry(self.position)
            self.position += 1
            made, sent = self._entry(entry, now, most_messages - len(bodies))
            results += sent
            bodies += made
            taken += sum(len(body.data) for body in made)
        return bodies, results, 0

    def _entry(self, entry: Entry, now: float, most: int) -> tuple[list[Body], int]:
        """The messages of an entry of the log, and how many outcomes they are."""
        item = entry.item
        match item:
            case Outcome() if self._carry or self._awaited:
                return self._messages(item, entry.missed, now, most)
            case Loss() if item.camera in self._awaited:
                return self._in_turn(self._after_loss(item), most), 0
            case None if entry.over:
                return self._in_turn([*self._over(entry.over), entry.body], most), 0
        return [entry.body], int(isinstance(item, Outcome))

    def _in_turn(self, bodies: list[Body], most: int) -> list[Body]:
        """As many as may be sent; the others wait before all else."""
        self._first.extend(bodies[most:])
        return bodies[:most]

    def _pictures(self, most: int) -> list[Body]:
        """Of those that the client has had the results of."""
        bodies: list[Body] = []
        if self._of.subscription.preview:
            for camera in self._of.lines:
                if len(bodies) < most:
                    bodies += self._picture(camera)
        return bodies

    def _after_loss(self, loss: Loss) -> list[Body]:
        """A loss of a camera that was awaited: the part of it that is news to this client."""
        since = self._awaited[loss.camera]
        had = 0
        if loss.epoch == since.epoch:
            had = max(min(loss.last_seq, since.seq) - loss.first_seq + 1, 0)
            self._own = self._own.minus(Totals.of(Missed.of(loss.cause, had)))
        if had == loss.seqs:
            return []
        rest = loss._replace(first_seq=loss.first_seq + had)
        met = self._meet(loss.camera, loss.epoch, rest.first_seq, NOTHING, since)
        assert met is not None
        said, gone = met
        if any(gone):
            self._carry_on(loss.camera, gone)
        return [said, gap(rest).body(self._of.format)]

    def _unsent(self) -> int:
        return self._of.end - self.position

    def _level(self) -> bool:
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
