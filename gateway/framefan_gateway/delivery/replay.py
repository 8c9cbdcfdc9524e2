"""A replay: past results of one camera for one client, made step by step.

A history may hold thousands of results, and a filter may have to inspect each. So a step is made
only when the client's writer has room, and the caller may pause after any step. A step is:

    None               some results were inspected; there is nothing to send yet
    Began(recovered)   the replay begins; whether it is complete
    Due                one result, and what was missed right before it

The generator returns what was missed after the last result. `last` serves new clients and `newest`
serves reconnecting `latest` clients: both walk back from the newest result until they have as many
as requested, and yield those oldest first. `following` serves reconnecting `every` clients: it
walks from the oldest result on and leaves none out.

No I/O.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, NamedTuple

from framefan_gateway.delivery.accounts import NOTHING, Loss, Missed
from framefan_gateway.delivery.history import last_seq
from framefan_gateway.delivery.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from framefan_gateway.delivery.history import Found, Kept
    from framefan_gateway.delivery.subscription import StreamPosition, Subscription
    from framefan_gateway.delivery.wire import Outcome

MOST_RESULTS = 1000
"""The most results that `history` replays per camera."""
_LOOK, _GLANCE = 64, 1024
"""How many results one step inspects, with a filter and without: about 0.5 ms either way."""


class Began(NamedTuple):
    recovered: bool


class Due(NamedTuple):
    outcome: Outcome
    missed: Missed


Step = Due | Began | None
Steps = Generator[Step, None, Missed]
"""The steps of a replay; it returns what was missed behind its last result."""


def last(items: Sequence[Kept], results: int, subscription: Subscription) -> Steps:
    """The last `results` results that the subscription lets through, at most `MOST_RESULTS`.

    Nothing before the first one counts as missed, except results that were requested and are kept
    but exceed `MOST_RESULTS`.
    """
    walk = _Walk(items, subscription)
    yield from walk.back(min(results, MOST_RESULTS))
    due = walk.due()
    if due and results > MOST_RESULTS:
        yield from walk.count(results - MOST_RESULTS)
        due[0] = Due(due[0].outcome, Missed(history=walk.counted))
    yield from due
    return walk.trailing if due else NOTHING


def newest(found: Found, since: StreamPosition, results: int, subscription: Subscription) -> Steps:
    """The last `results` results after `since`; those between count as missed (`history`)."""
    walk = _Walk(found.items, subscription)
    yield from walk.back(min(results, MOST_RESULTS))
    due = walk.due()
    missed = walk.trailing
    yield from walk.count(1)
    first = due[0].outcome if due else None
    if walk.counted:  # results that the subscription lets through lie between
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


def following(found: Found, subscription: Subscription) -> Steps:
    """All results that came after, in order."""
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
    """A walk from the newest result back."""

    def __init__(self, items: Sequence[Kept], subscription: Subscription) -> None:
        self._items = iter(reversed(items))
        self._selection = Selection(subscription, backwards=True)
        self._look = _look(self._selection)
        self._newest_first: list[Due] = []
        self.trailing = NOTHING
        """What was missed after the newest picked result."""
        self.missed = NOTHING
        """What was missed right before the oldest picked result, as far as the walk has come."""
        self.counted = 0

    def back(self, results: int) -> Generator[Step, None, None]:
        """Pick up to `results` results."""
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
        """Assign `missed` to the last picked result, or to `trailing` if there is none."""
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
        """Count up to `results` more results, which are not sent."""
        for looked, item in enumerate(self._items):
            if looked % self._look == self._look - 1:
                yield None
            self.counted += self._passes(item)
            if self.counted == results:
                return

    def due(self) -> list[Due]:
        """The picked results, oldest first."""
        return self._newest_first[::-1]
