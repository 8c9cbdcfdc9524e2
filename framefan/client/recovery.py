"""Where a client resumes after an interruption, and whether it recovered every result. No I/O.

1. With `resume`, the client reconnects with its position in each camera of its subscription, as far
   as they fit into an address. Cameras that do not fit are not recovered.
2. The gateway sends `resumed` for each position, also for a camera that no longer exists. Until all
   have arrived, the outcome is unknown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from framefan.client import position

if TYPE_CHECKING:
    from collections.abc import Collection

    from framefan.client.position import Position, Positions
    from framefan.ipc.protocol import Resumed

ADDRESS_BYTES = 7500
"""The longest address: a gateway's HTTP parser reads lines of up to 8 KiB."""
SINCE_BYTES = 5000
"""The most that positions take of it."""


class Recovery:
    def __init__(self, positions: Positions, resume: bool) -> None:
        self._positions = positions
        self._resume = resume
        self._untold: set[str] = set()
        self._whole: bool | None = None

    @property
    def recovered(self) -> bool | None:
        """Whether the last reconnection recovered every result; None if not known yet."""
        return None if self._untold else self._whole

    def asks(self, cameras: Collection[str] | None, address_bytes: int = 0) -> dict[str, Position]:
        """The positions that the next connection sends as `since`; `address_bytes`: the length of
        the address without them.
        """
        if not self._resume:
            return {}
        room = min(SINCE_BYTES, ADDRESS_BYTES - address_bytes)
        return position.fitting(self._positions.of(cameras), room)

    def opened(self, asked: dict[str, Position], cameras: Collection[str] | None) -> None:
        """The client has reconnected: `resumed` is now expected for each position in `asked`."""
        known = self._positions.of(cameras)
        self._untold = set(asked)
        if not self._resume:
            self._whole = False
        else:
            self._whole = len(asked) == len(known) if known else None

    def told(self, message: Resumed) -> None:
        self._untold.discard(message.camera)
        self._whole = bool(self._whole) and message.recovered
