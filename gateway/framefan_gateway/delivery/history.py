"""A camera's last results, kept for those who come late or come back.

Bounded in seconds and in bytes, except that the newest result always stays: it is what greets a
newcomer. Losses are kept in their place, so that a replay can count them.

Pure: the time comes in as an argument.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from msgspec import Struct

from framefan_gateway.delivery.accounts import Loss
from framefan_gateway.delivery.wire import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from framefan_gateway.delivery.subscription import StreamPosition

LOSS_BYTES = 200
"""About what a loss takes."""


class Kept(Struct, gc=False, frozen=True):
    """One of thousands: see `Outcome`."""

    at: float
    size: int
    item: Outcome | Loss


class Found(NamedTuple):
    """The answer to a client that comes back."""

    recovered: bool
    """Whether nothing between that result and the newest is missing here."""
    epoch: str
    """The current one."""
    items: Sequence[Kept]
    """What was kept since, in order."""
    gone: int
    """How many seqs before them were not kept, as far as that can be counted."""


class History:
    """One camera's."""

    def __init__(self, most_s: float, most_bytes: int) -> None:
        self._most_s = most_s
        self._most_bytes = most_bytes
        self._kept: deque[Kept] = deque()
        self._fresh = 0
        """How many of the newest are of the current epoch."""
        self._dropped = 0
        """How many were kept once and are not any more."""
        self._starts: dict[str, int] = {}
        """By epoch, the number of the first that was kept of it; the oldest epoch first."""
        self.bytes = 0
        self.dropped_bytes = 0
        """Of all that was kept once and is not any more."""

    def __len__(self) -> int:
        return len(self._kept)

    def outcome(self, outcome: Outcome, now: float) -> None:
        """Keep it. What came before it is asked for seldom from here on, so it is made small."""
        for index in range(len(self._kept) - 1, -1, -1):
            kept = self._kept[index]
            if isinstance(kept.item, Outcome):
                kept.item.rest()
                size = kept.item.size
                self._kept[index] = Kept(kept.at, size, kept.item)
                self.bytes += size - kept.size
                break
        self._keep(outcome, outcome.size, now)

    def loss(self, loss: Loss, now: float) -> None:
        """Keep it; a run of one cause takes the room of one."""
        last = self._kept[-1].item if self._fresh else None
        if isinstance(last, Loss) and (last.cause, last.epoch) == (loss.cause, loss.epoch):
            kept = self._kept[-1]
            longer = last._replace(last_seq=loss.last_seq)
            self._kept[-1] = Kept(now, kept.size, longer)
            self._trim(now)
        else:
            self._keep(loss, LOSS_BYTES, now)

    def forget(self) -> None:
        """A new epoch: what came before greets nobody, but those who come back may have it."""
        self._fresh = 0

    def _keep(self, item: Outcome | Loss, size: int, now: float) -> None:
        self._starts.setdefault(item.epoch, self._dropped + len(self._kept))
        self._kept.append(Kept(now, size, item))
        self._fresh += 1
        self.bytes += size
        self._trim(now)

    def _trim(self, now: float) -> None:
        oldest = now - self._most_s
        while len(self._kept) > 1 and (
            self.bytes > self._most_bytes or (self._kept[0].at < oldest and self._may_go())
        ):
            gone = self._kept.popleft()
            self.bytes -= gone.size
            self.dropped_bytes += gone.size
            self._dropped += 1
            self._fresh = min(self._fresh, len(self._kept))
            if self._kept[0].item.epoch != gone.item.epoch:
                self._starts.pop(gone.item.epoch, None)

    def _may_go(self) -> bool:
        """Whether the oldest is not the one result that greets newcomers."""
        if isinstance(self._kept[0].item, Loss):
            return True
        newer = range(len(self._kept) - 1, 0, -1)
        return any(isinstance(self._kept[index].item, Outcome) for index in newer)

    # ---- looking back -----------------------------------------------------------------------

    def alone(self) -> Callable[[], int]:
        """How many bytes of what is kept now only those hold who took it now: asked later on."""
        held, dropped = self.bytes, self.dropped_bytes
        return lambda: min(held, self.dropped_bytes - dropped)

    def current(self) -> Sequence[Kept]:
        """All that is kept of the current epoch, in order."""
        return tuple(self._kept)[len(self._kept) - self._fresh :]

    def after(self, since: StreamPosition) -> Found | None:
        """What came after that result; None while nothing after it has come here, and while its
        epoch has ended and nothing of the next one has come.

        With a loss or result of another epoch, or a hole behind what is kept, it is not recovered.
        """
        if not self._kept:
            return None
        newest = self._kept[-1].item
        first = self._starts.get(since.epoch)
        if first is None:  # all that is known of its epoch is that it has ended
            items = self.current()
            return Found(False, newest.epoch, items, 0) if items else None
        same = newest.epoch == since.epoch and self._fresh > 0
        base = max(first, self._dropped)
        kept = tuple(self._kept)[base - self._dropped :]
        gone = max(first_seq(kept[0].item) - since.seq - 1, 0)
        end = next((at for at in self._starts.values() if at > base), base + len(kept))
        items = kept[bisect_right(kept, since.seq, hi=end - base, key=_last_seq_of) :]
        if not items and (not self._fresh or last_seq(newest) < since.seq):
            return None  # it is ahead of us
        return Found(same and not gone, newest.epoch, _cut(items, since), gone)


def _cut(items: Sequence[Kept], since: StreamPosition) -> Sequence[Kept]:
    """Of a loss that began earlier only the rest is news."""
    if items and items[0].item.epoch == since.epoch:
        item = items[0].item
        if isinstance(item, Loss) and item.first_seq <= since.seq:
            rest = item._replace(first_seq=since.seq + 1)
            return (Kept(items[0].at, items[0].size, rest), *items[1:])
    return items


def first_seq(item: Outcome | Loss) -> int:
    return item.seq if isinstance(item, Outcome) else item.first_seq


def last_seq(item: Outcome | Loss) -> int:
    return item.seq if isinstance(item, Outcome) else item.last_seq


def _last_seq_of(kept: Kept) -> int:
    return last_seq(kept.item)
