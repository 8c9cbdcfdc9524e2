"""A cursor: what one client is due beyond its stream, and the client's exact account.

While its client is live, a cursor holds only the stream's totals as of the moment the client went
live; the account is a subtraction. Otherwise it holds how far the stream had come when the client
stopped being live (`latest`: one offset per camera; `every`: one position in the log). What is
pending, and what was missed, is again a difference. At every moment, in integers:

    offered = sent + missed (by cause) + pending

A cursor also holds, for its client alone:
1. `_first`: what is sent before anything else, in order: messages, and replays, which are made as
   the writer has room. A client with any of these is not live.
2. `_carry`: by camera, what the client missed in addition to what the stream's next message of that
   camera reports.
3. `_awaited`: by camera, the last result that the client got elsewhere, of which the history here
   has nothing newer. What lies between is known only once the camera's next result or loss arrives.

The last two concern one camera each. A client with nothing else to wait for is live until that
camera has news. `waits_for` names the cameras, and `Subscribers` moves the client to catching up
right before news of one of them.

No I/O: a cursor returns messages. `Subscribers` writes them.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from framefan_gateway.delivery.accounts import NOTHING, Missed, Totals
from framefan_gateway.delivery.queued import Leftover, PendingReplay, ReplayedOutcome, resumed, size
from framefan_gateway.delivery.replay import Began, Due

if TYPE_CHECKING:
    from framefan_gateway.delivery.queued import Item
    from framefan_gateway.delivery.stream import Stream
    from framefan_gateway.delivery.subscription import StreamPosition
    from framefan_gateway.delivery.wire import Body, Notice, Outcome

_SUBTRACT_ORDER = ("filtered", "max_fps", "conflated", "lost", "bus")
"""The order in which results that the client already had are subtracted from the causes."""
SLICE = 32
"""How many results of replays one call makes; that takes 0.5 to 1 ms."""
_LOOKED = 16
"""A step that only inspects results takes about as long as this many steps that return one."""
ALL = 1 << 62


class Cursor:
    """The account of one client; while `live` is true the stream keeps it."""

    def __init__(self, stream: Stream, own: Totals = Totals()) -> None:  # noqa: B008 - immutable
        """`own`: the client's account so far, if it changes its subscription."""
        self._stream = stream
        self._own = own
        self._since = stream.totals
        """The stream's totals that `_own` already includes."""
        self._first: deque[Item] = deque()
        self._carry: dict[str, Missed] = {}
        self._awaited: dict[str, StreamPosition] = {}
        self._pictured: dict[str, object] = {}
        """By camera, the result whose picture was sent last, while not live."""
        self.live = False

    # ---- beginning and end ------------------------------------------------------------------

    def queue(self, body: Body) -> None:
        """Queue a message before everything from the stream; it is not an outcome."""
        self._first.append(body)

    def replay(self, past: PendingReplay) -> None:
        """Begin a camera with a replay; anything newer comes from the stream."""
        self.follow(past.camera, NOTHING)
        self._first.append(past)

    def follow(self, camera: str, carry: Missed) -> None:
        """Begin a camera with what comes next. The account already includes `carry` as missed."""
        raise NotImplementedError

    def _add_carry(self, camera: str, missed: Missed) -> None:
        """Report this, too, with the camera's next message."""
        missed = self._carry.get(camera, NOTHING).plus(missed)
        if any(missed):
            self._carry[camera] = missed
        else:
            self._carry.pop(camera, None)

    def wait_for(self, camera: str, since: StreamPosition) -> None:
        """Begin a camera after a position that this gateway has not reached yet."""
        self.follow(camera, NOTHING)
        self._awaited[camera] = since

    def release(self, camera: str, notice: Notice) -> None:
        """The camera is removed: queue what is due of it here, then `notice`."""
        raise NotImplementedError

    def leave(self) -> None:
        """The client has left or changes its subscription: keep nothing for it."""

    def _over(self, camera: str) -> list[Body]:
        """Forget a removed camera. If it was awaited, return its `resumed` message."""
        self._carry.pop(camera, None)
        self._pictured.pop(camera, None)
        since = self._awaited.pop(camera, None)
        if since is None:
            return []
        return [self._resumed(camera, since.epoch, since, recovered=False)]

    def end_subscription(self, now: float) -> Leftover:
        """End this subscription at once; return all that is due or not yet reported.

        This finishes the replays, which may take long: see `replaying`.
        """
        self._finish()
        first, self._first = self._first, deque()
        bodies, results, conflated = self._take_live(now, ALL, ALL)
        first.extend(bodies)
        self._own = self._own.plus(Totals(sent=results, conflated=conflated))
        unreported = {
            each: self._unreported(each) for each in {*self._stream.cameras, *self._carry}
        }
        return Leftover(first, unreported, self._awaited)

    def _finish(self, camera: str | None = None) -> None:
        """Make all steps of the replays, or of one camera's replay, at once."""
        made: deque[Item] = deque()
        for item in self._first:
            if not isinstance(item, PendingReplay) or camera not in (None, item.camera):
                made.append(item)
                continue
            ended = False
            while not ended:
                step, ended = self._step(item)
                if step is not None:
                    made.append(
                        ReplayedOutcome(step, item.stream) if isinstance(step, Due) else step
                    )
        self._first = made

    def adopt(self, leftover: Leftover) -> None:
        """Queue what was due under the earlier subscription, for cameras that are still covered.

        The constructor was given the account.
        """
        covers = self._stream.subscription.covers
        for item in leftover.first:
            if isinstance(item, ReplayedOutcome) and not covers(item.due.outcome.camera):
                self._own = self._own.plus(Totals(filtered=1))
            else:
                self._first.append(item)

    @property
    def replaying(self) -> bool:
        """Whether a replay is unfinished."""
        return any(isinstance(item, PendingReplay) for item in self._first)

    @property
    def has_queued(self) -> bool:
        """Whether something is due to this client alone, before what the stream has."""
        return bool(self._first)

    @property
    def own_bytes(self) -> int:
        """Roughly how many bytes are held for this client alone."""
        return sum(size(item) for item in self._first)

    @property
    def backlog_bytes(self) -> int:
        """Roughly how many bytes wait for this client, shared ones included."""
        return self.own_bytes

    def _unreported(self, camera: str) -> Missed:
        """What this client missed since its last message of a camera; nothing may be pending."""
        raise NotImplementedError

    # ---- live and not -----------------------------------------------------------------------

    def offset(self) -> Totals:
        """What to add to the stream's totals to get this account, while live."""
        return self._own.minus(self._since)

    @property
    def waits_for(self) -> set[str]:
        """The cameras whose next message differs for this client from that of the others."""
        return {*self._carry, *self._awaited}

    def stop_live(self) -> None:
        """Stop being live: from here on the cursor keeps the account itself."""
        totals_at_batch = self._stream.totals_at_batch
        self._own, self._since = self._own.plus(totals_at_batch.minus(self._since)), totals_at_batch
        self.live = False
        self._pictured = dict(self._stream.shots_at_batch)

    def try_go_live(self) -> bool:
        """Become live if this client was sent exactly what live clients were; return whether."""
        if self._first or not self._has_caught_up():
            return False
        self._settle(self._count_since())
        self.live = True
        self._pictured = {}
        return True

    def account(self) -> Totals:
        """The account as of now; what is neither sent nor missed is pending."""
        if self.live:
            return self._own.plus(self._stream.totals.minus(self._since))
        return self._own.plus(self._count_since())

    @property
    def sent_messages(self) -> int:
        """The account's `messages`, without computing the whole account."""
        if self.live:
            return self._own.messages - self._since.messages + self._stream.sent_messages
        return self._own.messages

    @property
    def held(self) -> int:
        """A number that grows whenever a result waits or is replaced."""
        return self._own.conflated + (0 if self.live else self._count_unsent())

    def _count_unsent(self) -> int:
        """How many results came after the last one sent, while not live."""
        raise NotImplementedError

    def _settle(self, more: Totals) -> None:
        self._own = self._own.plus(more)
        self._since = self._stream.totals

    def _count_since(self) -> Totals:
        """What was offered and missed since `_since`, while not live.

        The cursor itself counts what was sent and conflated: the stream's numbers are those of live
        clients.
        """
        passed = self._stream.totals.minus(self._since)
        return passed._replace(sent=0, conflated=0, messages=0, bytes=0)

    def _has_caught_up(self) -> bool:
        """Whether this client has been sent exactly what live clients have been sent."""
        raise NotImplementedError

    # ---- what is due ------------------------------------------------------------------------

    def drain(self, now: float, max_bytes: int, max_messages: int = ALL) -> list[Body]:
        """Take what is due and count it as sent: about `max_bytes`, at most `max_messages`.

        Empty if nothing is due, or if this call only inspected results for a replay: then
        `has_queued` is true.
        """
        bodies, results = self._take_first(now, max_bytes, max_messages)
        conflated = 0
        if not self._first:
            more, sent, conflated = self._take_live(now, max_bytes, max_messages - len(bodies))
            bodies += more
            results += sent
        taken = sum(len(body.data) for body in bodies)
        self._own = self._own.plus(
            Totals(sent=results, conflated=conflated, messages=len(bodies), bytes=taken)
        )
        return bodies

    def _take_live(
        self, now: float, max_bytes: int, max_messages: int
    ) -> tuple[list[Body], int, int]:
        """From the stream: messages, how many are outcomes, and how many those replaced."""
        raise NotImplementedError

    def _take_first(self, now: float, max_bytes: int, max_messages: int) -> tuple[list[Body], int]:
        """From `_first`: messages, and how many of them are outcomes."""
        bodies: list[Body] = []
        taken = results = steps = 0
        while self._first and taken < max_bytes and len(bodies) < max_messages and steps < SLICE:
            item = self._first.popleft()
            if isinstance(item, PendingReplay):
                if self._is_outdated(item):
                    continue
                made, ended = self._step(item)
                steps += 1 if made is not None or ended else _LOOKED
                if not ended:
                    self._first.appendleft(item)
                if made is None:
                    continue
                item = ReplayedOutcome(made, item.stream) if isinstance(made, Due) else made
            if isinstance(item, ReplayedOutcome):
                results += 1
                outcome, missed = item.due
                item = outcome.body(item.stream.format, missed, now, item.stream.detection_filter)
            bodies.append(item)
            taken += len(item.data)
        return bodies, results

    def _is_outdated(self, past: PendingReplay) -> bool:  # noqa: ARG002 - LatestCursor needs it
        """Whether a replay that has not begun has nothing to send any more."""
        return False

    def _step(self, past: PendingReplay) -> tuple[Body | Due | None, bool]:
        """Make one step of a replay: what to send, and whether the replay has ended."""
        camera = past.camera
        try:
            step = next(past.steps)
        except StopIteration as end:
            trailing: Missed = end.value
            self._own = self._own.plus(Totals.of(trailing))
            if self._stream.cameras.get(camera) is past.progress:  # else the camera was removed
                self._add_carry(camera, trailing)
            return None, True
        if isinstance(step, Due):
            self._own = self._own.plus(Totals.of(step.missed).plus(Totals(offered=1)))
            return step, False
        if isinstance(step, Began) and past.since is not None:
            fmt, recovered = past.stream.format, step.recovered
            return resumed(fmt, camera, past.epoch, past.since, recovered=recovered), False
        return None, False

    def _take_picture(self, camera: str) -> list[Body]:
        """The picture of the camera's latest result, unless it was sent or has not come."""
        progress = self._stream.cameras[camera]
        shot, latest = progress.shot, progress.latest
        if shot is None or latest is None or shot.of != latest.id:
            return []
        if self._pictured.get(camera) == shot.of:
            return []
        self._pictured[camera] = shot.of
        return [shot.body]

    def _make_messages(
        self, outcome: Outcome, missed: Missed, now: float, most: int
    ) -> tuple[list[Body], int]:
        """The messages for an outcome of the stream: what this client has to be sent before it, and
        the outcome itself; and 1 if the outcome is included. It is queued if there is no room.
        """
        prepared = self._prepare_outcome(outcome, missed)
        if prepared is None:
            return [], 0  # the client had that one before
        bodies, missed = prepared
        if len(bodies) >= most:
            self._first.append(ReplayedOutcome(Due(outcome, missed), self._stream))
            return bodies, 0
        return [
            *bodies,
            outcome.body(self._stream.format, missed, now, self._stream.detection_filter),
        ], 1

    def _prepare_outcome(
        self, outcome: Outcome, missed: Missed
    ) -> tuple[list[Body], Missed] | None:
        """What to send before an outcome, and what the outcome reports as missed.

        None if the client already had this outcome.
        """
        camera = outcome.camera
        if self._carry:
            missed = missed.plus(self._carry.pop(camera, NOTHING))
        since = self._awaited.get(camera) if self._awaited else None
        if since is None:
            return [], missed
        met = self._meet_awaited(camera, outcome.epoch, outcome.seq, missed, since)
        return None if met is None else ([met[0]], met[1])

    def _meet_awaited(
        self, camera: str, epoch: str, seq: int, missed: Missed, since: StreamPosition
    ) -> tuple[Body, Missed] | None:
        """The first news of an awaited camera: its `resumed` message, and what the client missed
        between `since` and `seq`. None if the client already had `seq`.

        `missed` counts seqs right before this one; every client of the stream missed them.
        """
        if epoch != since.epoch:
            del self._awaited[camera]
            return self._resumed(camera, epoch, since, recovered=False), missed
        if seq <= since.seq:
            self._own = self._own.minus(Totals.of(missed).plus(Totals(offered=1)))
            return None
        del self._awaited[camera]
        between = seq - 1 - since.seq
        gone = between - sum(missed)
        if gone > 0:
            more = Missed(history=gone)
            self._own = self._own.plus(Totals.of(more))
            missed = missed.plus(more)
        elif gone < 0:
            had = _take_by_cause(missed, -gone)
            self._own = self._own.minus(Totals.of(had))
            missed = missed.minus(had)
        return self._resumed(camera, epoch, since, recovered=gone <= 0), missed

    def _resumed(self, camera: str, epoch: str, since: StreamPosition, *, recovered: bool) -> Body:
        return resumed(self._stream.format, camera, epoch, since, recovered=recovered)


def _take_by_cause(missed: Missed, count: int) -> Missed:
    """The part of `missed` that adds up to `count`, filled cause by cause."""
    taken = NOTHING
    for cause in _SUBTRACT_ORDER:
        some = min(getattr(missed, cause), count)
        taken = taken._replace(**{cause: some})
        count -= some
    return taken
