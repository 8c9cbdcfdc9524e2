"""HTTP cameras: the response decides the kind of source, never the URL.

    multipart, or a body that begins like one    JPEG after JPEG, parsed here (JpegParts)
    JPEG without a length                        the same
    an image                                     requested repeatedly (Snapshots)
    a playlist (HLS), or video with an end       by OpenCV, at its own speed (HttpVideo)
    any other video                              by OpenCV, as fast as it comes (NetworkSource)

OpenCV opens URLs itself, so the first time the URL is requested twice. Once it is known to be for
OpenCV, it is requested only once.
"""

from __future__ import annotations

import contextlib
import re
import time
from collections import deque
from typing import TYPE_CHECKING

import cv2

from framefan.base import clock
from framefan.errors import SourceError
from framefan.settings import source_url
from framefan_capture.network import probe, request, stream_errors
from framefan_capture.network.http_body import Body
from framefan_capture.network.multipart import MOST_BYTES, JpegStream
from framefan_capture.network.opencv_stream import NetworkSource
from framefan_capture.network.stale_detector import StaleDetector
from framefan_capture.sources.pixels import decoded
from framefan_capture.sources.video import PacedVideo

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from framefan.settings.run import CameraSettings
    from framefan.settings.source_url import SourceUrl
    from framefan_capture.network.multipart import Part
    from framefan_capture.network.request import Reached
    from framefan_capture.source import Opened

SNAPSHOT_FPS = 2.0
"""How many snapshots per second are requested if max_fps is not set."""
_BOUNDARY = re.compile(r'boundary="?([^";,\s]+)', re.IGNORECASE)
_FIRST_BYTES = 8
_JPEG = b"\xff\xd8\xff"
_SHORT = 0.05
"""A recorded video was interrupted if it lacks more than this share and more than a second."""


class Reply:
    """A response whose body is read as it arrives."""

    def __init__(self, reached: Reached) -> None:
        self.talk, self.answer, self.challenges = reached
        self.kind = self.answer.first("content-type").partition(";")[0].strip().lower()
        self.body = Body(self.answer, is_endless=self.kind.startswith("multipart/"))
        self._first = b""

    def begins(self, until: float) -> bytes:
        """Peek at the first bytes. Raises TimeoutError."""
        while len(self._first) < _FIRST_BYTES and (data := self._more(until)):
            self._first += data
        return self._first

    def read(self, until: float) -> bytes:
        """Read the next bytes; empty at the end. Raises TimeoutError."""
        if self._first:
            data, self._first = self._first, b""
            return data
        return self._more(until)

    def _more(self, until: float) -> bytes:
        data = b""
        try:
            while not (data or self.body.is_over):
                received = self.talk.receive(until)
                if not received:
                    break
                data = self.body.feed(received)
        except TimeoutError:
            raise
        except OSError:
            return b""
        return data

    def close(self) -> None:
        self.talk.close()


