"""The pool's ears: which descriptors it listens to, and what it does when one has news."""

from __future__ import annotations

import select
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from framefan.ipc.links import Link


class Loop:
    """poll(2) with a handler for each descriptor."""

    def __init__(self) -> None:
        self._poll = select.poll()
        self._handlers: dict[int, Callable[[], None]] = {}
        self._first = -1

    def watch(self, fd: int, handler: Callable[[], None]) -> None:
        """Have the handler called when there is something to read; a second call replaces it."""
        self._handlers[fd] = handler
        self._poll.register(fd, select.POLLIN)

    def hear_first(self, fd: int, handler: Callable[[], None]) -> None:
        """Like `watch`, and before the others of the same turn: theirs may rest on this one."""
        self.watch(fd, handler)
        self._first = fd

    def forget(self, fd: int) -> None:
        del self._handlers[fd]
        self._poll.unregister(fd)

    def drop(self, link: Link[Any]) -> None:
        """Forget the link and close it."""
        self.forget(link.fileno())
        link.close()

    def turn(self, seconds: float) -> None:
        """Wait for news, so long at most, and have it handled."""
        ready = [fd for fd, _ in self._poll.poll(max(0.0, seconds) * 1000)]
        if self._first in ready:
            ready.remove(self._first)
            ready.insert(0, self._first)
        for fd in ready:
            handler = self._handlers.get(fd)
            if handler is not None:  # an earlier handler of this turn may have forgotten it
                handler()
