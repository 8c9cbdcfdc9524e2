"""Network cameras: RTSP and HTTP through cv2.VideoCapture, opened with low delay.

What one may open is fixed by FFmpeg's protocol whitelist: nothing but network protocols, whatever
the camera answers. OpenCV keeps three things to itself that the pictures alone do not show; each is
found out beside it: why a camera does not open (probe), that the size of its pictures changed
(suspicion, size_check), and that a picture is an old one (rhythm).
"""

from __future__ import annotations

import math
import os
import time
from typing import TYPE_CHECKING

import cv2

from framefan.base import clock
from framefan.errors import SourceError
from framefan.settings import source_url
from framefan_capture.network import probe, stream_errors, tcp_connect
from framefan_capture.network.resize_detector import ResizeDetector
from framefan_capture.network.size_check import SizeCheck, size_of
from framefan_capture.network.stale_detector import StaleDetector
from framefan_capture.sources.opencv import OPTIONS, OpenCvSource

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from framefan.settings.run import CameraSettings
    from framefan.settings.source_spec import Kind

# Not fflags;nobuffer: it throws away what was read while probing. Then the first key frame is gone,
# and with it all of the first group of pictures: a second of H.264.
_LOW_DELAY = "flags;low_delay|analyzeduration;0"
WHITELISTS: dict[Kind, str] = {
    "rtsp": "rtsp,rtsps,rtp,rtcp,tcp,udp,tls,srtp",
    "http": "http,https,tcp,tls,crypto,httpproxy",
}
_NO_PTS = -(2.0**63)
"""What CAP_PROP_PTS says of a picture that brought no time of its own (AV_NOPTS_VALUE)."""
_MIN_OPEN_S = 0.1
_ENDS = 3
_AT_ONCE_S = 0.001


def ffmpeg_options(kind: Kind, transport: str) -> str:
    """FFmpeg's options for a camera, as OPENCV_FFMPEG_CAPTURE_OPTIONS holds them."""
    common = f"{_LOW_DELAY}|protocol_whitelist;{WHITELISTS[kind]}"
    if kind == "http":
        # One segment ahead and, of the three that most playlists hold, one behind: who begins with
        # the oldest and reads at the camera's speed loses the next one.
        return f"live_start_index;-2|{common}"
    # TCP: no half-received pictures, and it passes every firewall the camera's page passes.
    # Over UDP a packet that is missing is waited for 0.1 s, and its picture left out.
    return f"rtsp_transport;{transport}|probesize;32|{common}"


