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

from framefan_gateway.accounts import Cause, Loss, Mark, Missed, Totals
from framefan_gateway.selection import Selection
from framefan_gateway.wire import Outcome

if TYPE_CHECKING:
    from framefan_gateway.contract import Contract
    from framefan_gateway.history import History
    from framefan_gateway.wire import Notice, Picture

START = Mark()
_SHOWN = 16
"""A picture comes a millisecond behind its result; more so where a worker has several frames."""


class _Shown(NamedTuple):
    """A result that was due, with its message."""

    of: tuple[str, int, int]
    """Epoch, seq and frame."""
    data: bytes


class CameraLine:
    """One camera of a feed."""

    __slots__ = ("current", "latest", "latest_mark", "losses", "now")

    def __init__(self) -> None:
        self.now = START
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
        at_its_end = last and last.last_seq + 1 == loss.first_seq  # else others lie between
        if last and at_its_end and (last.cause, last.epoch) == (loss.cause, loss.epoch):
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
        self.sent_bytes = 0
        self._shown: defaultdict[str, deque[_Shown]] = defaultdict(lambda: deque(maxlen=_SHOWN))
        """By camera, the last results that were due, oldest first, where pictures are to follow."""
        self._batch: list[bytes] = []
        self.batch_bytes = 0

    @property
    def totals(self) -> Totals:
        """Of a client that has been in step since the feed began."""
        return self._losses.plus(Totals(self._sent, self._sent, bytes=self.sent_bytes))

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

    def release(self, camera: str, notice: Notice) -> None:
        """The camera is gone, and `notice` says so: nothing else of it is kept.

        Before that, clients out of step have taken for themselves what they are due of it.
        """
        raise NotImplementedError

    def picture(self, picture: Picture) -> None:
        """A picture of a result's frame, for the clients in step: whoever is behind has no room
        for it. None is due for a result that was not.
        """
        for last in self._shown[picture.camera]:
            if last.of == picture.of:
                self._shown[picture.camera].remove(last)
                self._due(picture.frame(last.data))
                return

    def _show(self, outcome: Outcome, missed: Missed, now: float) -> None:
        """A picture of this outcome may follow. (Each contract with pictures has them of all.)"""
        data = outcome.frame("json", missed, now, self.picks)
        of = outcome.epoch, outcome.seq, outcome.record.frame
        self._shown[outcome.camera].append(_Shown(of, data))

    def _drop(self, camera: str) -> None:
        self.lines.pop(camera, None)
        self._shown.pop(camera, None)
        self._selection.forget(camera)

    def outcome(self, outcome: Outcome, now: float, *, superseded: bool = False) -> None:
        """One more; `superseded`: it is old, and a newer one of its camera is already here."""
        raise NotImplementedError

    def _refuse(self, line: CameraLine, cause: Cause) -> None:
        line.refused(cause)
        self._lose(Missed.of(cause, 1))

    @property
    def crowded(self) -> bool:
        """Whether what is kept for clients out of step nears its bound."""
        return False

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
        self.sent_bytes += size

    def _lose(self, missed: Missed) -> None:
        self._losses = self._losses.plus(Totals.of(missed))
