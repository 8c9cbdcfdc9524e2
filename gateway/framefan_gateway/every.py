"""The delivery `every`: all that was asked for, in order, up to a bound.

One ordered log per feed, kept only while somebody is behind, and only so long: a client out of step
is a position in it, and one behind its oldest entry can only be closed.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from framefan.protocol import Gap
from framefan_gateway.accounts import NOTHING, Loss, Missed, Totals
from framefan_gateway.feed import Feed
from framefan_gateway.outbox import Due, Outbox
from framefan_gateway.wire import Notice, Outcome

if TYPE_CHECKING:
    from framefan_gateway.contract import Contract
    from framefan_gateway.history import History


class Entry(NamedTuple):
    data: bytes
    item: Outcome | Loss | None
    """None for a status."""
    missed: Missed
    """Of an outcome: what its message says."""
    over: str = ""
    """The camera whose last word this is."""


class EveryFeed(Feed):
    """`every`: one ordered log, kept only while somebody is behind, and only up to its bounds."""

    def __init__(self, contract: Contract, most_messages: int, most_bytes: int) -> None:
        super().__init__(contract)
        self._most_messages = most_messages
        self._most_bytes = most_bytes
        self._log: deque[Entry] = deque()
        self._log_bytes = 0
        self.keep = False
        """Whether anybody is behind; set by the owner of the clients."""
        self.end = 0
        """The number of the next entry; a client in step is always here."""
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

    def entry(self, position: int) -> Entry:
        """The entry of that number, which is kept."""
        return self._log[position - self.start]

    def trim(self, position: int) -> None:
        """Nobody needs what is before `position` any more."""
        while self._log and self.start < position:
            self._drop_first()

    def prime(self, camera: str, history: History) -> None:
        super().prime(camera, history)
        line = self.lines[camera]
        refused = line.latest_mark.passed_until(line.now)._replace(lost=0, bus=0)
        if refused != NOTHING:
            self._trailing[camera] = refused

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
        data = outcome.frame(self.format, missed, now, self.picks)
        self._append(Entry(data, outcome, missed))
        if self.contract.preview:
            self._show(outcome, missed, now)

    def loss(self, loss: Loss) -> None:
        self.lines[loss.camera].loss(loss)
        self._lose(loss.missed)
        self._append(Entry(gap(loss).frame(self.format), loss, NOTHING))

    def notice(self, subject: tuple[object, ...], notice: Notice) -> None:  # noqa: ARG002
        self._append(Entry(notice.frame(self.format), None, NOTHING))

    def release(self, camera: str, notice: Notice) -> None:
        self._drop(camera)
        self._trailing.pop(camera, None)
        self._append(Entry(notice.frame(self.format), None, NOTHING, camera))

    def _append(self, entry: Entry) -> None:
        self._due(entry.data, results=int(isinstance(entry.item, Outcome)))
        self.end += 1
        if not self.keep:
            self._log.clear()
            self._log_bytes = 0
            return
        self._log.append(entry)
        self._log_bytes += len(entry.data)
        while len(self._log) > self._most_messages or (
            self._log_bytes > self._most_bytes and len(self._log) > 1
        ):
            self._drop_first()

    def _drop_first(self) -> None:
        self._log_bytes -= len(self._log.popleft().data)


class EveryOutbox(Outbox):
    """`every`: what is pending is the rest of the feed's log."""

    def __init__(self, feed: EveryFeed, own: Totals = Totals()) -> None:  # noqa: B008 - immutable
        super().__init__(feed, own)
        self._of = feed
        self.position = feed.end
        """The number of the log entry that is due next, while out of step."""

    def begin(self, camera: str, now: float) -> None:  # noqa: ARG002 - encoded when it is drained
        line = self._of.lines[camera]
        if not line.current or line.latest is None:
            self.go_on(camera, NOTHING)
            return
        self._first.append(Due(line.latest, NOTHING, self._of))
        self._own = self._own.plus(Totals(offered=1))
        for loss in line.losses:
            self.greet(gap(loss).frame(self._of.format))
            self._own = self._own.plus(Totals.of(loss.missed))
        self._own = self._own.plus(Totals.of(self._of.trailing(camera)))

    def release(self, camera: str, notice: Notice) -> None:
        """Nothing yet: it is in the log, in its turn."""

    def go_on(self, camera: str, carry: Missed) -> None:
        more = carry.minus(self._of.trailing(camera))
        if any(more):
            self._carry[camera] = more

    def _untold(self, camera: str) -> Missed:
        return self._of.trailing(camera).plus(self._carry.get(camera, NOTHING))

    @property
    def behind_bytes(self) -> int:
        feed = self._of
        if self.in_step or feed.end == feed.start:
            return self.own_bytes
        share = (feed.end - max(self.position, feed.start)) / (feed.end - feed.start)
        return self.own_bytes + int(feed.log_bytes * share)

    @property
    def overflowed(self) -> bool:
        """Behind the log's oldest entry: what it was due is gone, so it can only be closed."""
        return not self.in_step and self.position < self._of.start

    def step_out(self) -> None:
        super().step_out()
        self.position = self._of.end

    def drain(self, now: float, most_bytes: int) -> bytes:
        """The next entries of the log, once what comes first is through. None past its bound."""
        if self.overflowed:
            return b""
        parts, results = self._take_first(now, most_bytes)
        size = sum(map(len, parts))
        while not self._first and size < most_bytes and self.position < self._of.end:
            entry = self._of.entry(self.position)
            self.position += 1
            match entry.item:
                case Outcome() if self._carry or self._awaited:
                    frames = self._frames(entry.item, entry.missed, now)
                    results += bool(frames)
                case Loss() if entry.item.camera in self._awaited:
                    frames = self._after_loss(entry.item)
                case None if entry.over:
                    frames = [*self._over(entry.over), entry.data]
                case _:
                    frames = [entry.data]
                    results += isinstance(entry.item, Outcome)
            parts += frames
            size += sum(map(len, frames))
        return self._sent(parts, results)

    def _after_loss(self, loss: Loss) -> list[bytes]:
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
            before = self._carry.get(loss.camera, NOTHING)
            self._carry[loss.camera] = before.plus(gone)
        return [said, gap(rest).frame(self._of.format)]

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
