"""The demo scene as a source."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from framefan.base import clock
from framefan.settings.demo import parse_demo
from framefan_capture.sources.pacer import Pacer
from framefan_capture.sources.scene import Scene

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from framefan.settings.run import CameraSettings


class DemoSource:
    """The demo scene. Its picture shows the frame's number."""

    is_recorded = is_exact = False

    def __init__(self, camera: CameraSettings) -> None:
        """Raises UsageError for an unknown option."""
        self._options = parse_demo(camera.source.reveal())
        self._pacer = Pacer(fast=camera.fast)
        self._frame = 0
        self._left = 0
        self.skipped = 0
        self.stale = False
        self.pts: float | None = None

    @property
    def due(self) -> float:
        return self._pacer.due

    def open(self) -> None:
        options = self._options
        self._scene = Scene(options.width, options.height, options.seed)
        self._left = options.frames

    def grab(self, frame: int) -> bool:
        if self._options.frames:
            if not self._left:
                return False
            self._left -= 1
        self._frame = frame
        self.pts = frame / self._options.fps
        self._pacer.passed(clock.now(), 1 / self._options.fps)
        return True

    def skip(self, frames: int) -> int:
        if not self._options.frames:
            return frames
        skipped = min(frames, self._left)
        self._left -= skipped
        return skipped

    def retrieve(self, view: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
        shape = (self._scene.height, self._scene.width, 3)
        if view is None or view.shape != shape:
            view = np.empty(shape, np.uint8)
        self._scene.draw(self._frame, view)
        return view

    def close(self) -> None:
        pass
