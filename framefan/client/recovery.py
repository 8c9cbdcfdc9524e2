"""From where a client that was interrupted goes on, and whether it got all it came back for. Pure.

1. It comes back with its position in each camera it still asks for, if it is to resume at all and
   as far as they fit in an address. What does not fit is not recovered.
2. For each of them the gateway says `resumed`, of one that is not there any more too. Until all
   have been told, nobody knows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from framefan.client import position

if TYPE_CHECKING:
    from collections.abc import Collection

    from framefan.client.position import Position, Positions
    from framefan.ipc.protocol import Resumed

SINCE_BYTES = 5000
"""Of an address: a gateway's HTTP reads lines of 8 KiB."""


class Recovery:
    def __init__(self, positions: Positions, resume: bool) -> None:
        self._positions = positions
        self._resume = resume
        self._untold: set[str] = set()
        self._whole: bool | None = None

    @property
    def recovered(self) -> bool | None:
        """Of the last reconnection; None before the first, and while it is not told yet."""
        return None if self._untold else self._whole

    def asks(self, cameras: Collection[str] | None) -> dict[str, Position]:
        """What the next connection is to say as `since`."""
        if not self._resume:
            return {}
        return position.fitting(self._positions.of(cameras), SINCE_BYTES)

    def opened(self, asked: dict[str, Position], cameras: Collection[str] | None) -> None:
        """A connection stands, but for the first: what it asked for may come now."""
        known = self._positions.of(cameras)
        self._untold = set(asked)
        if not self._resume:
            self._whole = False
        else:
            self._whole = len(asked) == len(known) if known else None

    def told(self, message: Resumed) -> None:
        self._untold.discard(message.camera)
        self._whole = bool(self._whole) and message.recovered
