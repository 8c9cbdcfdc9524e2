"""A stream: what all clients of one subscription are due, counted once for all of them.

Most writers have room, so most clients have been sent the same and are due the same next. Those
clients are live: they share the stream's counters and its bodies. The counters only grow. When a
client becomes blocked, its cursor copies how far the stream had come, and the client costs nothing
more. What it missed is the difference of two states of the stream, computed when its writer has
room again (see cursor.py).

Per camera the stream counts the outcomes that were due, and by cause the seqs that were not. It
keeps the latest outcome, with the counters as of that outcome. What is missed later is reported
with the next outcome, so `missed` in a message is always the gap in `seq` right before it.
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
_MAX_EXPECTED = 16
"""How many results per camera wait for their picture. A picture comes about 1 ms after its result,
later if a worker has several frames.
"""

ResultId = tuple[str, int, int]
"""Epoch, seq and frame of a result."""


class _Expected(NamedTuple):
    """A result that was due and whose picture may follow, with its message in JSON."""

    of: ResultId
    data: bytes


class Shot(NamedTuple):
    """A picture message, and the result whose frame it shows."""

    of: ResultId
    body: Body


class CameraProgress:
    """The counters and the latest outcome of one camera in a stream."""

    __slots__ = ("latest", "latest_offset", "now", "shot")

    def __init__(self) -> None:
        self.now = START
        self.latest: Outcome | None = None
        """The latest outcome that was due."""
        self.latest_offset = self.now
        self.shot: Shot | None = None
        """The newest picture."""

    def add_outcome(self, outcome: Outcome) -> None:
        now = self.now
        self.now = self.latest_offset = now._replace(results=now.results + 1)
        self.latest = outcome

    def skip(self, cause: Cause, count: int) -> None:
        """Count seqs that are not due."""
        self.now = self.now.plus(cause, count)


class Stream:
    """The counters and the bodies that live clients share."""

    def __init__(self, subscription: Subscription) -> None:
        self.subscription = subscription
        self.format = subscription.format
        self.detection_filter = subscription.detection_filter
        self.cameras: defaultdict[str, CameraProgress] = defaultdict(CameraProgress)
        self._selection = Selection(subscription)
        self._losses = Totals()
        self._sent = 0
        self.sent_messages = 0
        self.sent_bytes = 0
        self._expected: defaultdict[str, deque[_Expected]] = defaultdict(
            lambda: deque(maxlen=_MAX_EXPECTED)
        )
        """By camera, the last results whose pictures may follow, oldest first."""
        self._batch: list[Body] = []
        self.batch_bytes = 0
        self.shots_at_batch: dict[str, object] = {}
        """By camera, the result whose picture live clients were sent last, as of `take_batch`."""
        self.totals_at_batch = Totals()
        """`totals` as of the last `take_batch`: what live clients have been sent. A client that
        stops being live starts its own account from there."""

    def continue_selection(self, before: Stream) -> None:
        """Start where the stream of a client's earlier subscription was; see `Selection`."""
        self._selection.continue_from(before._selection)

    @property
    def totals(self) -> Totals:
        """The account of a client that has been live since the stream began."""
        sent = self._sent
        mine = Totals(sent, sent, messages=self.sent_messages, bytes=self.sent_bytes)
        return self._losses.plus(mine)

    def release(self, camera: str, notice: Notice) -> None:
        """Drop a removed camera, and send `notice`.

        Before this call, the cursors of clients that are not live take what they are due of it.
        """
        raise NotImplementedError

    def add_picture(self, picture: Picture) -> None:
        """Add a picture; it is due if the result of its frame was."""
        shown = self._expected[picture.camera]
        for last in shown:
            if last.of == picture.of:
                shown.remove(last)
                body = picture.body(last.data)
                self.cameras[picture.camera].shot = Shot(last.of, body)
                self._add_to_batch(body)
                return

    def _expect_picture(self, outcome: Outcome, missed: Missed, now: float) -> None:
        """Remember an outcome whose picture may follow."""
        data = outcome.body("json", missed, now, self.detection_filter).data
        self._expected[outcome.camera].append(_Expected(outcome.id, data))

    def _drop(self, camera: str) -> None:
        self.cameras.pop(camera, None)
        self._expected.pop(camera, None)
        self._selection.forget(camera)

    def add_outcome(self, outcome: Outcome, now: float, *, superseded: bool = False) -> None:
        """Add an outcome; `superseded`: it is old, and a newer one of its camera is queued."""
        raise NotImplementedError

    def add_loss(self, loss: Loss) -> None:
        raise NotImplementedError

    def add_notice(self, subject: tuple[object, ...], notice: Notice) -> None:
        """Add a status of this subject."""
        raise NotImplementedError

    def _refuse(self, progress: CameraProgress, cause: Cause) -> None:
        progress.skip(cause, 1)
        self._add_missed(Missed.of(cause, 1))

    @property
    def nearly_full(self) -> bool:
        """Whether the backlog kept for clients that are not live is near its limit."""
        return False

    def take_batch(self) -> list[Body]:
        """Take all that live clients are due since the last call, to be sent in one write."""
        batch, self._batch = self._batch, []
        self.batch_bytes = 0
        self.totals_at_batch = self.totals
        if self.subscription.preview:
            self.shots_at_batch = {
                name: progress.shot.of for name, progress in self.cameras.items() if progress.shot
            }
        return batch

    def _add_to_batch(self, body: Body, results: int = 0) -> None:
        """Add a body to the batch; `results`: 1 for an outcome, 0 for anything else."""
        size = len(body.data)
        self._batch.append(body)
        self.batch_bytes += size
        self._sent += results
        self.sent_messages += 1
        self.sent_bytes += size

    def _add_missed(self, missed: Missed) -> None:
        self._losses = self._losses.plus(Totals.of(missed))
