"""The pool's event loop: a handler for each descriptor that becomes readable."""

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
        """Call `handler` when `fd` is readable; a second call replaces the handler."""
        self._handlers[fd] = handler
        self._poll.register(fd, select.POLLIN)

    def hear_first(self, fd: int, handler: Callable[[], None]) -> None:
        """Like `watch`, but called before the other handlers of a turn, which depend on it."""
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
        """Wait at most `seconds` for readable descriptors, and call their handlers."""
        ready = [fd for fd, _ in self._poll.poll(max(0.0, seconds) * 1000)]
        if self._first in ready:
            ready.remove(self._first)
            ready.insert(0, self._first)
        for fd in ready:
            handler = self._handlers.get(fd)
            if handler is not None:  # an earlier handler of this turn may have forgotten it
                handler()