class NetworkSource(OpenCvSource):
    """An rtsp camera, or video over http that is no JPEG, never ahead of its reader's patience."""

    def __init__(self, camera: CameraSettings) -> None:
        """Raises UsageError for an address that is incomplete or may be meant in two ways."""
        super().__init__(camera)
        spec = camera.source.spec
        self._url = source_url.checked(spec.value)
        self._kind = spec.kind
        self._shown = str(camera.source)
        self._rhythm = StaleDetector()
        self._suspicion = ResizeDetector()
        self._check: SizeCheck | None = None
        self._is_empty = True
        """No picture has come since it was opened."""
        self._warm: set[int] = set()
        """Destinations that were written before: the first time costs page faults."""

    # ---- opening -------------------------------------------------------------------------------

    def open(self, until: float = math.inf) -> None:
        """Within the time limit, and by `until` at the latest."""
        limit_s = self._camera.open_timeout_s
        until = min(until, clock.now() + limit_s)
        tcp_connect.check_reachable(self._url, limit_s)
        self._begin()
        left_s = max(_MIN_OPEN_S, until - clock.now())
        self._video = cv2.VideoCapture(
            self._url.for_ffmpeg, cv2.CAP_FFMPEG, self._parameters(left_s)
        )
        if self._video.isOpened():
            return
        self.close()
        if clock.now() >= until:
            raise stream_errors.timeout(self._shown, "opened", limit_s)
        raise probe.explain(self._url, until - clock.now())

    def _begin(self) -> None:
        os.environ[OPTIONS] = ffmpeg_options(self._kind, self._camera.transport)
        self._rhythm = StaleDetector()
        self._suspicion.restart()
        self._warm.clear()
        self._is_empty = True

    def _parameters(self, open_s: float) -> list[int]:
        return [
            int(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC),
            int(open_s * 1000),
            int(cv2.CAP_PROP_READ_TIMEOUT_MSEC),
            int(self._camera.read_timeout_s * 1000),
            # Each further decoder thread holds one more picture back: 33 ms at 30 fps.
            int(cv2.CAP_PROP_N_THREADS),
            1,
        ]

    @property
    def frame_count(self) -> int:
        """How many pictures it claims to have; less than 1 of what has no end."""
        assert self._video is not None
        return int(self._video.get(cv2.CAP_PROP_FRAME_COUNT))

    def hand_over(self) -> cv2.VideoCapture:
        """What was opened, for somebody else to read and release."""
        video, self._video = self._video, None
        assert video is not None
        return video

    # ---- pictures ------------------------------------------------------------------------------

    def grab(self, frame: int) -> bool:
        del frame  # only the demo scene shows its number
        self._follow_size()
        started, cpu_s = clock.now(), time.thread_time()
        self._take(started)
        now = clock.now()
        self._rhythm.came(now, now - started - (time.thread_time() - cpu_s))
        self.stale = self._rhythm.is_stale
        if self.skipped or self._rhythm.is_gap:
            self._suspicion.disturbed()
        self.pts = self._position()
        return True

    def _take(self, started: float) -> None:
        """Raises SourceError: nothing came in time, nothing will, or nothing that is a picture."""
        assert self._video is not None
        self.skipped = ends = 0
        limit_s = self._camera.read_timeout_s
        while True:
            asked = clock.now()
            taken = self._video.grab()
            now = clock.now()
            if now - asked >= limit_s * 0.98:
                # After a silence the decoder gives up what it still holds, so `taken` says nothing.
                raise stream_errors.timeout(self._shown, "sent a picture", limit_s)
            if taken:
                self._is_empty = False
                return
            # What is damaged had to be waited for, as all pictures; an end repeats at once.
            ends = ends + 1 if now - asked < _AT_ONCE_S else 0
            if ends > _ENDS:
                raise stream_errors.ended(self._shown, self._is_empty)
            self.skipped += 1
            if now - started > limit_s:
                raise stream_errors.corrupt(self._shown, limit_s)

    def _position(self) -> float | None:
        """Bare JPEG over HTTP brings no times; FFmpeg makes them up from 25 frames a second.

        Over RTSP OpenCV counts from the second picture, and tells 0 for the first one too.
        """
        assert self._video is not None
        if self._video.get(cv2.CAP_PROP_PTS) == (_NO_PTS if self._kind == "http" else 0):
            return None
        return self._video.get(cv2.CAP_PROP_POS_MSEC) / 1000

    def retrieve(self, view: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
        before_s = time.thread_time()
        try:
            image = super().retrieve(view)
        except SourceError:
            self._suspicion.disturbed()
            raise
        if image is not view:
            self._suspicion.restart()  # the pictures have a new size, and say so
        elif id(view) in self._warm:
            self._suspicion.decoded(time.thread_time() - before_s)
        else:
            self._warm.add(id(view))
        return image

    # ---- size ----------------------------------------------------------------------------------

    def _follow_size(self) -> None:
        """Open the stream anew where its pictures have another size than they come out with."""
        assert self._video is not None
        now = clock.now()
        if self._check is None:
            if self._suspicion.asks(now):
                self._check = SizeCheck(self._url, self._parameters)
        elif self._check.is_done:
            size, self._check = self._check.size, None
            same = None if size is None else size == size_of(self._video)
            if self._suspicion.answered(now, same):
                self.close()
                self.open()
