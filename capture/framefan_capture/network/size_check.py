"""Asking a camera for the size of its pictures by a second connection, beside the running one.

A thread of its own, with time limits for each of its steps. Nobody waits for it, but Python when
the process ends: a daemon thread that comes back from C++ then makes it abort.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import cv2

from framefan.errors import SourceError
from framefan_capture.network import tcp_connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from framefan.settings.source_url import SourceUrl

LIMIT_S = 2.0
"""Each for the connection and for the answer."""


def size_of(video: cv2.VideoCapture) -> tuple[int, int]:
    """Width and height of the pictures it gives, in pixels."""
    return int(video.get(cv2.CAP_PROP_FRAME_WIDTH)), int(video.get(cv2.CAP_PROP_FRAME_HEIGHT))


class SizeCheck:
    """Begins at once. FFmpeg's options are those in the environment."""

    def __init__(self, url: SourceUrl, parameters: Callable[[float], list[int]]) -> None:
        """`parameters` are those of a cv2.VideoCapture that has so many seconds to open."""
        self.size: tuple[int, int] | None = None
        """Width and height; None when the camera did not say."""
        self._done = threading.Event()
        threading.Thread(target=self._ask, args=(url, parameters(LIMIT_S))).start()

    @property
    def is_done(self) -> bool:
        return self._done.is_set()

    def _ask(self, url: SourceUrl, parameters: list[int]) -> None:
        try:
            # OpenCV opens one camera at a time: none may wait for a host that is not there.
            tcp_connect.check_reachable(url, LIMIT_S)
            self.size = _opened_size(url.for_ffmpeg, parameters)
        except (SourceError, cv2.error):
            pass
        finally:
            self._done.set()


def _opened_size(url: str, parameters: list[int]) -> tuple[int, int] | None:
    video = cv2.VideoCapture(url, cv2.CAP_FFMPEG, parameters)
    try:
        return size_of(video) if video.isOpened() else None
    finally:
        video.release()
