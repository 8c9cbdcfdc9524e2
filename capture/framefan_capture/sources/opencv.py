"""The base of files, webcams and network cameras: a cv2.VideoCapture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2

from framefan.base import clock
from framefan.errors import SourceError
from framefan_capture.sources.pixels import as_bgr

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from framefan.settings.run import CameraSettings

OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
"""The environment variable with FFmpeg's options. It is per process, and so is the camera."""
_ALMOST = 0.98
"""OpenCV's own time limits end slightly early."""


class OpenCvSource:
    """All of a source except `open` and `grab`."""

    retries = 3
    """How often a failed grab is repeated: damage fails once, the end fails each time."""
    is_recorded = is_exact = False

    def __init__(self, camera: CameraSettings) -> None:
        self._camera = camera
        self._video: cv2.VideoCapture | None = None
        self.skipped = 0
        self.stale = False
        self.pts: float | None = None

    @property
    def due(self) -> float:
        return 0.0

    def _advance(self) -> bool:
        assert self._video is not None
        for attempt in range(1 + self.retries):
            if self._video.grab():
                self.skipped = attempt
                return True
        return False

    def _advance_within(self, limit_s: float) -> bool:
        """As `_advance`; raises TimeoutError if nothing comes within `limit_s`, in each try."""
        assert self._video is not None
        for attempt in range(1 + self.retries):
            asked = clock.now()
            if self._video.grab():
                self.skipped = attempt
                return True
            if clock.now() - asked >= limit_s * _ALMOST:
                raise TimeoutError
        return False

    def retrieve(self, view: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
        assert self._video is not None
        try:
            decoded, image = self._video.retrieve(view)
        except cv2.error:  # its text may contain the URL with the password
            decoded = False
        if not decoded:
            raise SourceError("corrupt", "a picture could not be decoded")
        if image is view:
            return view
        return as_bgr(image)

    def skip(self, frames: int) -> int:
        """Nothing to skip: a camera has no beginning. Files override this."""
        return frames

    def close(self) -> None:
        if self._video is not None:
            self._video.release()
            self._video = None
