"""Video files, webcams and network cameras, all through cv2.VideoCapture.

What each may open is fixed by FFmpeg's protocol whitelist: a local file (which may be a playlist)
opens local files only, a network camera nothing but network protocols.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from framefan import clock, sources
from framefan.errors import SourceError
from framefan_capture import probe
from framefan_capture.source import Pacer, as_bgr

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from framefan.settings import CameraSettings

OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
"""The environment variable FFmpeg's options travel in: per process, so one camera per process."""

_LOW_DELAY = "fflags;nobuffer|flags;low_delay|analyzeduration;0"
FFMPEG_OPTIONS: dict[sources.Kind, str] = {
    "file": "protocol_whitelist;file",
    # TCP: no half-received pictures, and it passes every firewall the camera's page passes.
    "rtsp": f"rtsp_transport;tcp|{_LOW_DELAY}|probesize;32|"
    "protocol_whitelist;rtsp,rtsps,rtp,rtcp,tcp,udp,tls,srtp",
    "http": f"{_LOW_DELAY}|protocol_whitelist;http,https,tcp,tls,crypto,httpproxy",
}
_RETRIES = 3
"""A damaged picture makes one grab fail and the next one succeed; an end makes all of them fail."""
_PROBE_S = 2.0
_DEFAULT_FPS = 25.0


class _Video:
    """What the three kinds share: a cv2.VideoCapture and how pictures come out of it."""

    def __init__(self, camera: CameraSettings) -> None:
        self._camera = camera
        self._video: cv2.VideoCapture | None = None
        self.skipped = 0

    @property
    def due(self) -> float:
        return 0.0

    def _advance(self) -> bool:
        assert self._video is not None
        for attempt in range(1 + _RETRIES):
            if self._video.grab():
                self.skipped = attempt
                return True
        return False

    def retrieve(self, view: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
        assert self._video is not None
        try:
            decoded, image = self._video.retrieve(view)
        except cv2.error:  # its text may hold the URL with the password
            decoded = False
        if not decoded:
            raise SourceError("corrupt", "a picture could not be decoded")
        if image is view:
            return view
        return as_bgr(image)

    def close(self) -> None:
        if self._video is not None:
            self._video.release()
            self._video = None


class FileSource(_Video):
    """A video file, at its own speed."""

    def __init__(self, camera: CameraSettings) -> None:
        super().__init__(camera)
        self._path = Path(camera.source.reveal())
        self._pacer = Pacer(fast=camera.fast)
        self._interval_s = 1 / _DEFAULT_FPS
        self._position_s = 0.0
        self._seen = 0

    @property
    def due(self) -> float:
        return self._pacer.due

    def open(self) -> None:
        self._check_path()
        os.environ[OPTIONS] = FFMPEG_OPTIONS["file"]
        self._video = cv2.VideoCapture(str(self._path.absolute()), cv2.CAP_FFMPEG)
        if not self._video.isOpened():
            self.close()
            raise self._no_video("OpenCV finds no video stream in it")
        fps = self._video.get(cv2.CAP_PROP_FPS)
        if 0.01 <= fps <= 1000:
            self._interval_s = 1 / fps
        self._position_s = 0.0
        self._seen = 0

    def grab(self, frame: int) -> bool:
        del frame  # only the demo scene shows its number
        if not self._advance():
            if not self._seen:
                raise self._no_video("it holds no picture that can be decoded")
            return False
        self._seen += 1
        self._pacer.passed(clock.now(), self._step_s())
        return True

    def _step_s(self) -> float:
        """The time from this picture to the next: as from the one before, or as the header says."""
        assert self._video is not None
        position = self._video.get(cv2.CAP_PROP_POS_MSEC) / 1000
        step, self._position_s = position - self._position_s, position
        return step if 0 < step < 60 else self._interval_s

    def _check_path(self) -> None:
        shown = str(self._camera.source)
        if not self._path.exists():
            raise SourceError(
                "not_found",
                f"the video file {shown} does not exist",
                f"looked for {self._path.absolute()}",
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


class WebcamSource(_Video):
    """A camera of this machine, by number."""

    def open(self) -> None:
        number = int(self._camera.source.reveal())
        self._video = cv2.VideoCapture(number)
        if self._video.isOpened():
            return
        self.close()
        device = Path(f"/dev/video{number}")
        if device.exists():
            raise SourceError(
                "unreadable",
                f"webcam {number} does not open",
                "another program may have it, or this user may not",
                f"see who uses it: fuser {device}",
            )
        raise SourceError(
            "not_found", f"there is no webcam {number}", f"{device} does not exist", "plug it in"
        )

    def grab(self, frame: int) -> bool:
        del frame
        if self._advance():
            return True
        raise SourceError(
            "closed", f"webcam {self._camera.source} gives no more pictures", "was it unplugged?"
        )


class NetworkSource(_Video):
    """An rtsp or http camera: opened with low delay, and never ahead of its reader's patience."""

    def __init__(self, camera: CameraSettings) -> None:
        """Raises UsageError for an address without a host."""
        super().__init__(camera)
        self._url = camera.source.reveal()
        probe.check_url(self._url)
        self._kind = sources.parse(self._url).kind
        self._shown = str(camera.source)

    def open(self) -> None:
        camera = self._camera
        probe.check_reachable(self._url, camera.open_timeout_s)
        os.environ[OPTIONS] = FFMPEG_OPTIONS[self._kind]
        started = clock.now()
        self._video = cv2.VideoCapture(self._url, cv2.CAP_FFMPEG, self._parameters())
        if self._video.isOpened():
            return
        self.close()
        if clock.now() - started >= camera.open_timeout_s:
            raise self._timeout("opened", camera.open_timeout_s)
        raise probe.explain(self._url, min(camera.open_timeout_s, _PROBE_S)) or SourceError(
            "unreadable",
            f"{self._shown} cannot be played",
            "the camera answers, but OpenCV finds no video in what it sends",
            "check the path in the URL; ffprobe shows what is there",
        )

    def _parameters(self) -> list[int]:
        camera = self._camera
        return [
            int(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC),
            int(camera.open_timeout_s * 1000),
            int(cv2.CAP_PROP_READ_TIMEOUT_MSEC),
            int(camera.read_timeout_s * 1000),
            # Each further decoder thread holds one more picture back: 33 ms at 30 fps.
            int(cv2.CAP_PROP_N_THREADS),
            1,
        ]

    def grab(self, frame: int) -> bool:
        del frame
        assert self._video is not None
        self.skipped = 0
        started = clock.now()
        taken = self._video.grab()
        limit_s = self._camera.read_timeout_s
        if clock.now() - started >= limit_s * 0.98:
            # After a silence the decoder gives up what it still holds, so `taken` says nothing.
            raise self._timeout("sent a picture", limit_s)
        if taken:
            return True
        if self._advance():
            self.skipped += 1
            return True
        raise SourceError(
            "closed",
            f"{self._shown} ended its stream",
            "the camera closed the connection",
            "framefan reconnects",
        )

    def _timeout(self, done: str, limit_s: float) -> SourceError:
        return SourceError(
            "timeout",
            f"{self._shown} has not {done} for {limit_s:g} s",
            "the connection stands, but nothing comes",
            "framefan reconnects; open_timeout_s and read_timeout_s set the limits",
        )
