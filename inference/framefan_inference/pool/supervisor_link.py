"""The pool's link to the supervisor, and what came over it: the settings in force, and the stop."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Any

from framefan.base import clock
from framefan.ipc.messages import Progress, Table

if TYPE_CHECKING:
    from framefan.ipc.processes import Parent
    from framefan.ipc.records import StateRecord


class SupervisorLink:
    """Raises LinkClosed from `receive` and `send` when the supervisor is gone."""

    def __init__(self, parent: Parent) -> None:
        self._parent = parent
        self.settings = parent.settings
        """As they are in force: a change of workers or predictor replaces them."""
        self.early: list[Any] = list(parent.early)
        """What came together with the settings."""
        self.stop_by: float | None = None
        """Until then the workers may finish what they have; None: nobody asked for a stop."""
        self._news = select.poll()
        self._news.register(parent.link.fileno(), select.POLLIN)

    def fileno(self) -> int:
        return self._parent.link.fileno()

    def receive(self) -> list[Any]:
        """Everything that has arrived: what a peer says next may rest on the last of it."""
        messages: list[Any] = []
        while self._news.poll(0):  # a message in parts makes an empty read before the last
            messages += self._parent.link.receive()
        return messages

    def send(self, message: Any) -> None:
        self._parent.link.send(message)

    def tell(self, table: StateRecord, all_ended: bool) -> None:
        """The table is the proof of progress too: it comes out of the loop that does the work."""
        self._parent.link.offer(Table(table, all_ended))
        self._parent.link.offer(Progress(table.n))

    def begin_stop(self) -> bool:
        """Whether the stop begins now; it is asked for once, however often that is heard."""
        if self.stop_by is not None:
            return False
        self.stop_by = clock.now() + self.settings.limits.grace_s / 2
        return True

    @property
    def signalled(self) -> bool:
        """Whether a signal asked for the stop, before any message did."""
        return self._parent.stop_asked

    @property
    def stopping(self) -> bool:
        """Also when a signal to the whole group has just come: what ends now was asked to."""
        return self.stop_by is not None or self._parent.stop_asked
