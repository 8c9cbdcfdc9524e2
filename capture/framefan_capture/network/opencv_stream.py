"""Network cameras: RTSP and HTTP through cv2.VideoCapture, opened with low delay.

FFmpeg's protocol whitelist allows network protocols only, whatever the camera answers. OpenCV does
not report three things, which are determined separately: why a camera does not open (probe), that
the size of its pictures changed (resize_detector, size_check), and that a picture is old
(stale_detector).
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

# Not fflags;nobuffer: it discards what was read while probing, including the first key frame, and
# so the whole first group of pictures: a second of H.264.
_LOW_DELAY = "flags;low_delay|analyzeduration;0"
WHITELISTS: dict[Kind, str] = {
    "rtsp": "rtsp,rtsps,rtp,rtcp,tcp,udp,tls,srtp",
    "http": "http,https,tcp,tls,crypto,httpproxy",
}
_NO_PTS = -(2.0**63)
"""CAP_PROP_PTS of a picture without a timestamp (AV_NOPTS_VALUE)."""
_MIN_OPEN_S = 0.1
_ENDS = 3
_AT_ONCE_S = 0.001


def ffmpeg_options(kind: Kind, transport: str) -> str:
    """FFmpeg's options for a camera, in the format of OPENCV_FFMPEG_CAPTURE_OPTIONS."""
    common = f"{_LOW_DELAY}|protocol_whitelist;{WHITELISTS[kind]}"
    if kind == "http":
        # Most playlists have three segments; start with the middle one. A reader that starts with
        # the oldest one and reads at the camera's speed loses the next one.
        return f"live_start_index;-2|{common}"
    # TCP: no half-received pictures, and it passes every firewall that the camera's page passes.
    # Over UDP FFmpeg waits 0.1 s for a missing packet, and then leaves its picture out.
    return f"rtsp_transport;{transport}|probesize;32|{common}"


class NetworkSource(OpenCvSource):
    """An RTSP camera, or HTTP video that is not JPEG."""

    def __init__(self, camera: CameraSettings) -> None:
        """Raises UsageError for an incomplete or ambiguous URL."""
        super().__init__(camera)
        spec = camera.source.spec
        self._url = source_url.checked(spec.value)
        self._kind = spec.kind
        self._shown = str(camera.source)
        self._rhythm = StaleDetector()
        self._suspicion = ResizeDetector()
        self._check: SizeCheck | None = None
        self._is_empty = True
        """Whether no picture has come since it was opened."""
        self._warm: set[int] = set()
        """Destinations that were written before; the first write costs page faults."""

    # ---- opening -------------------------------------------------------------------------------

    def open(self, until: float = math.inf) -> None:
        """Open within the time limit, and by `until` at the latest. Raises SourceError."""
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
            # Each further decoder thread delays by one picture: 33 ms at 30 fps.
            int(cv2.CAP_PROP_N_THREADS),
            1,
        ]

    @property
    def frame_count(self) -> int:
        """The number of pictures by the header; below 1 if the stream has no end."""
        assert self._video is not None
        return int(self._video.get(cv2.CAP_PROP_FRAME_COUNT))

    def hand_over(self) -> cv2.VideoCapture:
        """Give up the open VideoCapture; the caller reads and releases it."""
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
        """Grab a picture. Raises SourceError: a timeout, the end, or no valid picture in time."""
        assert self._video is not None
        self.skipped = ends = 0
        limit_s = self._camera.read_timeout_s
        while True:
            asked = clock.now()
            taken = self._video.grab()
            now = clock.now()
            if now - asked >= limit_s * 0.98:
                # After a timeout the decoder flushes pictures it still holds; ignore `taken`.
                raise stream_errors.timeout(self._shown, "sent a picture", limit_s)
            if taken:
                self._is_empty = False
                return
            # A damaged picture takes time like any other; an end returns at once, repeatedly.
            ends = ends + 1 if now - asked < _AT_ONCE_S else 0
            if ends > _ENDS:
                raise stream_errors.ended(self._shown, self._is_empty)
            self.skipped += 1
            if now - started > limit_s:
                raise stream_errors.corrupt(self._shown, limit_s)

    def _position(self) -> float | None:
        """The time of the picture in seconds; None if it has none.

        JPEG over HTTP has no timestamps; FFmpeg invents them for 25 frames per second. Over RTSP
        OpenCV counts from the second picture, and reports 0 for the first one, too.
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
            self._suspicion.restart()  # OpenCV itself reports the new size
        elif id(view) in self._warm:
            self._suspicion.decoded(time.thread_time() - before_s)
        else:
            self._warm.add(id(view))
        return image

    # ---- size ----------------------------------------------------------------------------------

    def _follow_size(self) -> None:
        """Reopen the stream if the camera's pictures have another size than OpenCV returns."""
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
