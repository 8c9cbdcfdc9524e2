"""A camera's last results, kept for clients that join or reconnect.

Limited in seconds and in bytes. The newest result is always kept, because each new client gets it
first. Losses are kept in order with the results, so that a replay can count them.

No I/O: the time is an argument.
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
"""Roughly the memory that a loss takes."""


class Kept(Struct, gc=False, frozen=True):
    """One kept item. There are thousands, so the garbage collector skips them: see `Outcome`."""

    at: float
    size: int
    item: Outcome | Loss


class Found(NamedTuple):
    """What the history holds after the position of a reconnecting client."""

    recovered: bool
    """Whether the history is complete from that position to the newest result."""
    epoch: str
    """The current epoch."""
    items: Sequence[Kept]
    """What was kept after that position, in order."""
    gone: int
    """How many seqs between the position and the first item were not kept, if known; else 0."""


class History:
    """The last results and losses of one camera."""

    def __init__(self, max_s: float, max_bytes: int) -> None:
        self._max_s = max_s
        self._max_bytes = max_bytes
        self._kept: deque[Kept] = deque()
        self._fresh = 0
        """How many of the newest items are of the current epoch."""
        self._dropped = 0
        """How many items have been dropped."""
        self._starts: dict[str, int] = {}
        """By epoch, the number of its first item; the oldest epoch comes first."""
        self.bytes = 0
        self.dropped_bytes = 0
        """The size of all items that have been dropped."""

    def __len__(self) -> int:
        return len(self._kept)

    def add_outcome(self, outcome: Outcome, now: float) -> None:
        """Keep an outcome, and compact the one before it, which is rarely read from now on."""
        for index in range(len(self._kept) - 1, -1, -1):
            kept = self._kept[index]
            if isinstance(kept.item, Outcome):
                kept.item.compact()
                size = kept.item.size
                self._kept[index] = Kept(kept.at, size, kept.item)
                self.bytes += size - kept.size
                break
        self._keep(outcome, outcome.size, now)

    def add_loss(self, loss: Loss, now: float) -> None:
        """Keep a loss; consecutive losses of one cause are merged."""
        last = self._kept[-1].item if self._fresh else None
        if isinstance(last, Loss) and (last.cause, last.epoch) == (loss.cause, loss.epoch):
            kept = self._kept[-1]
            longer = last._replace(last_seq=loss.last_seq)
            self._kept[-1] = Kept(now, kept.size, longer)
            self._trim(now)
        else:
            self._keep(loss, LOSS_BYTES, now)

    def forget(self) -> None:
        """Begin a new epoch: older results go to reconnecting clients only, not to new ones."""
        self._fresh = 0

    def _keep(self, item: Outcome | Loss, size: int, now: float) -> None:
        self._starts.setdefault(item.epoch, self._dropped + len(self._kept))
        self._kept.append(Kept(now, size, item))
        self._fresh += 1
        self.bytes += size
        self._trim(now)

    def _trim(self, now: float) -> None:
        oldest = now - self._max_s
        while len(self._kept) > 1 and (
            self.bytes > self._max_bytes or (self._kept[0].at < oldest and self._may_drop_oldest())
        ):
            gone = self._kept.popleft()
            self.bytes -= gone.size
            self.dropped_bytes += gone.size
            self._dropped += 1
            self._fresh = min(self._fresh, len(self._kept))
            if self._kept[0].item.epoch != gone.item.epoch:
                self._starts.pop(gone.item.epoch, None)

    def _may_drop_oldest(self) -> bool:
        """Whether the oldest item may be dropped: it is not the newest result."""
        if isinstance(self._kept[0].item, Loss):
            return True
        newer = range(len(self._kept) - 1, 0, -1)
        return any(isinstance(self._kept[index].item, Outcome) for index in newer)

    # ---- looking back -----------------------------------------------------------------------

    def watch_dropped(self) -> Callable[[], int]:
        """Returns a function: how many bytes kept now have been dropped since.

        Only a replay that took these items still holds them.
        """
        held, dropped = self.bytes, self.dropped_bytes
        return lambda: min(held, self.dropped_bytes - dropped)

    def current(self) -> Sequence[Kept]:
        """The items of the current epoch, in order."""
        return tuple(self._kept)[len(self._kept) - self._fresh :]

    def after(self, since: StreamPosition) -> Found | None:
        """What came after that position. None if nothing has: neither a later seq of its epoch, nor
        anything of the next epoch once that epoch has ended.

        `recovered` is False if the epoch has changed, or if seqs after the position were dropped.
        """
        if not self._kept:
            return None
        newest = self._kept[-1].item
        first = self._starts.get(since.epoch)
        if first is None:  # nothing is kept of its epoch, so that has ended
            items = self.current()
            return Found(False, newest.epoch, items, 0) if items else None
        same = newest.epoch == since.epoch and self._fresh > 0
        base = max(first, self._dropped)
        kept = tuple(self._kept)[base - self._dropped :]
        gone = max(first_seq(kept[0].item) - since.seq - 1, 0)
        end = next((at for at in self._starts.values() if at > base), base + len(kept))
        items = kept[bisect_right(kept, since.seq, hi=end - base, key=_last_seq_of) :]
        if not items and (not self._fresh or last_seq(newest) < since.seq):
            return None  # the client is ahead of this history
        return Found(same and not gone, newest.epoch, _cut(items, since), gone)


def _cut(items: Sequence[Kept], since: StreamPosition) -> Sequence[Kept]:
    """Shorten a first loss that began before the position."""
    if items and items[0].item.epoch == since.epoch:
        item = items[0].item
        if isinstance(item, Loss) and item.first_seq <= since.seq:
            remainder = item._replace(first_seq=since.seq + 1)
            return (Kept(items[0].at, items[0].size, remainder), *items[1:])
    return items


def first_seq(item: Outcome | Loss) -> int:
    return item.seq if isinstance(item, Outcome) else item.first_seq


def last_seq(item: Outcome | Loss) -> int:
    return item.seq if isinstance(item, Outcome) else item.last_seq


def _last_seq_of(kept: Kept) -> int:
    return last_seq(kept.item)
