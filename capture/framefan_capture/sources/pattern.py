"""Images: a single one, or those whose names match a pattern."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from framefan.base import clock
from framefan.errors import SourceError
from framefan.settings import patterns
from framefan.settings.source_spec import printable
from framefan_capture.sources.file_name import name_for_opencv
from framefan_capture.sources.pacer import Pacer
from framefan_capture.sources.pixels import AS_IT_IS, as_bgr

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from framefan.settings.run import CameraSettings

PATTERN_FPS = 30.0
_STILL = (".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".tif", ".tiff", ".webp")
"""Suffixes of single images. Other files may hold several: a GIF, or JPEG after JPEG."""


class PatternSource:
    """Image files in the order of their numbers (`img_%04d.png`) or names (`img_*.png`), or one."""

    is_recorded = False
    is_exact = True

    def __init__(self, camera: CameraSettings) -> None:
        self._pattern = Path(camera.source.reveal())
        self._is_one = camera.source.spec.kind == "file"
        self._shown = str(camera.source)
        self._pacer = Pacer(fast=camera.fast)
        self._paths: list[Path] = []
        self._next = 0
        self.skipped = 0
        self.stale = False
        self.pts: float | None = None

    @property
    def due(self) -> float:
        return self._pacer.due

    def open(self) -> None:
        if self._is_one:
            self._paths = [self._pattern] if self._pattern.is_file() else []
        else:
            self._paths = patterns.matching(self._pattern)
        self._next = 0
        if not self._paths:
            raise SourceError(
                "not_found",
                f"no image matches {self._shown}",
                f"looked in {printable(str(patterns.folder(self._pattern).absolute()))}",
                "check the pattern; quote it, so that the shell leaves * and % alone",
            )

    def grab(self, frame: int) -> bool:
        del frame  # only the demo scene shows its number
        if self._next == len(self._paths):
            return False
        self.pts = self._next / PATTERN_FPS
        self._next += 1
        self._pacer.passed(clock.now(), 1 / PATTERN_FPS)
        return True

    def retrieve(self, view: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
        del view  # image sizes differ; the caller copies
        path = self._paths[self._next - 1]
        try:
            with name_for_opencv(path) as name:
                image = cv2.imread(name, AS_IT_IS)
        except (cv2.error, MemoryError, OSError):  # MemoryError: its header claims a huge size
            image = None
        if image is None:
            raise SourceError("corrupt", f"{printable(str(path))} is no image that OpenCV reads")
        return as_bgr(image)

    def skip(self, frames: int) -> int:
        skipped = min(frames, len(self._paths) - self._next)
        self._next += skipped
        return skipped

    def close(self) -> None:
        pass


def is_still(path: Path) -> bool:
    """Whether a file is a single image, by its name and its content."""
    if path.suffix.lower() not in _STILL or not path.is_file():
        return False
    try:
        with name_for_opencv(path) as name:
            return cv2.haveImageReader(name)
    except (cv2.error, OSError):
        return False
