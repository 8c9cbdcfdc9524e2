"""The rings that the pool passes to workers; each is kept while it holds a frame."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from framefan.ipc.messages import Attach

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Ring(NamedTuple):
    fd: int
    attach: Attach


class Rings:
    """Rings by camera and ring id. A camera's newest ring is current; older ones are retired."""

    def __init__(self) -> None:
        self._rings: dict[tuple[str, int], Ring] = {}
        self._current: dict[str, int] = {}

    def made(self, attach: Attach, fd: int) -> None:
        """Take over the descriptor of a new ring; the camera's earlier rings are retired."""
        old = self._rings.pop((attach.camera, attach.ring), None)
        if old:
            os.close(old.fd)
        self._rings[attach.camera, attach.ring] = Ring(fd, attach)
        self._current[attach.camera] = attach.ring

    def __getitem__(self, key: tuple[str, int]) -> Ring:
        return self._rings[key]

    def is_current(self, camera: str, ring: int) -> bool:
        """Whether capture still uses this ring, and so wants its slots back."""
        return self._current.get(camera) == ring

    def slots(self, camera: str) -> int:
        ring = self._rings.get((camera, self._current.get(camera, -1)))
        return ring.attach.slots if ring else 0

    def orphan(self, camera: str) -> None:
        """Retire all rings of a camera whose capture is gone."""
        self._current.pop(camera, None)

    def collect(self, in_use: Callable[[str, int], bool]) -> Iterator[tuple[str, int]]:
        """Close retired rings that hold no frame; yields camera and ring id of each."""
        if len(self._rings) == len(self._current):
            return  # the usual case: one ring per camera, none retired
        for camera, ring in list(self._rings):
            if not self.is_current(camera, ring) and not in_use(camera, ring):
                os.close(self._rings.pop((camera, ring)).fd)
                yield camera, ring

    def close(self) -> None:
        for ring in self._rings.values():
            os.close(ring.fd)
        self._rings.clear()
