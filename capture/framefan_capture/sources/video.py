"""Video files and webcams.

A local file may be a playlist; FFmpeg's protocol whitelist lets it open local files only.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from framefan.base import clock
from framefan.errors import SourceError
from framefan.settings.source_spec import printable
from framefan_capture.sources.file_name import name_for_opencv
from framefan_capture.sources.opencv import OPTIONS, OpenCvSource
from framefan_capture.sources.pacer import Pacer

if TYPE_CHECKING:
    from framefan.settings.run import CameraSettings

FILE_WHITELIST = "file"
_DEFAULT_FPS = 25.0
_MOST_FPS = 1000.0
"""A header with a higher rate is wrong."""
_DEVICES = "/dev/video"
_NUMBERED = re.compile(rf"(?:{_DEVICES})?(\d+)")
_MOST_WEBCAMS = 100
"""OpenCV interprets higher numbers as the cameras of another library."""
_SKIP_S = 0.2
"""How long one `skip` may block the loop."""


class PacedVideo(OpenCvSource):
    """A video that is played at its own speed: all except `open` and `grab`."""

    def __init__(self, camera: CameraSettings) -> None:
        super().__init__(camera)
        self._pacer = Pacer(fast=camera.fast)
        self._interval_s = 1 / _DEFAULT_FPS
        self._position_s = 0.0
        self._seen = 0

    @property
    def due(self) -> float:
        return self._pacer.due

    def _begin(self, video: cv2.VideoCapture) -> None:
        """Start to read an open video from its beginning."""
        self._video = video
        fps = video.get(cv2.CAP_PROP_FPS)
        if 0.01 <= fps <= _MOST_FPS:
            self._interval_s = 1 / fps
        self._position_s = 0.0
        self._seen = 0
        self.pts = None

    def _took(self) -> None:
        """Count a grabbed picture and set when the next one is due."""
        self._seen += 1
        self._pacer.passed(clock.now(), self._step_s())

    def skip(self, frames: int) -> int:
        """Skip by reading: CAP_PROP_POS_FRAMES is exact only if all frames are evenly spaced.

        In an unevenly spaced MP4 it is 20 frames off, in an MPEG transport stream anywhere before
        the second keyframe. Reading costs 3 ms per frame at 1080p.
        """
        until = clock.now() + _SKIP_S
        done = 0
        while done < frames and self._advance():
            done += 1 + self.skipped
            if clock.now() >= until:
                break
        self._seen += done
        self._step_s()  # so that the next step is measured from the skipped pictures
        return done

    def _step_s(self) -> float:
        """The time to the next picture: that since the previous one, or the header's interval."""
        assert self._video is not None
        position = self._video.get(cv2.CAP_PROP_POS_MSEC) / 1000
        step, self._position_s = position - self._position_s, position
        self.pts = position if position or self._seen <= 1 else self._counted_s()
        return step if 1 / _MOST_FPS <= step < 60 else self._interval_s

    def _counted_s(self) -> float:
        """For pictures that have no time, and that OpenCV tells 0 for.

        These are all of a bare H.264 stream, and the last one of MPEG-1 and MPEG-2.
        """
        return max((self._seen - 1) * self._interval_s, (self.pts or 0.0) + self._interval_s)


class FileSource(PacedVideo):
    """A video file, played at its own speed."""

    retries = 1000
    """Damage may be long; these tries cost 2 to 13 ms once, at the end."""

    def __init__(self, camera: CameraSettings) -> None:
        super().__init__(camera)
        self._path = Path(camera.source.reveal())

    def open(self) -> None:
        self._check_path()
        try:
            self._video = self._captured()
        except OSError as error:  # it was removed after the check
            raise self._no_video(error.strerror or str(error)) from error
        if not self._video.isOpened():
            self.close()
            raise self._no_video("OpenCV finds no video stream in it")
        self._begin(self._video)

    def _captured(self) -> cv2.VideoCapture:
        """A VideoCapture, which may not be open. Raises OSError or SourceError."""
        os.environ[OPTIONS] = f"protocol_whitelist;{FILE_WHITELIST}"
        with name_for_opencv(self._path) as name:
            return cv2.VideoCapture(name, cv2.CAP_FFMPEG)

    def grab(self, frame: int) -> bool:
        del frame  # only the demo scene shows its number
        if not self._advance():
            if not self._seen:
                raise self._no_video("it holds no picture that can be decoded")
            return False
        self._took()
        return True

    def _check_path(self) -> None:
        shown = str(self._camera.source)
        if not self._path.exists():
            raise SourceError(
                "not_found",
                f"the video file {shown} does not exist",
                f"looked for {printable(str(self._path.absolute()))}",
                "check the path",
            )
        if self._path.is_dir():
            raise SourceError(
                "unreadable",
                f"{shown} is a folder",
                "a source is one file",
                f"for the images in it write {shown.rstrip('/')}/*.jpg, in quotes",
            )
        if not os.access(self._path, os.R_OK):
            raise SourceError(
                "unreadable",
                f"the video file {shown} may not be read",
                "its permissions forbid it",
                "change them, or run as its owner",
            )

    def _no_video(self, why: str) -> SourceError:
        return SourceError(
            "unreadable",
            f"{self._camera.source} cannot be played as a video",
            why,
            "check that it is a video file; ffprobe shows what is in it",
        )


class WebcamSource(OpenCvSource):
    """A camera of this machine, by its number or its device, which may be a symbolic link."""

    def open(self) -> None:
        self._video = self._captured()
        if self._video is not None and self._video.isOpened():
            return
        self.close()
        raise self._closed_device()

    @property
    def _device(self) -> Path:
        text = self._camera.source.reveal()
        return Path(f"{_DEVICES}{int(text)}" if text.isdecimal() else text)

    def _captured(self) -> cv2.VideoCapture | None:
        """None if there is no device. Links are resolved each time: device numbers may change."""
        text = self._camera.source.reveal()
        found = _NUMBERED.fullmatch(text if text.isdecimal() else str(self._device.resolve()))
        if found and int(found[1]) < _MOST_WEBCAMS:
            return cv2.VideoCapture(int(found[1]))
        if self._device.exists():
            return cv2.VideoCapture(str(self._device.resolve()), cv2.CAP_V4L2)
        return None

    def _closed_device(self) -> SourceError:
        shown, device = self._camera.source, self._device
        if not device.exists():
            return SourceError(
                "not_found",
                f"there is no webcam {shown}",
                f"{device} does not exist",
                "plug it in; `ls /dev/video*` lists those there are",
            )
        may = os.access(device, os.R_OK | os.W_OK)
        return SourceError(
            "unreadable",
            f"webcam {shown} does not open",
            "another program may have it" if may else "its permissions forbid it",
            f"see who uses it: fuser {device}" if may else "add this user to the group video",
        )

    def grab(self, frame: int) -> bool:
        del frame
        if self._advance():
            return True
        raise SourceError(
            "closed",
            f"webcam {self._camera.source} gives no more pictures",
            "the device is gone, or its driver gave it up",
            "plug it in again; framefan reconnects",
        )
