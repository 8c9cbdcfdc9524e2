"""A camera's last results, kept for those who come late or come back.

Bounded in seconds and in bytes, except that the newest result always stays: it is what greets a
newcomer. Losses are kept in their place, so that a replay can count them.

Pure: the time comes in as an argument.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from framefan_gateway.accounts import NOTHING, Loss, Missed
from framefan_gateway.wire import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from framefan_gateway.contract import Since
    from framefan_gateway.selection import Selection

LOSS_BYTES = 200
"""About what a loss takes."""


class Replay(NamedTuple):
    """What a client is due of one camera's past."""

    due: list[tuple[Outcome, Missed]]
    """In order, each with what was missed before it."""
    trailing: Missed
    """Missed after the last of them: to be told with the next result of the camera."""

    @property
    def missed(self) -> Missed:
        total = self.trailing
        for _, missed in self.due:
            total = total.plus(missed)
        return total


class Found(NamedTuple):
    """The answer to a client that comes back."""

    recovered: bool
    epoch: str
    """The current one."""
    items: list[Outcome | Loss]
    """What was kept since, in order."""
    gone: int
    """How many seqs before them were not kept, as far as that can be counted."""


class _Kept(NamedTuple):
    at: float
    size: int
    item: Outcome | Loss


class History:
    """One camera's."""

    def __init__(self, most_s: float, most_bytes: int) -> None:
        self._most_s = most_s
        self._most_bytes = most_bytes
        self._kept: deque[_Kept] = deque()
        self._fresh = 0
        """How many of the newest are of the current epoch."""
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._kept)

    def outcome(self, outcome: Outcome, now: float) -> None:
        """Keep it. What came before it is asked for seldom from here on, so it is made small."""
        for index in range(len(self._kept) - 1, -1, -1):
            kept = self._kept[index]
            if isinstance(kept.item, Outcome):
                kept.item.rest()
                size = kept.item.size
                self._kept[index] = _Kept(kept.at, size, kept.item)
                self.bytes += size - kept.size
                break
        self._keep(outcome, outcome.size, now)

    def loss(self, loss: Loss, now: float) -> None:
        """Keep it; a run of one cause takes the room of one."""
        last = self._kept[-1].item if self._fresh else None
        if isinstance(last, Loss) and (last.cause, last.epoch) == (loss.cause, loss.epoch):
            kept = self._kept[-1]
            self._kept[-1] = kept._replace(at=now, item=last._replace(last_seq=loss.last_seq))
            self._trim(now)
        else:
            self._keep(loss, LOSS_BYTES, now)

    def forget(self) -> None:
        """A new epoch: what came before greets nobody, but those who come back may have it."""
        self._fresh = 0

    def _keep(self, item: Outcome | Loss, size: int, now: float) -> None:
        self._kept.append(_Kept(now, size, item))
        self._fresh += 1
        self.bytes += size
        self._trim(now)

    def _trim(self, now: float) -> None:
        oldest = now - self._most_s
        while len(self._kept) > 1 and (
            self.bytes > self._most_bytes or (self._kept[0].at < oldest and self._may_go())
        ):
            self.bytes -= self._kept.popleft().size
            self._fresh = min(self._fresh, len(self._kept))

    def _may_go(self) -> bool:
        """Whether the oldest is not the one result that greets newcomers."""
        if isinstance(self._kept[0].item, Loss):
            return True
        newer = range(len(self._kept) - 1, 0, -1)
        return any(isinstance(self._kept[index].item, Outcome) for index in newer)

    # ---- looking back -----------------------------------------------------------------------

    def newest(self, picked: Callable[[Outcome], bool]) -> list[Outcome | Loss]:
        """From the newest result that is picked to the end, of the current epoch; or nothing."""
        items: list[Outcome | Loss] = []
        for kept in islice(reversed(self._kept), self._fresh):
            items.append(kept.item)
            if isinstance(kept.item, Outcome) and picked(kept.item):
                return items[::-1]
        return []

    def last(self, results: int, selection: Selection) -> Replay:
        """The last so many results of the current epoch that `selection` lets through.

        What was missed before the first of them is not counted: nothing was promised before it.
        """
        replay = select(self._current(), selection)
        due = replay.due[-results:] if results else []
        if due:
            due[0] = (due[0][0], NOTHING)
            return Replay(due, replay.trailing)
        return Replay([], NOTHING)

    def _current(self) -> list[Outcome | Loss]:
        start = len(self._kept) - self._fresh
        return [kept.item for kept in islice(self._kept, start, None)]

    def after(self, since: Since) -> Found | None:
        """What came after that result; None while nothing after it has come here, and while its
        epoch has ended and nothing of the next one has come.

        With a loss or result of another epoch, or a hole behind what is kept, it is not recovered.
        """
        if not self._kept:
            return None
        newest = self._kept[-1].item
        epochs = enumerate(kept.item.epoch for kept in self._kept)
        first = next((index for index, epoch in epochs if epoch == since.epoch), None)
        if first is None:  # all that is known of its epoch is that it has ended
            items = self._current()
            return Found(False, newest.epoch, items, 0) if items else None
        same = newest.epoch == since.epoch and self._fresh > 0
        gone = max(_first_seq(self._kept[first].item) - since.seq - 1, 0)
        items = []
        for item in (kept.item for kept in islice(self._kept, first, None)):
            if item.epoch != since.epoch or _first_seq(item) > since.seq:
                items.append(item)
            elif isinstance(item, Loss) and item.last_seq > since.seq:
                items.append(item._replace(first_seq=since.seq + 1))
        if not items and (not self._fresh or _last_seq(newest) < since.seq):
            return None  # it is ahead of us
        return Found(same and not gone, newest.epoch, items, gone)


def select(
    items: Iterable[Outcome | Loss], selection: Selection, before: Missed = NOTHING
) -> Replay:
    """Pass what was kept through a contract's selection; `before` was missed before all of it."""
    due: list[tuple[Outcome, Missed]] = []
    missed = before
    for item in items:
        if isinstance(item, Loss):
            missed = missed.plus(item.missed)
            continue
        cause = selection.refuses(item)
        if cause is not None:
            missed = missed.plus(Missed.of(cause, 1))
            continue
        due.append((item, missed))
        missed = NOTHING
    return Replay(due, missed)


def _first_seq(item: Outcome | Loss) -> int:
    return item.seq if isinstance(item, Outcome) else item.first_seq


def _last_seq(item: Outcome | Loss) -> int:
    return item.seq if isinstance(item, Outcome) else item.last_seq
