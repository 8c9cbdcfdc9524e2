"""A full line must move: what is on its way has to become less within a deadline.

That is the bytes in the transport's buffer and, unacknowledged, in the kernel. They are looked at
some times within the deadline, and each time that there are fewer it starts anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from framefan.base import clock
from framefan_gateway.connection import tcp

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

_CHECKS = 16
"""How often within the deadline a full line is looked at."""


class WriteDeadline:
    """The deadline of one full line, from now on."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: asyncio.Transport,
        deadline_s: float,
        over: Callable[[], None],
    ) -> None:
        """`over` is called once, when the deadline has passed without any movement."""
        self._loop = loop
        self._transport = transport
        self._deadline_s = deadline_s
        self._over = over
        self._moved_at = clock.now()
        self._unread = unread_bytes(transport)
        self._timer = self._wait()

    def cancel(self) -> None:
        """The line is free, or gone."""
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
    """Bytes on their way: in the transport's buffer, and in the kernel unacknowledged."""
    buffered = transport.get_write_buffer_size()
    return buffered + tcp.unacknowledged_bytes(transport.get_extra_info("socket"))
