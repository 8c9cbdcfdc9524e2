"""A cursor: what one client is due beyond its stream, and its exact account.

In step, a cursor is nothing but the stream's totals at the moment it joined: its account is a
subtraction. Out of step it holds how far the stream had come when the line filled (`latest`: one
mark per camera; `every`: one position in the log), so what is pending, and what was missed, is
again a difference. At every moment, in integers:

    offered = sent + missed (by cause) + pending

Besides the stream there are, for one client alone:
1. `_first`: what it is sent before anything else, in order: messages, and replays that are made
   while the line takes them. A client with any of these is out of step.
2. `_carry`: by camera, what it missed beyond what the stream will tell with the next message.
3. `_awaited`: results of a camera that it had elsewhere before it came here, so that the next one
   to send, and whether anything lies between, is only known when that comes.

The last two concern one camera each. Until that camera has news, a client that waits for nothing
else is in step with all others; `waits_for` names the cameras, and the group takes the client out
of step right before news of one of them.

Pure: it returns messages; whoever owns the line writes them, and says when it is full or free.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from framefan_gateway.delivery.accounts import NOTHING, Missed, Totals
from framefan_gateway.delivery.due import Past, Ready, Rest, resumed, size
from framefan_gateway.delivery.replay import Began, Due

if TYPE_CHECKING:
    from framefan_gateway.delivery.due import Item
    from framefan_gateway.delivery.stream import Stream
    from framefan_gateway.delivery.subscription import StreamPosition
    from framefan_gateway.delivery.wire import Body, Notice, Outcome

_GIVEN_BACK = ("filtered", "max_fps", "conflated", "lost", "bus")
"""The order of causes in which what a client already had is taken out of what it missed."""
SLICE = 32
"""Results of replays that one call makes: half a millisecond to one."""
_LOOKED = 16
"""A step that only looks at results takes about as long as so many that make one."""
ALL = 1 << 62


class Cursor:
    """The account of one client; `in_step` says whether the stream keeps it."""

    def __init__(self, stream: Stream, own: Totals = Totals()) -> None:  # noqa: B008 - immutable
        """`own`: the account so far, of a client that changes its subscription."""
        self._stream = stream
        self._own = own
        self._since = stream.totals
        """The stream's totals up to which `_own` is settled."""
        self._first: deque[Item] = deque()
        self._carry: dict[str, Missed] = {}
        self._awaited: dict[str, StreamPosition] = {}
        self._pictured: dict[str, object] = {}
        """By camera, the result whose picture was sent last, while out of step."""
        self.in_step = False

    # ---- how it begins ----------------------------------------------------------------------

    def greet(self, body: Body) -> None:
        """Have this leave before anything else; it is no outcome."""
        self._first.append(body)

    def replay(self, past: Past) -> None:
        """Begin with a camera's past; from the stream comes what is newer than now."""
        self.go_on(past.camera, NOTHING)
        self._first.append(past)

    def go_on(self, camera: str, carry: Missed) -> None:
        """Begin with what is newer than now; `carry` was missed, and counted, before."""
        raise NotImplementedError

    def _carry_on(self, camera: str, missed: Missed) -> None:
        """Tell this, too, with the camera's next message."""
        missed = self._carry.get(camera, NOTHING).plus(missed)
        if any(missed):
            self._carry[camera] = missed
        else:
            self._carry.pop(camera, None)

    def wait_for(self, camera: str, since: StreamPosition) -> None:
        """Begin with what comes after a result that has not come here."""
        self.go_on(camera, NOTHING)
        self._awaited[camera] = since

    def release(self, camera: str, notice: Notice) -> None:
        """The camera is gone: what is due of it leaves from here, and then `notice`."""
        raise NotImplementedError

    def leave(self) -> None:
        """This client is gone, or changes its subscription: nothing is kept for it any more."""

    def _over(self, camera: str) -> list[Body]:
        """Carry on nothing of a camera that is gone; what to say if it was awaited."""
        self._carry.pop(camera, None)
        self._pictured.pop(camera, None)
        since = self._awaited.pop(camera, None)
        if since is None:
            return []
        return [self._resumed(camera, since.epoch, since, recovered=False)]

    def leave_off(self, now: float) -> Rest:
        """The end of this subscription, at once: all that is due, and what is still to be told.

        Replays are finished here, which may take long: see `replaying`.
        """
        self._finish()
        first, self._first = self._first, deque()
        bodies, results, conflated = self._take_live(now, ALL, ALL)
        first.extend(bodies)
        self._own = self._own.plus(Totals(sent=results, conflated=conflated))
        untold = {each: self._untold(each) for each in {*self._stream.lines, *self._carry}}
        return Rest(first, untold, self._awaited)

    def _finish(self, camera: str | None = None) -> None:
        """Make all of the replays there are, or of one camera, at once."""
        made: deque[Item] = deque()
        for item in self._first:
            if not isinstance(item, Past) or camera not in (None, item.camera):
                made.append(item)
                continue
            ended = False
            while not ended:
                step, ended = self._step(item)
                if step is not None:
                    made.append(Ready(step, item.stream) if isinstance(step, Due) else step)
        self._first = made

    def take_over(self, rest: Rest) -> None:
        """Send first what was due under the earlier subscription, of cameras still asked for.

        The account came with the constructor.
        """
        covers = self._stream.subscription.covers
        for item in rest.first:
            if isinstance(item, Ready) and not covers(item.due.outcome.camera):
                self._own = self._own.plus(Totals(filtered=1))
            else:
                self._first.append(item)

    @property
    def replaying(self) -> bool:
        """Whether some of a replay is still to be made."""
        return any(isinstance(item, Past) for item in self._first)

    @property
    def own_bytes(self) -> int:
        """About how much is held for this client alone."""
        return sum(size(item) for item in self._first)

    @property
    def behind_bytes(self) -> int:
        """About how much waits for this client, what it shares with others too."""
        return self.own_bytes

    def _untold(self, camera: str) -> Missed:
        """What this client missed of a camera since its last message of it, nothing pending."""
        raise NotImplementedError

    # ---- in step and out --------------------------------------------------------------------

    def offset(self) -> Totals:
        """What to add to the stream's totals to get this account, while in step."""
        return self._own.minus(self._since)

    @property
    def waits_for(self) -> set[str]:
        """The cameras whose next news is not the same to this client as to the others."""
        return {*self._carry, *self._awaited}

    def step_out(self) -> None:
        """From here on the stream goes on without this client."""
        given = self._stream.given
        self._own, self._since = self._own.plus(given.minus(self._since)), given
        self.in_step = False
        lines = self._stream.lines
        self._pictured = {name: line.shot.of for name, line in lines.items() if line.shot}

    def step_in(self) -> bool:
        """Join the clients in step if nothing sets this one apart; says whether it did."""
        if self._first or not self._level():
            return False
        self._settle(self._passed())
        self.in_step = True
        self._pictured = {}
        return True

    def account(self) -> Totals:
        """The account as of now; what offered exceeds the rest by is pending."""
        if self.in_step:
            return self._own.plus(self._stream.totals.minus(self._since))
        return self._own.plus(self._passed())

    @property
    def sent_messages(self) -> int:
        """The account's messages, for those who ask often."""
        if self.in_step:
            return self._own.messages - self._since.messages + self._stream.sent_messages
        return self._own.messages

    @property
    def held(self) -> int:
        """Rises whenever a result waits or is replaced."""
        return self._own.conflated + (0 if self.in_step else self._unsent())

    def _unsent(self) -> int:
        """How many results came since what was sent last, while out of step."""
        raise NotImplementedError

    def _settle(self, more: Totals) -> None:
        self._own = self._own.plus(more)
        self._since = self._stream.totals

    def _passed(self) -> Totals:
        """What was offered and missed since the last settling; what was sent is ours to count.

        What a stream conflates, it conflates for those in step; out of step each counts its own.
        """
        passed = self._stream.totals.minus(self._since)
        return passed._replace(sent=0, conflated=0, messages=0, bytes=0)

    def _level(self) -> bool:
        """Whether this client has been told exactly what those in step have been told."""
        raise NotImplementedError

    # ---- what is due ------------------------------------------------------------------------

    def drain(self, now: float, most_bytes: int, most_messages: int = ALL) -> list[Body]:
        """What is due, about `most_bytes` and no more than `most_messages` of it; counts as sent.

        Empty when nothing is due, and when only a slice of a replay was looked at: then `replaying`
        is true.
        """
        bodies, results = self._take_first(now, most_bytes, most_messages)
        conflated = 0
        if not self._first:
            more, sent, conflated = self._take_live(now, most_bytes, most_messages - len(bodies))
            bodies += more
            results += sent
        taken = sum(len(body.data) for body in bodies)
        self._own = self._own.plus(
            Totals(sent=results, conflated=conflated, messages=len(bodies), bytes=taken)
        )
        return bodies

    def _take_live(
        self, now: float, most_bytes: int, most_messages: int
    ) -> tuple[list[Body], int, int]:
        """From the stream: messages, how many outcomes they are, and how many these replaced."""
        raise NotImplementedError

    def _take_first(
        self, now: float, most_bytes: int, most_messages: int
    ) -> tuple[list[Body], int]:
        """From what comes before anything else: messages, and how many outcomes they are."""
        bodies: list[Body] = []
        taken = results = steps = 0
        while self._first and taken < most_bytes and len(bodies) < most_messages and steps < SLICE:
            item = self._first.popleft()
            if isinstance(item, Past):
                made, ended = self._step(item)
                steps += _LOOKED if made is None else 1
                if not ended:
                    self._first.appendleft(item)
                if made is None:
                    continue
                item = Ready(made, item.stream) if isinstance(made, Due) else made
            if isinstance(item, Ready):
                results += 1
                outcome, missed = item.due
                item = outcome.body(item.stream.format, missed, now, item.stream.picks)
            bodies.append(item)
            taken += len(item.data)
        return bodies, results

    def _step(self, past: Past) -> tuple[Body | Due | None, bool]:
        """One step of a replay: what to send, and whether that was the end of it."""
        camera = past.camera
        try:
            step = next(past.steps)
        except StopIteration as end:
            trailing: Missed = end.value
            self._own = self._own.plus(Totals.of(trailing))
            if self._stream.lines.get(camera) is past.line:  # else it is gone, and nobody is told
                self._carry_on(camera, trailing)
            return None, True
        if isinstance(step, Due):
            self._own = self._own.plus(Totals.of(step.missed).plus(Totals(offered=1)))
            return step, False
        if isinstance(step, Began) and past.since is not None:
            fmt, recovered = past.stream.format, step.recovered
            return resumed(fmt, camera, past.epoch, past.since, recovered=recovered), False
        return None, False

    def _picture(self, camera: str) -> list[Body]:
        """The picture of the camera's latest result, if that has been sent and the picture not."""
        line = self._stream.lines[camera]
        shot, latest = line.shot, line.latest
        if shot is None or latest is None or shot.of != latest.id:
            return []
        if self._pictured.get(camera) == shot.of:
            return []
        self._pictured[camera] = shot.of
        return [shot.body]

    def _messages(
        self, outcome: Outcome, missed: Missed, now: float, most: int
    ) -> tuple[list[Body], int]:
        """The message of an outcome that the stream lets through, with what this client is to be
        told besides, and whether it is among them: it waits if all that is more than `most`.
        """
        told = self._tell_besides(outcome, missed)
        if told is None:
            return [], 0  # it had that one before
        said, missed = told
        if len(said) >= most:
            self._first.append(Ready(Due(outcome, missed), self._stream))
            return said, 0
        return [*said, outcome.body(self._stream.format, missed, now, self._stream.picks)], 1

    def _tell_besides(self, outcome: Outcome, missed: Missed) -> tuple[list[Body], Missed] | None:
        """What is said before an outcome, and all that it says was missed; None: it had that."""
        camera = outcome.camera
        if self._carry:
            missed = missed.plus(self._carry.pop(camera, NOTHING))
        since = self._awaited.get(camera) if self._awaited else None
        if since is None:
            return [], missed
        met = self._meet(camera, outcome.epoch, outcome.seq, missed, since)
        return None if met is None else ([met[0]], met[1])

    def _meet(
        self, camera: str, epoch: str, seq: int, missed: Missed, since: StreamPosition
    ) -> tuple[Body, Missed] | None:
        """The first news of a camera that was awaited: what to say before it, and what was missed
        between `since` and this seq. None when the client had this one, too.

        `missed` counts seqs right before this one, and was offered to all clients of the stream.
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
            had = _take(missed, -gone)
            self._own = self._own.minus(Totals.of(had))
            missed = missed.minus(had)
        return self._resumed(camera, epoch, since, recovered=gone <= 0), missed

    def _resumed(self, camera: str, epoch: str, since: StreamPosition, *, recovered: bool) -> Body:
        return resumed(self._stream.format, camera, epoch, since, recovered=recovered)


def _take(missed: Missed, count: int) -> Missed:
    """So many of what was missed, of one cause after the other."""
    taken = NOTHING
    for cause in _GIVEN_BACK:
        some = min(getattr(missed, cause), count)
        taken = taken._replace(**{cause: some})
        count -= some
    return taken
