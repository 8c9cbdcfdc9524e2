"""The pool's ears: which descriptors it listens to, and what it does when one has news."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Loop:
    """poll(2) with a handler for each descriptor."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._handlers: dict[int, Callable[[], None]] = {}

    def watch(self, fd: int, handler: Callable[[], None]) -> None:
        """Have the handler called when there is something to read; a second call replaces it."""
        self._handlers[fd] = handler
        self._poll.register(fd, select.POLLIN)

    def forget(self, fd: int) -> None:
        del self._handlers[fd]
        self._poll.unregister(fd)

    def turn(self, seconds: float) -> None:
        """Wait for news, so long at most, and have it handled."""
        for fd, _ in self._poll.poll(max(0.0, seconds) * 1000):
            handler = self._handlers.get(fd)
            if handler is not None:  # an earlier handler of this turn may have forgotten it
                handler()
