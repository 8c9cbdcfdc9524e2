"""The rings the pool knows: descriptors to hand to workers, kept while a frame stands in them."""

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
    """By (camera, ring id). The newest ring of a camera is current; older ones are retired."""

    def __init__(self) -> None:
        self._rings: dict[tuple[str, int], Ring] = {}
        self._current: dict[str, int] = {}

    def made(self, attach: Attach, fd: int) -> None:
        """A camera made a ring: take over its descriptor; the ones before it are retired."""
        old = self._rings.pop((attach.camera, attach.ring), None)
        if old:
            os.close(old.fd)
        self._rings[attach.camera, attach.ring] = Ring(fd, attach)
        self._current[attach.camera] = attach.ring

    def __getitem__(self, key: tuple[str, int]) -> Ring:
        return self._rings[key]

    def is_current(self, camera: str, ring: int) -> bool:
        """Whether capture still wants slots of this ring back."""
        return self._current.get(camera) == ring

    def slots(self, camera: str) -> int:
        ring = self._rings.get((camera, self._current.get(camera, -1)))
        return ring.attach.slots if ring else 0

    def orphan(self, camera: str) -> None:
        """The camera's capture is gone, so all its rings are retired."""
        self._current.pop(camera, None)

    def collect(self, in_use: Callable[[str, int], bool]) -> Iterator[tuple[str, int]]:
        """Close retired rings in which no frame stands; answers which."""
        if len(self._rings) == len(self._current):
            return  # the usual case: one ring a camera, none retired
        for camera, ring in list(self._rings):
            if not self.is_current(camera, ring) and not in_use(camera, ring):
                os.close(self._rings.pop((camera, ring)).fd)
                yield camera, ring

    def close(self) -> None:
        for ring in self._rings.values():
            os.close(ring.fd)
        self._rings.clear()
