"""A camera in the test's own process and time: the source, the pool and the clock are played."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING, Any

import numpy as np

from framefan.base import clock
from framefan.ipc import links
from framefan.ipc.messages import (
    Free,
    Ready,
    RingMade,
    Slots,
    SourceStatus,
    ToCapture,
    ToPool,
    Welcome,
)
from framefan.settings.run import CameraSettings
from framefan.settings.secret import SourceText
from framefan_capture import kinds
from framefan_capture.camera import Camera
from framefan_capture.pool_link import PoolLink
from framefan_capture.sources.pixels import as_bgr

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from numpy.typing import NDArray


class PlayedSource:
    """Gives the picture that the test has put there; what is an error is raised."""

    def __init__(self) -> None:
        self.is_recorded = self.is_exact = False
        self.skipped = 0
        self.stale = False
        self.pts: float | None = None
        self.due = 0.0
        self.picture: NDArray[Any] = np.zeros((24, 32, 3), np.uint8)
        self.at_open: Exception | None = None
        self.at_grab: Exception | None = None
        self.at_retrieve: Exception | None = None
        self.length: int | None = None
        """Pictures until the end."""
        self.left = 0
        self.opened = 0
        self.retrieved = 0

    def open(self) -> None:
        self.opened += 1
        self.left = self.length or 0
        if self.at_open:
            raise self.at_open

    def grab(self, frame: int) -> bool:
        if self.at_grab:
            raise self.at_grab
        self.left -= 1
        return self.length is None or self.left >= 0

    def retrieve(self, view: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
        self.retrieved += 1
        if self.at_retrieve:
            raise self.at_retrieve
        return as_bgr(self.picture)

    def skip(self, frames: int) -> int:
        skipped = min(frames, self.left, 3)  # in parts
        self.left -= skipped
        return skipped

    def close(self) -> None:
        pass


class Played:
    """A Camera and its Feed in this process; the pool and the clock are the test's."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(clock, "now", lambda: self.now)
        self.source: Any = PlayedSource()
        monkeypatch.setattr(kinds, "make", lambda settings: self.source)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._path = str(folder / "pool")
        self._listener.bind(self._path)
        self._listener.listen()
        self.ready: list[Ready] = []
        self.statuses: list[SourceStatus] = []

    def begin(self, text: str = "rtsp://host/x", welcome: bool = True, **options: Any) -> None:
        settings = CameraSettings(name="cam1", source=SourceText(text), **options)
        self.feed = PoolLink(self._path, "cam1")
        self.camera = Camera(settings, self.feed)
        self.feed.connect(self.now)
        self._link: links.Link[Any] = links.Link(self._listener.accept()[0], ToPool)
        if welcome:
            self.welcome()

    def welcome(self, frame: int = 0, slots: int = 5, ended: bool = False, began: int = 0) -> None:
        self._link.send(Welcome("e1", frame, slots, ended, began))
        assert self.feed.receive()
        self.camera.welcomed()

    def resize(self, slots: int) -> None:
        self.say(Slots(slots))

    def say(self, message: ToCapture) -> None:
        """Something that the pool tells the camera."""
        self._link.send(message)

    def step(self, steps: int = 1, every_s: float = 0.0, free: bool = True) -> None:
        for _ in range(steps):
            self.camera.step()
            self.pump(free)
            self.now += every_s

    def pump(self, free: bool = True) -> None:
        while messages := self._link.receive():
            for message in messages:
                self._take(message, free)
        self.feed.receive()

    def _take(self, message: Any, free: bool) -> None:
        if isinstance(message, RingMade):
            os.close(self._link.take_fd())
        elif isinstance(message, Ready):
            self.ready.append(message)
            if free:
                self._link.send(Free(message.ring, [message.slot]))
        elif isinstance(message, SourceStatus):
            self.statuses.append(message)

    @property
    def status(self) -> SourceStatus:
        return self.statuses[-1]

    @property
    def told(self) -> tuple[str, str]:
        return self.status.state, self.status.reason

    def end(self) -> None:
        """The end of this camera; another one may begin."""
        self.camera.close()
        self.feed.close()
        self._link.close()

    def close(self) -> None:
        self.end()
        self._listener.close()


def noise(number: int) -> Any:
    return np.full((24, 32, 3), number % 256, np.uint8)


def counters(played: Played) -> tuple[int, int, int, int]:
    counted = played.feed.counters
    return counted.captured, counted.max_fps, counted.no_slot, counted.bad
