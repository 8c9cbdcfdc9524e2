"""From where a client that was interrupted goes on, and whether it got all it came back for. Pure.

1. It comes back with its position in each camera it still asks for, if it is to resume at all and
   as far as they fit in an address. What does not fit is not recovered.
2. For each of them the gateway says `resumed`. Until all have, nobody knows.
3. A gateway that does not understand the positions, because a camera is not there any more for
   example, is asked once more without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from framefan import position

if TYPE_CHECKING:
    from collections.abc import Collection

    from framefan.position import Position, Positions
    from framefan.protocol import Resumed

BAD_REQUEST = 4400
SINCE_BYTES = 5000
"""Of an address: a gateway's HTTP reads lines of 8 KiB."""


class Recovery:
    def __init__(self, positions: Positions, resume: bool) -> None:
        self._positions = positions
        self._resume = resume
        self._refused = False
        self._asked: dict[str, Position] = {}
        self._untold: set[str] = set()
        self._whole: bool | None = None

    @property
    def recovered(self) -> bool | None:
        """Of the last reconnection; None before the first, and while it is not told yet."""
        return None if self._untold else self._whole

    def asks(self, cameras: Collection[str] | None) -> dict[str, Position]:
        """What the next connection is to say as `since`."""
        if not self._resume or self._refused:
            return {}
        return position.fitting(self._positions.of(cameras), SINCE_BYTES)

    def opened(self, asked: dict[str, Position], cameras: Collection[str] | None) -> None:
        """A connection stands, but for the first: what it asked for may come now."""
        known = self._positions.of(cameras)
        self._asked = asked
        self._untold = set(asked)
        self._refused = False
        if not self._resume:
            self._whole = False
        else:
            self._whole = len(asked) == len(known) if known else None

    def told(self, message: Resumed) -> None:
        self._untold.discard(message.camera)
        self._whole = bool(self._whole) and message.recovered

    def may_ask_without(self, code: int) -> bool:
        """Whether what was refused can be asked for without positions; the next time it will be."""
        self._refused = code == BAD_REQUEST and bool(self._asked)
        return self._refused
