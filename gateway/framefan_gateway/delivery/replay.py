"""A replay: what one client is due of one camera's past, made a step at a time.

A history may hold thousands of results, and a filter may have to look into each. So nothing is made
before the client's line has room for it, and whoever makes it may stop after any step. Steps are:

    None               some results were looked at, and there is nothing to send yet
    Began(recovered)   what comes next, and whether that leaves anything out
    Due                one result, and what was missed right before it

The end of the steps says what was missed behind the last result. There are two orders. `last` walks
from the newest result back until it has as many as were asked for, and then hands them out from the
oldest on: for newcomers, and for `latest` clients that come back. `following` walks from the oldest
on and leaves nothing out: for `every` clients that come back.

Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from framefan_gateway.delivery.accounts import NOTHING, Loss, Missed
from framefan_gateway.delivery.history import last_seq
from framefan_gateway.delivery.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from framefan_gateway.delivery.history import Found, Kept
    from framefan_gateway.delivery.subscription import StreamPosition, Subscription
    from framefan_gateway.delivery.wire import Outcome

MOST_RESULTS = 1000
"""Of each camera, so many at most are replayed by `history`."""
_LOOK, _GLANCE = 64, 1024
"""Results that one step looks at: about half a millisecond, where a filter looks into them and
where none does.
"""


class Began(NamedTuple):
    recovered: bool


class Due(NamedTuple):
    outcome: Outcome
    missed: Missed


Step = Due | Began | None


def last(
    items: Sequence[Kept], results: int, subscription: Subscription
) -> Generator[Step, None, Missed]:
    """The last so many results that the subscription asks for, at most `MOST_RESULTS`.

    Before the first of them nothing was promised, and nothing counts as missed but the results that
    were asked for beyond `MOST_RESULTS` and are here.
    """
    walk = _Walk(items, subscription)
    yield from walk.back(min(results, MOST_RESULTS))
    due = walk.due()
    if due and results > MOST_RESULTS:
        yield from walk.count(results - MOST_RESULTS)
        due[0] = Due(due[0].outcome, Missed(history=walk.counted))
    yield from due
    return walk.trailing if due else NOTHING


def newest(
    found: Found, since: StreamPosition, results: int, subscription: Subscription
) -> Generator[Step, None, Missed]:
    """Of what came after `since` the last so many results; the others are missed as `history`."""
    walk = _Walk(found.items, subscription)
    yield from walk.back(min(results, MOST_RESULTS))
    due = walk.due()
    missed = walk.trailing
    yield from walk.count(1)
    first = due[0].outcome if due else None
    if walk.counted:  # some that were asked for lie between
        between = NOTHING
        seq = first.seq if first else last_seq(found.items[-1].item) + 1
        if (first.epoch if first else found.epoch) == since.epoch:
            between = Missed(history=seq - 1 - since.seq)
        if not first:
            missed = NOTHING
    else:
        between = walk.missed.plus(Missed(history=found.gone))
    yield Began(found.recovered and not walk.counted)
    if first is None:
        return missed.plus(between)
    yield Due(first, between)
    yield from due[1:]
    return missed


def following(found: Found, subscription: Subscription) -> Generator[Step, None, Missed]:
    """All that came after, in order."""
    yield Began(found.recovered)
    selection = Selection(subscription)
    missed = Missed(history=found.gone)
    look = _look(selection)
    for looked, kept in enumerate(found.items):
        if looked % look == look - 1:
            yield None
        item = kept.item
        if isinstance(item, Loss):
            missed = missed.plus(item.missed)
        elif (cause := selection.refuses(item)) is not None:
            missed = missed.plus(Missed.of(cause, 1))
        else:
            yield Due(item, missed)
            missed = NOTHING
    return missed


def _look(selection: Selection) -> int:
    return _GLANCE if selection.everything else _LOOK


class _Walk:
    """From the newest result back."""

    def __init__(self, items: Sequence[Kept], subscription: Subscription) -> None:
        self._items = iter(reversed(items))
        self._selection = Selection(subscription, backwards=True)
        self._look = _look(self._selection)
        self._newest_first: list[Due] = []
        self.trailing = NOTHING
        """What was missed behind the newest result that was picked."""
        self.missed = NOTHING
        """What was missed right before the oldest that was picked, as far as the walk has come."""
        self.counted = 0

    def back(self, results: int) -> Generator[Step, None, None]:
        """Pick so many results."""
        picked = self._newest_first
        for looked, item in enumerate(self._items if results else ()):
            if looked % self._look == self._look - 1:
                yield None
            if not self._passes(item):
                continue
            self._settle()
            picked.append(Due(item.item, NOTHING))  # type: ignore[arg-type]  # no loss passes
            if len(picked) == results:
                return
        if results and not picked:
            self.trailing, self.missed = self.missed, NOTHING

    def _settle(self) -> None:
        """What was missed up to here lies behind the result that comes next, going back."""
        picked = self._newest_first
        if picked:
            picked[-1] = Due(picked[-1].outcome, self.missed)
        else:
            self.trailing = self.missed
        self.missed = NOTHING

    def _passes(self, kept: Kept) -> bool:
        item = kept.item
        if isinstance(item, Loss):
            self.missed = self.missed.plus(item.missed)
            return False
        cause = self._selection.refuses(item)
        if cause is not None:
            self.missed = self.missed.plus(Missed.of(cause, 1))
        return cause is None

    def count(self, results: int) -> Generator[Step, None, None]:
        """Look for so many results more, which nobody will be sent."""
        for looked, item in enumerate(self._items):
            if looked % self._look == self._look - 1:
                yield None
            self.counted += self._passes(item)
            if self.counted == results:
                return

    def due(self) -> list[Due]:
        """What was picked, from the oldest on; nothing was missed before that."""
        return self._newest_first[::-1]
