"""An outbox: what one client is due beyond its feed, and its exact account.

In step, an outbox is nothing but the feed's totals at the moment it joined: its account is a
subtraction. Out of step it holds how far the feed had come when the line filled (`latest`: one
mark per camera; `every`: one position in the log), so what is pending, and what was missed, is
again a difference. At every moment, in integers:

    offered = sent + missed (by cause) + pending

Three things keep a client apart from those in step, until each is used up:
1. `_first`: what it is sent before anything else, a replay for instance.
2. `_carry`: what it missed of a camera beyond what the feed will tell with the next message.
3. `_awaited`: results of a camera that it had elsewhere before it came here, so that the next one
   to send, and whether anything lies between, is only known when that comes.

Pure: it returns bytes; whoever owns the line writes them, and says when the line is full or free.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from framefan.protocol import Resumed
from framefan_gateway import wire
from framefan_gateway.accounts import NOTHING, Missed, Totals
from framefan_gateway.feed import Feed
from framefan_gateway.wire import Outcome

if TYPE_CHECKING:
    from framefan.protocol import Format
    from framefan_gateway.contract import Since
    from framefan_gateway.history import Replay
    from framefan_gateway.wire import Notice

_GIVEN_BACK = ("filtered", "max_fps", "conflated", "lost", "bus")
"""The order of causes in which what a client already had is taken out of what it missed."""


class Due(NamedTuple):
    """One result of a replay."""

    outcome: Outcome
    missed: Missed
    feed: Feed
    """Of the contract under which it is due: its format, and what it picks."""


class Rest(NamedTuple):
    """What one outbox leaves to the next when a client changes its contract."""

    first: deque[bytes | Due]
    untold: dict[str, Missed]
    """By camera, what was missed since the last message of it."""
    awaited: dict[str, Since]


class Outbox:
    """The account of one client; `in_step` says whether the feed keeps it."""

    def __init__(self, feed: Feed, own: Totals = Totals()) -> None:  # noqa: B008 - immutable
        """`own`: the account so far, of a client that changes its contract."""
        self._feed = feed
        self._own = own
        self._since = feed.totals
        """The feed's totals up to which `_own` is settled."""
        self._first: deque[bytes | Due] = deque()
        self._carry: dict[str, Missed] = {}
        self._awaited: dict[str, Since] = {}
        self.in_step = False

    # ---- how it begins ----------------------------------------------------------------------

    def greet(self, data: bytes) -> None:
        """Have this leave before anything else; it is no outcome."""
        self._first.append(data)

    def replay(self, camera: str, replay: Replay) -> None:
        """Begin with a camera's past; from the feed comes what is newer than now."""
        for outcome, missed in replay.due:
            self._first.append(Due(outcome, missed, self._feed))
        self._own = self._own.plus(Totals(offered=len(replay.due)))
        self._own = self._own.plus(Totals.of(replay.missed))
        self.go_on(camera, replay.trailing)

    def begin(self, camera: str, now: float) -> None:
        """Begin with a camera's latest outcome, if there is one of the current epoch."""
        raise NotImplementedError

    def go_on(self, camera: str, carry: Missed) -> None:
        """Begin with what is newer than now; `carry` was missed, and counted, before."""
        raise NotImplementedError

    def wait_for(self, camera: str, since: Since) -> None:
        """Begin with what comes after a result that has not come here."""
        self.go_on(camera, NOTHING)
        self._awaited[camera] = since

    def release(self, camera: str, notice: Notice) -> None:
        """The camera is gone: what is due of it leaves from here, and then `notice`."""
        raise NotImplementedError

    def _over(self, camera: str) -> list[bytes]:
        """Carry on nothing of a camera that is gone; what to say if it was awaited."""
        self._carry.pop(camera, None)
        since = self._awaited.pop(camera, None)
        if since is None:
            return []
        return [self._resumed(camera, since.epoch, since, recovered=False)]

    def leave_off(self, now: float) -> Rest:
        """The end of this contract, at once: all that is due, and what is still to be told."""
        first, self._first = self._first, deque()
        while data := self.drain(now, 1 << 62):
            first.append(data)
        untold = {camera: self._untold(camera) for camera in self._feed.lines}
        return Rest(first, untold, self._awaited)

    def take_over(self, rest: Rest) -> None:
        """Send first what was due under the contract before, of the cameras that are still asked
        for; the account came with the constructor.
        """
        covers = self._feed.contract.covers
        for item in rest.first:
            if isinstance(item, Due) and not covers(item.outcome.camera):
                self._own = self._own.plus(Totals(filtered=1))
            else:
                self._first.append(item)

    @property
    def own_bytes(self) -> int:
        """About how much waits for this client alone."""
        return sum(
            item.outcome.size if isinstance(item, Due) else len(item) for item in self._first
        )

    @property
    def said_bytes(self) -> int:
        """How much of that is ready to be sent: answers, for instance, but no replay."""
        return sum(len(item) for item in self._first if not isinstance(item, Due))

    @property
    def behind_bytes(self) -> int:
        """About how much waits for this client, what it shares with others too."""
        return self.own_bytes

    def _untold(self, camera: str) -> Missed:
        """What this client missed of a camera since its last message of it, nothing pending."""
        raise NotImplementedError

    # ---- in step and out --------------------------------------------------------------------

    def offset(self) -> Totals:
        """What to add to the feed's totals to get this account, while in step."""
        return self._own.minus(self._since)

    def step_out(self) -> None:
        """The line is full: from here on the feed goes on without this client."""
        self._settle(self._feed.totals.minus(self._since))
        self.in_step = False

    def step_in(self) -> bool:
        """Join the clients in step if nothing sets this one apart; says whether it did."""
        if self._first or self._carry or self._awaited or not self._level():
            return False
        self._settle(self._passed())
        self.in_step = True
        return True

    def account(self) -> Totals:
        """The account as of now; what offered exceeds the rest by is pending."""
        if self.in_step:
            return self._own.plus(self._feed.totals.minus(self._since))
        return self._own.plus(self._passed())

    @property
    def sent_bytes(self) -> int:
        """The account's bytes, for those who ask often."""
        if self.in_step:
            return self._own.bytes - self._since.bytes + self._feed.sent_bytes
        return self._own.bytes

    def _settle(self, more: Totals) -> None:
        self._own = self._own.plus(more)
        self._since = self._feed.totals

    def _passed(self) -> Totals:
        """What was offered and missed since the last settling; what was sent is ours to count.

        What a feed conflates, it conflates for those in step; out of step each counts its own.
        """
        passed = self._feed.totals.minus(self._since)
        return passed._replace(sent=0, conflated=0, bytes=0)

    def _level(self) -> bool:
        """Whether this client has been told exactly what those in step have been told."""
        raise NotImplementedError

    # ---- what is due ------------------------------------------------------------------------

    def drain(self, now: float, most_bytes: int) -> bytes:
        """What is due, about `most_bytes` of it; counts as sent. Empty when nothing is due."""
        raise NotImplementedError

    def _sent(self, parts: list[bytes], results: int, conflated: int = 0) -> bytes:
        data = b"".join(parts)
        self._own = self._own.plus(Totals(sent=results, conflated=conflated, bytes=len(data)))
        return data

    def _take_first(self, now: float, most_bytes: int) -> tuple[list[bytes], int]:
        """From what comes before anything else: the bytes, and how many outcomes they hold."""
        parts: list[bytes] = []
        size = results = 0
        while self._first and size < most_bytes:
            item = self._first.popleft()
            if isinstance(item, Due):
                results += 1
                item = item.outcome.frame(item.feed.format, item.missed, now, item.feed.picks)
            parts.append(item)
            size += len(item)
        return parts, results

    def _frames(self, outcome: Outcome, missed: Missed, now: float) -> list[bytes]:
        """The message of an outcome that the feed lets through, with what this client is to be
        told besides; nothing when it had that one before.
        """
        told = self._tell_besides(outcome, missed)
        if told is None:
            return []
        said, missed = told
        return [*said, outcome.frame(self._feed.format, missed, now, self._feed.picks)]

    def _tell_besides(self, outcome: Outcome, missed: Missed) -> tuple[list[bytes], Missed] | None:
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
        self, camera: str, epoch: str, seq: int, missed: Missed, since: Since
    ) -> tuple[bytes, Missed] | None:
        """The first news of a camera that was awaited: what to say before it, and what was missed
        between `since` and this seq. None when the client had this one, too.

        `missed` counts seqs right before this one, and was offered to all clients of the feed.
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

    def _resumed(self, camera: str, epoch: str, since: Since, *, recovered: bool) -> bytes:
        return resumed(self._feed.format, camera, epoch, since, recovered=recovered)


def resumed(fmt: Format, camera: str, epoch: str, since: Since, *, recovered: bool) -> bytes:
    """The message that says whether what follows leaves nothing out."""
    message = Resumed(camera=camera, epoch=epoch, seq=since.seq, recovered=recovered)
    return wire.frame(message, fmt)


def _take(missed: Missed, count: int) -> Missed:
    """So many of what was missed, of one cause after the other."""
    taken = NOTHING
    for cause in _GIVEN_BACK:
        some = min(getattr(missed, cause), count)
        taken = taken._replace(**{cause: some})
        count -= some
    return taken
