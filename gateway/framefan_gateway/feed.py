"""A feed: what all clients of one contract are due, counted once for all of them.

Most clients have a free line, so they have all been sent the same and are due the same next: they
are in step, and share the feed's counters and its bytes. What a feed counts only ever grows. A
client that falls out of step (its line is full) takes a copy of how far the feed had come and
costs nothing more: all that it missed meanwhile is a difference of two states of the feed, taken
when its line drains (see outbox.py).

Per camera a line counts results that were due (errors too), and by cause what was not, and keeps
the latest outcome with the counts as they stood when it came: what is missed after it is told with
the next one, so that what a message calls missed is always the hole in `seq` before it.
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING, NamedTuple

from framefan.protocol import Gap
from framefan_gateway.accounts import NOTHING, Cause, Loss, Mark, Missed, Totals
from framefan_gateway.selection import Selection
from framefan_gateway.wire import Notice, Outcome

if TYPE_CHECKING:
    from framefan_gateway.contract import Contract
    from framefan_gateway.history import History

_START = Mark()
_CONFLATED = Missed(conflated=1)


class CameraLine:
    """One camera of a feed."""

    __slots__ = ("current", "latest", "latest_mark", "losses", "now")

    def __init__(self) -> None:
        self.now = _START
        self.latest: Outcome | None = None
        """The latest outcome that was due."""
        self.latest_mark = self.now
        self.current = False
        """Whether there is a latest outcome and it is of the current epoch."""
        self.losses: list[Loss] = []
        """Since the latest outcome, in order, neighbours of one cause merged."""

    def outcome(self, outcome: Outcome) -> None:
        now = self.now
        self.now = self.latest_mark = now._replace(results=now.results + 1)
        self.latest = outcome
        self.current = True
        if self.losses:
            self.losses.clear()

    def refused(self, cause: Cause) -> None:
        """An outcome that the contract does not ask for."""
        self.now = self.now.plus(cause, 1)

    def loss(self, loss: Loss) -> None:
        self.now = self.now.plus(loss.cause, loss.seqs)
        if not self.current:
            return
        last = self.losses[-1] if self.losses else None
        if last and (last.cause, last.epoch) == (loss.cause, loss.epoch):
            self.losses[-1] = last._replace(last_seq=loss.last_seq)
        else:
            self.losses.append(loss)

    def forget(self) -> None:
        """A new epoch: what came before it is not what a newcomer wants first."""
        self.current = False
        self.losses.clear()


class Feed:
    """The counters and the bytes shared by the clients in step."""

    def __init__(self, contract: Contract) -> None:
        self.contract = contract
        self.format = contract.format
        self.picks = contract.picks
        self.lines: defaultdict[str, CameraLine] = defaultdict(CameraLine)
        self._selection = Selection(contract)
        self._losses = Totals()
        self._sent = 0
        self._sent_bytes = 0
        self._batch: list[bytes] = []
        self.batch_bytes = 0

    @property
    def totals(self) -> Totals:
        """Of a client that has been in step since the feed began."""
        return self._losses.plus(Totals(self._sent, self._sent, bytes=self._sent_bytes))

    def prime(self, camera: str, history: History) -> None:
        """Start with what was seen of a camera before this feed began."""
        line = self.lines[camera]
        for item in history.newest(self._picked):
            if isinstance(item, Loss):
                line.loss(item)
                continue
            cause = self._selection.refuses(item)
            if cause is None:
                line.outcome(item)
            else:
                line.refused(cause)

    def _picked(self, outcome: Outcome) -> bool:
        return not self.contract.nonempty or not outcome.empty(self.picks)

    def forget(self) -> None:
        for line in self.lines.values():
            line.forget()

    def outcome(self, outcome: Outcome, now: float, *, superseded: bool = False) -> None:
        """One more; `superseded`: it is old, and a newer one of its camera is already here."""
        raise NotImplementedError

    def _refuse(self, line: CameraLine, cause: Cause) -> None:
        line.refused(cause)
        self._lose(Missed.of(cause, 1))

    def take_batch(self) -> bytes:
        """All that the clients in step are due since the last call, to leave in one write."""
        batch = self._batch
        if not batch:
            return b""
        data = batch[0] if len(batch) == 1 else b"".join(batch)
        batch.clear()
        self.batch_bytes = 0
        return data

    def _due(self, data: bytes, results: int = 0) -> None:
        """`results`: 1 for an outcome, 0 for a gap or status."""
        size = len(data)
        self._batch.append(data)
        self.batch_bytes += size
        self._sent += results
        self._sent_bytes += size

    def _lose(self, missed: Missed) -> None:
        self._losses = self._losses.plus(Totals.of(missed))


class LatestFeed(Feed):
    """`latest`: of each camera the newest outcome is due, and how many it replaced."""

    def __init__(self, contract: Contract) -> None:
        super().__init__(contract)
        self.told: dict[str, Mark] = {}
        """By camera, the line's mark at the last message that the clients in step were sent."""
        self.notices: dict[tuple[object, ...], tuple[int, Notice]] = {}
        """By subject, the newest notice and its number: statuses conflate like results."""
        self.noticed = 0

    def prime(self, camera: str, history: History) -> None:
        super().prime(camera, history)
        self.told[camera] = self.lines[camera].latest_mark

    def outcome(self, outcome: Outcome, now: float, *, superseded: bool = False) -> None:
        camera = outcome.camera
        line = self.lines[camera]
        told = self.told.get(camera, _START)
        selection = self._selection
        if not selection.everything:
            cause = selection.refuses(outcome)
            if cause is not None:
                self.told[camera] = told
                self._refuse(line, cause)
                return
            superseded = False  # the newer one may be refused
        nothing = told is line.now  # the ordinary case: no loss since
        line.outcome(outcome)
        if superseded:
            self.told[camera] = told
            self._lose(_CONFLATED)
            return
        mark = self.told[camera] = line.latest_mark
        missed = NOTHING if nothing else told.missed_until(mark)
        self._due(outcome.frame(self.format, missed, now, self.picks), results=1)

    def loss(self, loss: Loss) -> None:
        self.lines[loss.camera].loss(loss)
        self.told.setdefault(loss.camera, _START)
        self._lose(loss.missed)

    def notice(self, subject: tuple[object, ...], notice: Notice) -> None:
        self.noticed += 1
        self.notices[subject] = (self.noticed, notice)
        self._due(notice.frame(self.format))


class Entry(NamedTuple):
    data: bytes
    item: Outcome | Loss | None
    """None for a status."""
    missed: Missed
    """Of an outcome: what its message says."""


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

    def loss(self, loss: Loss) -> None:
        self.lines[loss.camera].loss(loss)
        self._lose(loss.missed)
        self._append(Entry(gap(loss).frame(self.format), loss, NOTHING))

    def notice(self, subject: tuple[object, ...], notice: Notice) -> None:  # noqa: ARG002
        self._append(Entry(notice.frame(self.format), None, NOTHING))

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
