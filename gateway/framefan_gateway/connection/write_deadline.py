"""A write deadline: unread bytes of a paused connection must decrease within it.

Unread bytes are those in the transport's buffer, and those in the kernel that are not acknowledged.
They are checked several times within the deadline. Whenever they have decreased, it starts over.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from framefan.base import clock
from framefan_gateway.connection import tcp

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

_CHECKS = 16
"""How many checks are made within the deadline."""


class WriteDeadline:
    """The deadline of one paused connection; it starts now."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: asyncio.Transport,
        deadline_s: float,
        over: Callable[[], None],
    ) -> None:
        """`over` is called once, when the deadline has passed without a decrease."""
        self._loop = loop
        self._transport = transport
        self._deadline_s = deadline_s
        self._over = over
        self._moved_at = clock.now()
        self._unread = unread_bytes(transport)
        self._timer = self._wait()

    def cancel(self) -> None:
        """Stop: the connection can be written to again, or is closed."""
        self._timer.cancel()

    def _wait(self) -> asyncio.TimerHandle:
        return self._loop.call_later(self._deadline_s / _CHECKS, self._check)

    def _check(self) -> None:
        now, unread = clock.now(), unread_bytes(self._transport)
        if unread < self._unread:
            self._moved_at = now
        self._unread = unread
        if now - self._moved_at >= self._deadline_s:
            self._over()
        else:
            self._timer = self._wait()


def unread_bytes(transport: asyncio.Transport) -> int:
    """Bytes in the transport's buffer, and unacknowledged ones in the kernel."""
    buffered = transport.get_write_buffer_size()
    return buffered + tcp.unacknowledged_bytes(transport.get_extra_info("socket"))
