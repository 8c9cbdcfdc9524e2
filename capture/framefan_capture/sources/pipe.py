"""Named pipes (mkfifo): videos that another program writes while they are played.

The pipe is opened once and stays open as long as the process lives, because a program that writes
into a pipe without a reader is killed by SIGPIPE. It is opened non-blocking and passed to FFmpeg as
a descriptor, so OpenCV's time limits apply.
"""

from __future__ import annotations

import os
import select
from typing import TYPE_CHECKING

import cv2

from framefan.base import clock
from framefan.errors import SourceError
from framefan_capture.sources.opencv import OPTIONS
from framefan_capture.sources.video import FileSource

if TYPE_CHECKING:
    from framefan.settings.run import CameraSettings

_WHITELIST = "pipe"


class PipeSource(FileSource):
    """A pipe ends when all writers have closed it; reopened, it waits for the next writer."""

    def __init__(self, camera: CameraSettings) -> None:
        super().__init__(camera)
        self._fd: int | None = None

    def _captured(self) -> cv2.VideoCapture:
        until = clock.now() + self._camera.open_timeout_s
        fd = self._wait_for_writer(until)
        os.environ[OPTIONS] = f"protocol_whitelist;{_WHITELIST}"
        parameters = [
            int(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC),
            max(1, int((until - clock.now()) * 1000)),
            int(cv2.CAP_PROP_READ_TIMEOUT_MSEC),
            int(self._camera.read_timeout_s * 1000),
        ]
        return cv2.VideoCapture(f"pipe:{fd}", cv2.CAP_FFMPEG, parameters)

    def _wait_for_writer(self, until: float) -> int:
        """Wait until there is something to read; return the descriptor. Raises SourceError."""
        poller = select.poll()
        while True:
            if self._fd is None:
                self._fd = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK)
            poller.register(self._fd, select.POLLIN)
            news = poller.poll(max(0.0, until - clock.now()) * 1000)
            if not news:
                raise self._nothing_written(self._camera.open_timeout_s)
            if news[0][1] & select.POLLIN:
                return self._fd
            # All writers have closed it. Reopen it to be notified of the next one.
            poller.unregister(self._fd)
            os.close(self._fd)
            self._fd = None

    def _advance(self) -> bool:
        """As in `OpenCvSource`. Raises SourceError if nothing was written within the time limit."""
        limit_s = self._camera.read_timeout_s
        try:
            return self._advance_within(limit_s)
        except TimeoutError:
            raise self._nothing_written(limit_s) from None

    def _nothing_written(self, limit_s: float) -> SourceError:
        return SourceError(
            "timeout",
            f"the named pipe {self._camera.source} brought nothing for {limit_s:g} s",
            "no program writes into it",
            "start the program that writes first; open_timeout_s and read_timeout_s set the limits",
        )

    def skip(self, frames: int) -> int:
        """Nothing to skip: a pipe cannot be read again."""
        return frames
