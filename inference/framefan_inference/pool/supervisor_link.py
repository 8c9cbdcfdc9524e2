"""The pool's link to the supervisor, the current settings, and whether a stop has begun."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Any

import msgspec

from framefan.base import clock
from framefan.ipc.messages import Progress, Table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from framefan.ipc.processes import Parent
    from framefan.ipc.records import StateRecord
    from framefan.settings.run import PredictorSettings


class SupervisorLink:
    """Raises LinkClosed from `receive` and `send` when the supervisor is gone."""

    def __init__(self, parent: Parent) -> None:
        self._parent = parent
        self.settings = parent.settings
        """The current settings; a scale or swap replaces them."""
        self.early: list[Any] = list(parent.early)
        """Messages that came together with the settings."""
        self.stop_by: float | None = None
        """Until then the workers may finish their frames; None: no stop has begun."""
        self._news = select.poll()
        self._news.register(parent.link.fileno(), select.POLLIN)

    def know(self, predictors: Iterable[PredictorSettings]) -> None:
        """Take over the list of predictors; those that run keep what a scale or swap has made."""
        run = {each.name: each for each in self.settings.all_predictors}
        listed = tuple(run.get(each.name, each) for each in predictors)
        if listed != self.settings.all_predictors:
            self.settings = msgspec.structs.replace(self.settings, predictors=listed)

    def fileno(self) -> int:
        return self._parent.link.fileno()

    def receive(self) -> list[Any]:
        """Return everything that has arrived.

        A peer's next message may depend on the last of these, so none is left unread.
        """
        messages: list[Any] = []
        while self._news.poll(0):  # reading part of a message returns nothing, and more follows
            messages += self._parent.link.receive()
        return messages

    def send(self, message: Any) -> None:
        self._parent.link.send(message)

    def tell(self, table: StateRecord, all_ended: bool) -> None:
        """Send the table and a Progress: a new table shows that the pool's loop still runs."""
        self._parent.link.offer(Table(table, all_ended))
        self._parent.link.offer(Progress(table.n))

    def begin_stop(self) -> bool:
        """Begin the stop; False if it has begun already."""
        if self.stop_by is not None:
            return False
        self.stop_by = clock.now() + self.settings.limits.grace_s / 2
        return True

    @property
    def signalled(self) -> bool:
        """Whether a signal has asked for the stop."""
        return self._parent.stop_asked

    @property
    def stopping(self) -> bool:
        """Whether a stop has begun or a signal has arrived.

        A signal to the whole process group ends children on purpose, so that is no failure.
        """
        return self.stop_by is not None or self._parent.stop_asked
