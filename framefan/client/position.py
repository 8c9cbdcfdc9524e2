"""A client's position in each camera: the epoch and seq of the last message. No I/O.

A result is new if its seq is higher than the last one of its epoch, or if its epoch is new. So
epoch and seq identify results that a gateway repeats, for example after a reconnection, and no
result is yielded twice. An epoch that a camera has left does not return. A camera that was removed
from the run is forgotten.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from msgspec import UNSET, UnsetType

from framefan.ipc.protocol import Failure, Gap, Result, Status

if TYPE_CHECKING:
    from collections.abc import Collection

    from framefan.ipc.protocol import Message

_EPOCHS = 16
"""How many past epochs are remembered per camera: more than a pool has restarts within one
reconnection."""


class Position(NamedTuple):
    epoch: str
    seq: int


class Positions:
    """The position in every known camera, and the counts of missed results."""

    def __init__(self) -> None:
        self._last: dict[str, Position] = {}
        self._left: dict[str, deque[str]] = {}
        self.missed: dict[str, dict[str, int]] = {}
        """By camera and cause, as the gateway reported it."""

    def take(self, message: Message, cameras: Collection[str] | None = None) -> bool:
        """Record a message. False for a repeated one, or for one of none of `cameras`."""
        if isinstance(message, Status) and message.reason == "removed":
            self._forget(message.camera)
        if not isinstance(message, Result | Failure | Gap):
            return True
        if cameras is not None and message.camera not in cameras:
            return False
        seq = message.last_seq if isinstance(message, Gap) else message.seq
        if not self._advance(message.camera, Position(message.epoch, seq)):
            return False
        if message.missed_by is not UNSET:
            self._count(message.camera, message.missed_by)
        return True

    def _forget(self, camera: str | UnsetType) -> None:
        if camera is not UNSET:
            self._last.pop(camera, None)
            self._left.pop(camera, None)

    def _advance(self, camera: str, to: Position) -> bool:
        last = self._last.get(camera)
        if last is not None and to.epoch == last.epoch and to.seq <= last.seq:
            return False
        left = self._left.setdefault(camera, deque(maxlen=_EPOCHS))
        if to.epoch in left:
            return False
        if last is not None and to.epoch != last.epoch:
            left.append(last.epoch)
        self._last[camera] = to
        return True

    def _count(self, camera: str, missed_by: dict[str, int]) -> None:
        missed = self.missed.setdefault(camera, {})
        for cause, count in missed_by.items():
            missed[cause] = missed.get(cause, 0) + count

    def of(self, cameras: Collection[str] | None) -> dict[str, Position]:
        """The positions in these cameras (None: all), as far as a message has arrived."""
        return {
            camera: position
            for camera, position in self._last.items()
            if cameras is None or camera in cameras
        }


def fitting(positions: dict[str, Position], most_bytes: int) -> dict[str, Position]:
    """As many of the positions as fit into `most_bytes` of an address."""
    found: dict[str, Position] = {}
    room = most_bytes
    for camera, position in positions.items():
        room -= len(told(camera, position)) + 1
        if room < 0:
            break
        found[camera] = position
    return found


def told(camera: str, position: Position) -> str:
    """A position as the address contains it: CAMERA:EPOCH:SEQ."""
    return f"{camera}:{position.epoch}:{position.seq}"
