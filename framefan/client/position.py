"""How far a client has come in the numbering of each camera. Pure.

A result is new if its seq is higher than the last one of its epoch, or if its epoch was never
there before. So whatever a gateway repeats, after a reconnection for example, is told apart by two
fields, and nothing is yielded twice. An epoch that a camera has left does not come back. There is
nothing to come back for of a camera that was removed from the run: it is forgotten.
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
"""Left ones that are remembered, per camera: a pool that restarts more often within one
reconnection is not one to be read."""


class Position(NamedTuple):
    epoch: str
    seq: int


class Positions:
    """Of every camera that was heard of, with what was missed on the way."""

    def __init__(self) -> None:
        self._last: dict[str, Position] = {}
        self._left: dict[str, deque[str]] = {}
        self.missed: dict[str, dict[str, int]] = {}
        """By camera and cause, as the gateway told it."""

    def take(self, message: Message, cameras: Collection[str] | None = None) -> bool:
        """Take note of it; False when it was told before, or is of none of `cameras`."""
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
        """Of those cameras (None: all) of which anything has come."""
        return {
            camera: position
            for camera, position in self._last.items()
            if cameras is None or camera in cameras
        }


def fitting(positions: dict[str, Position], most_bytes: int) -> dict[str, Position]:
    """As many of them as an address of so many bytes can tell."""
    found: dict[str, Position] = {}
    room = most_bytes
    for camera, position in positions.items():
        room -= len(told(camera, position)) + 1
        if room < 0:
            break
        found[camera] = position
    return found


def told(camera: str, position: Position) -> str:
    """As it stands in the address: CAMERA:EPOCH:SEQ."""
    return f"{camera}:{position.epoch}:{position.seq}"