class HttpSource:
    """The source for an HTTP URL; its kind is known once it is open."""

    is_exact = False

    def __init__(self, camera: CameraSettings) -> None:
        """Raises UsageError for an incomplete or ambiguous URL."""
        self._camera = camera
        self._url = source_url.checked(camera.source.spec.value)
        self._is_for_opencv = self._is_playlist = False
        self._found: Opened | None = None
        self.skipped = 0
        self.stale = False
        self.pts: float | None = None

    @property
    def due(self) -> float:
        return self._found.due if self._found else 0.0

    @property
    def is_recorded(self) -> bool:
        return self._found is not None and self._found.is_recorded

    def open(self) -> None:
        until = clock.now() + self._camera.open_timeout_s
        reply = None if self._is_for_opencv else self._asked(until)
        self._found = self._read_here(reply, until) if reply else None
        if self._found is None:
            self._found = self._by_opencv(until)

    def _asked(self, until: float) -> Reply | None:
        """Request the URL; None if the response is not HTTP: OpenCV may still open it.

        Raises SourceError.
        """
        reached = request.reach_answer(self._url, until)
        if reached is None:
            return None
        if reached.answer.status != 200:
            reached.talk.close()
            raise probe.verdict(self._url, reached.answer)
        return Reply(reached)

    def _read_here(self, reply: Reply, until: float) -> Opened | None:
        """The source for a response with JPEGs; None for anything else. Raises SourceError."""
        try:
            is_multipart = reply.kind.startswith("multipart/")
            first = b"" if is_multipart else reply.begins(until)
        except TimeoutError:
            reply.close()
            limit_s = self._camera.open_timeout_s
            raise stream_errors.timeout(str(self._camera.source), "opened", limit_s) from None
        if is_multipart or first.lstrip().startswith(b"--"):
            return JpegParts(self._camera, reply)
        is_jpeg, has_length = first.startswith(_JPEG), reply.body.length is not None
        if reply.kind.startswith("image/") or (is_jpeg and has_length and not reply.kind):
            return Snapshots(self._camera, self._url, reply)
        if is_jpeg and not has_length:
            return JpegParts(self._camera, reply)
        self._is_playlist = "mpegurl" in reply.kind or first.startswith(b"#EXTM3U")
        reply.close()
        return None

    def _by_opencv(self, until: float) -> Opened:
        video = NetworkSource(self._camera)
        self._is_for_opencv = False
        video.open(until)
        self._is_for_opencv = True
        frames = video.frame_count
        if frames > 0 or self._is_playlist:
            return HttpVideo(self._camera, video.hand_over(), frames)
        return video

    def grab(self, frame: int) -> bool:
        assert self._found is not None
        taken = self._found.grab(frame)
        self.skipped, self.stale = self._found.skipped, self._found.stale
        self.pts = self._found.pts
        return taken

    def retrieve(self, view: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
        assert self._found is not None
        return self._found.retrieve(view)

    def skip(self, frames: int) -> int:
        assert self._found is not None
        return self._found.skip(frames)

    def close(self) -> None:
        if self._found is not None:
            self._found.close()
            self._found = None


class _Jpegs:
    """The base of streams and snapshots: the bytes of one picture, decoded on demand."""

    is_recorded = False
    due = 0.0

    def __init__(self, camera: CameraSettings, reply: Reply) -> None:
        self._camera = camera
        self._shown = str(camera.source)
        self._reply = reply
        self._picture = b""
        self.skipped = 0
        self.stale = False
        self.pts: float | None = None
        """HTTP has no timestamps."""

    def retrieve(self, view: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
        del view  # OpenCV decodes bytes only into an array of its own
        return decoded(self._picture, f"a picture of {self._shown}")

    def skip(self, frames: int) -> int:
        """Nothing to skip: there is no beginning."""
        return frames

    def close(self) -> None:
        self._reply.close()


class JpegParts(_Jpegs):
    """JPEG after JPEG in one endless response."""

    def __init__(self, camera: CameraSettings, reply: Reply) -> None:
        super().__init__(camera, reply)
        told = _BOUNDARY.search(reply.answer.first("content-type"))
        self._stream = JpegStream(told[1] if told else "")
        self._waiting: deque[Part] = deque()
        self._rhythm = StaleDetector()
        self._is_empty = True

    def grab(self, frame: int) -> bool:
        del frame  # only the demo scene shows its number
        started, cpu_s = clock.now(), time.thread_time()
        self._picture, self.skipped = self._next(started + self._camera.read_timeout_s)
        self._is_empty = False
        now = clock.now()
        self._rhythm.came(now, now - started - (time.thread_time() - cpu_s))
        self.stale = self._rhythm.is_stale
        return True

    def _next(self, until: float) -> Part:
        """The next picture. Raises SourceError: a timeout, the end, or no valid picture in time."""
        limit_s = self._camera.read_timeout_s
        while not self._waiting:
            try:
                data = self._reply.read(until)
            except TimeoutError:
                if not self._stream.damaged:
                    raise stream_errors.timeout(self._shown, "sent a picture", limit_s) from None
                if self._is_empty:
                    raise stream_errors.no_picture(self._shown) from None
                raise stream_errors.corrupt(self._shown, limit_s) from None
            if not data:
                raise stream_errors.ended(self._shown, self._is_empty)
            self._waiting.extend(self._stream.feed(data))
        return self._waiting.popleft()


class Snapshots(_Jpegs):
    """One picture per response, requested at a fixed rate, over the same connection if possible."""

    def __init__(self, camera: CameraSettings, url: SourceUrl, reply: Reply) -> None:
        super().__init__(camera, reply)
        self._url = url
        self._interval_s = 1 / (camera.max_fps or SNAPSHOT_FPS)
        self.due = 0.0
        self._asked = 1
        self._is_fresh = True
        """Whether the current response has not been read yet."""

    def grab(self, frame: int) -> bool:
        del frame  # only the demo scene shows its number
        now = clock.now()
        is_late = now - self.due > self._interval_s
        self.due = (now if is_late else self.due) + self._interval_s
        limit_s = self._camera.read_timeout_s
        try:
            if not self._is_fresh:
                self._reply = self._next(now + limit_s)
            self._is_fresh = False
            self._picture = self._whole(now + limit_s)
        except TimeoutError:
            raise stream_errors.timeout(self._shown, "sent a picture", limit_s) from None
        return True

    def _next(self, until: float) -> Reply:
        """Request the next picture. Raises SourceError."""
        self._asked += 1
        before = self._reply
        reply = self._asked_again(until)
        if reply is not None:
            return reply
        before.close()
        challenges = before.challenges if before.talk.url == self._url else []
        reached = request.reach_answer(self._url, until, challenges, self._asked)
        if reached is None or reached.answer.status != 200:
            if reached is not None:
                reached.talk.close()
            raise probe.verdict(self._url, reached.answer if reached else None)
        if reached.challenges != challenges:
            self._asked = 1
        return Reply(reached)

    def _asked_again(self, until: float) -> Reply | None:
        """Request over the open connection; None if that is not possible (any more)."""
        talk, challenges = self._reply.talk, self._reply.challenges
        is_closing = "close" in self._reply.answer.first("connection").lower()
        if is_closing or not self._reply.body.is_over:
            return None
        proof = request.proof(talk.url, challenges, self._asked)
        with contextlib.suppress(OSError, SourceError):
            answer = talk.ask(proof, until)
            if answer is not None and answer.status == 200:
                return Reply(request.Reached(talk, answer, challenges))
        return None

    def _whole(self, until: float) -> bytes:
        """The complete body; empty if it is cut off. Raises TimeoutError."""
        reply = self._reply
        is_jpeg = reply.begins(until).startswith(_JPEG)
        stream, picture = JpegStream(), bytearray()
        while data := reply.read(until):
            if is_jpeg and (parts := stream.feed(data)):
                return parts[0].picture
            picture += data
            if len(picture) > MOST_BYTES:
                break
        is_cut = is_jpeg or (reply.body.length is not None and not reply.body.is_over)
        return b"" if is_cut else bytes(picture)


class HttpVideo(PacedVideo):
    """Video that is played at its own speed: of an HLS playlist, or with an end.

    The segments of a playlist come in bursts with seconds in between. Played by the times of its
    pictures, it is smooth.
    """

    retries = 30

    def __init__(self, camera: CameraSettings, video: cv2.VideoCapture, frames: int) -> None:
        """`video` was just opened; `frames`: its frame count by the header; below 1: unknown."""
        super().__init__(camera)
        self._shown = str(camera.source)
        self._begin(video)
        self.is_recorded = frames > 0
        self._length_s = frames * self._interval_s

    def grab(self, frame: int) -> bool:
        del frame  # only the demo scene shows its number
        if self._advance():
            self._took()
            return True
        if not self._seen or not self.is_recorded or self._is_short:
            raise stream_errors.ended(self._shown, not self._seen)
        return False

    def _advance(self) -> bool:
        """As in `OpenCvSource`. Raises SourceError if nothing came within the time limit."""
        limit_s = self._camera.read_timeout_s
        try:
            return self._advance_within(limit_s)
        except TimeoutError:
            raise stream_errors.timeout(self._shown, "sent a picture", limit_s) from None

    @property
    def _is_short(self) -> bool:
        """Whether the connection broke: more is missing than a wrong header explains."""
        missing_s = self._length_s - self._position_s
        return missing_s > max(1.0, self._length_s * _SHORT)
