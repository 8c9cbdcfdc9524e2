"""A stream: what all clients of one subscription are due, counted once for all of them.

Most clients have a free line, so they have all been sent the same and are due the same next: they
are in step, and share the stream's counters and its bodies. What a stream counts only ever grows. A
client that falls out of step (its line is full) takes a copy of how far the stream had come and
costs nothing more: all that it missed meanwhile is a difference of two states of the stream, taken
when its line drains (see cursor.py).

Per camera a line counts results that were due (errors too), and by cause what was not, and keeps
the latest outcome with the counts as they stood when it came: what is missed after it is told with
the next one, so that what a message calls missed is always the hole in `seq` before it.
"""

from __future__ import annotations

from collections import defaultdict, deque
from typing import TYPE_CHECKING, NamedTuple

from framefan_gateway.delivery.accounts import Cause, Loss, Missed, Offset, Totals
from framefan_gateway.delivery.selection import Selection

if TYPE_CHECKING:
    from framefan_gateway.delivery.subscription import Subscription
    from framefan_gateway.delivery.wire import Body, Notice, Outcome, Picture

START = Offset()
_SHOWN = 16
"""A picture comes a millisecond behind its result; more so where a worker has several frames."""

ResultId = tuple[str, int, int]
"""Epoch, seq and frame of a result."""


class _Shown(NamedTuple):
    """A result that was due, with its message in JSON."""

    of: ResultId
    data: bytes


class Shot(NamedTuple):
    """A picture as clients get it, and the result whose frame it shows."""

    of: ResultId
    body: Body


class CameraLine:
    """One camera of a stream."""

    __slots__ = ("latest", "latest_mark", "now", "shot")

    def __init__(self) -> None:
        self.now = START
        self.latest: Outcome | None = None
        """The latest outcome that was due."""
        self.latest_mark = self.now
        self.shot: Shot | None = None
        """The last picture that came."""

    def outcome(self, outcome: Outcome) -> None:
        now = self.now
        self.now = self.latest_mark = now._replace(results=now.results + 1)
        self.latest = outcome

    def passed(self, cause: Cause, count: int) -> None:
        """So many seqs of which nothing is due."""
        self.now = self.now.plus(cause, count)


class Stream:
    """The counters and the bodies shared by the clients in step."""

    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription
        self.format = subscription.format
        self.picks = subscription.picks
        self.lines: defaultdict[str, CameraLine] = defaultdict(CameraLine)
        self._selection = Selection(subscription)
        self._losses = Totals()
        self._sent = 0
        self.sent_messages = 0
        self.sent_bytes = 0
        self._shown: defaultdict[str, deque[_Shown]] = defaultdict(lambda: deque(maxlen=_SHOWN))
        """By camera, the last results that were due, oldest first, where pictures are to follow."""
        self._batch: list[Body] = []
        self.batch_bytes = 0
        self.given = Totals()
        """`totals` as of the last batch that was taken: what clients in step have really had. Who
        falls out of step does so from there."""

    @property
    def totals(self) -> Totals:
        """Of a client that has been in step since the stream began."""
        sent = self._sent
        mine = Totals(sent, sent, messages=self.sent_messages, bytes=self.sent_bytes)
        return self._losses.plus(mine)

    def release(self, camera: str, notice: Notice) -> None:
        """The camera is gone, and `notice` says so: nothing else of it is kept.

        Before that, clients out of step have taken for themselves what they are due of it.
        """
        raise NotImplementedError

    def picture(self, picture: Picture) -> None:
        """A picture of a result's frame; none is due for a result that was not."""
        shown = self._shown[picture.camera]
        for last in shown:
            if last.of == picture.of:
                shown.remove(last)
                body = picture.body(last.data)
                self.lines[picture.camera].shot = Shot(last.of, body)
                self._due(body)
                return

    def _show(self, outcome: Outcome, missed: Missed, now: float) -> None:
        """A picture of this outcome may follow. (A subscription with pictures has all of them.)"""
        data = outcome.body("json", missed, now, self.picks).data
        self._shown[outcome.camera].append(_Shown(outcome.id, data))

    def _drop(self, camera: str) -> None:
        self.lines.pop(camera, None)
        self._shown.pop(camera, None)
        self._selection.forget(camera)

    def outcome(self, outcome: Outcome, now: float, *, superseded: bool = False) -> None:
        """One more; `superseded`: it is old, and a newer one of its camera is already here."""
        raise NotImplementedError

    def loss(self, loss: Loss) -> None:
        raise NotImplementedError

    def notice(self, subject: tuple[object, ...], notice: Notice) -> None:
        """A status of this subject."""
        raise NotImplementedError

    def _refuse(self, line: CameraLine, cause: Cause) -> None:
        line.passed(cause, 1)
        self._lose(Missed.of(cause, 1))

    @property
    def crowded(self) -> bool:
        """Whether what is kept for clients out of step nears its bound."""
        return False

    def take_batch(self) -> list[Body]:
        """All that the clients in step are due since the last call, to leave in one write."""
        batch, self._batch = self._batch, []
        self.batch_bytes = 0
        self.given = self.totals
        return batch

    def _due(self, body: Body, results: int = 0) -> None:
        """`results`: 1 for an outcome, 0 for anything else."""
        size = len(body.data)
        self._batch.append(body)
        self.batch_bytes += size
        self._sent += results
        self.sent_messages += 1
        self.sent_bytes += size

    def _lose(self, missed: Missed) -> None:
        self._losses = self._losses.plus(Totals.of(missed))
