"""Checks the size of a camera's pictures by a second connection.

It runs in a thread, with a time limit for each step. The thread is not a daemon, because a daemon
thread that returns from C++ while Python exits aborts the process.
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
"""The time limit for the connection, and for opening the stream."""


def size_of(video: cv2.VideoCapture) -> tuple[int, int]:
    """Width and height of its pictures, in pixels."""
    return int(video.get(cv2.CAP_PROP_FRAME_WIDTH)), int(video.get(cv2.CAP_PROP_FRAME_HEIGHT))


class SizeCheck:
    """A check that begins at once, with FFmpeg's options from the environment."""

    def __init__(self, url: SourceUrl, parameters: Callable[[float], list[int]]) -> None:
        """`parameters(open_s)`: the parameters of a cv2.VideoCapture with this time to open."""
        self.size: tuple[int, int] | None = None
        """Width and height; None if the camera did not answer."""
        self._done = threading.Event()
        threading.Thread(target=self._ask, args=(url, parameters(LIMIT_S))).start()

    @property
    def is_done(self) -> bool:
        return self._done.is_set()

    def _ask(self, url: SourceUrl, parameters: list[int]) -> None:
        try:
            # OpenCV opens one camera at a time, so an unreachable host must not block it.
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
