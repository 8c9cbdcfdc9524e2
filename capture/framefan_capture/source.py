"""Sources: everything a camera can be, behind one small protocol.

The camera's loop calls `open`, then for each frame `grab` (take the next picture, cheap where the
source allows it) and, if it has room for the picture, `retrieve` (decode it, straight into the slot
where its size fits). `due` says when the next grab makes sense: files, patterns and the demo scene
play at their own speed, while a network camera is always due and blocks in `grab`. Those that have
a beginning can `skip` from there what was seen in an earlier life.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np

from framefan import clock, patterns
from framefan.demo import parse_demo
from framefan.errors import SourceError
from framefan.sources import printable
from framefan_capture.file_name import name_for_opencv
from framefan_capture.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from framefan.settings import CameraSettings
    from framefan.sources import Kind

PATTERN_FPS = 30.0
AS_IT_IS = cv2.IMREAD_ANYCOLOR | cv2.IMREAD_ANYDEPTH
"""Turned upright as its camera says (EXIF), grey and 16 bits as they are."""
_STILL = (".jpg", ".jpeg", ".jpe", ".png", ".bmp", ".tif", ".tiff", ".webp")
"""Endings of images. Other files may hold several: a GIF, or JPEG after JPEG."""
_FULL_SCALE = {
    np.dtype(np.uint8): 1.0,
    np.dtype(np.uint16): 1 / 257,
    np.dtype(np.float16): 255.0,
    np.dtype(np.float32): 255.0,
    np.dtype(np.float64): 255.0,
}
"""The formats of pictures, and what brings them to 0..255."""
_CATCH_UP_S = 1.0


class Opened(Protocol):
    """What gives pictures. Errors are SourceError with a reason of the camera's state table."""

    skipped: int
    """Pictures the last `grab` passed over because they were damaged."""
    stale: bool
    """The last grabbed picture is an old one, that was kept while nobody read."""
    pts: float | None
    """Seconds on the source's own clock of the last grabbed picture, where it has one."""

    @property
    def is_recorded(self) -> bool:
        """Of an address that is open: it turned out to have an end, and waits for its reader."""
        ...

    @property
    def due(self) -> float:
        """When the next `grab` makes sense, on clock.now; in the past: at once."""
        ...

    def grab(self, frame: int) -> bool:
        """Take the next picture, to be known as `frame`; False at the end of the source."""
        ...

    def retrieve(self, view: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
        """The grabbed picture, `uint8[H,W,3]` BGR: `view` itself where it could be decoded into it.

        Raises SourceError("corrupt") when this picture cannot be decoded, "unsupported" when it
        cannot be turned into BGR.
        """
        ...

    def skip(self, frames: int) -> int:
        """Right after `open`: pass over pictures, damaged ones included; answers how many.

        It may be fewer, so that nobody waits long: ask again for the rest. 0: there are no more.
        """
        ...

    def close(self) -> None: ...


class Source(Opened, Protocol):
    """`open` raises SourceError, too."""

    @property
    def is_exact(self) -> bool:
        """`skip` leads to the very picture, and each is decoded by itself."""
        ...

    def open(self) -> None: ...


class Pacer:
    """Due times of a source that plays at its own speed; a pure function of the times it is told.

    A reader that is a little late catches up by not waiting. One that is a second late, because
    nobody wanted frames or the machine slept, goes on from now: no burst of stale pictures.
    """

    def __init__(self, *, fast: bool) -> None:
        self._fast = fast
        self._due = -math.inf

    @property
    def due(self) -> float:
        return self._due

    def passed(self, now: float, interval_s: float) -> None:
        """A frame was taken at `now`; the next one follows it by `interval_s`."""
        if self._fast:
            return
        late = now - self._due
        self._due = (now if late > _CATCH_UP_S else self._due) + interval_s


class DemoSource:
    """The demo scene. Its picture shows the very number that the frame has in the stream."""

    is_recorded = is_exact = False

    def __init__(self, camera: CameraSettings) -> None:
        """Raises UsageError for an option the scene does not have."""
        self._options = parse_demo(camera.source.reveal())
        self._pacer = Pacer(fast=camera.fast)
        self._frame = 0
        self._left = 0
        self.skipped = 0
        self.stale = False
        self.pts: float | None = None

    @property
    def due(self) -> float:
        return self._pacer.due

    def open(self) -> None:
        options = self._options
        self._scene = Scene(options.width, options.height, options.seed)
        self._left = options.frames

    def grab(self, frame: int) -> bool:
        if self._options.frames:
            if not self._left:
                return False
            self._left -= 1
        self._frame = frame
        self.pts = frame / self._options.fps
        self._pacer.passed(clock.now(), 1 / self._options.fps)
        return True

    def skip(self, frames: int) -> int:
        if not self._options.frames:
            return frames
        skipped = min(frames, self._left)
        self._left -= skipped
        return skipped

    def retrieve(self, view: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
        shape = (self._scene.height, self._scene.width, 3)
        if view is None or view.shape != shape:
            view = np.empty(shape, np.uint8)
        self._scene.draw(self._frame, view)
        return view

    def close(self) -> None:
        pass


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
        del view  # sizes differ from image to image; the caller copies
        path = self._paths[self._next - 1]
        try:
            with name_for_opencv(path) as name:
                image = cv2.imread(name, AS_IT_IS)
        except (cv2.error, MemoryError, OSError):  # its header claims more than there can be
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


def decoded(data: bytes, what: str) -> NDArray[np.uint8]:
    """An image file's bytes as `uint8[H,W,3]` BGR, with the very pixels that the file would give.

    Raises SourceError: "corrupt", with `what` it is, or "unsupported".
    """
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), AS_IT_IS)
    except (cv2.error, MemoryError):  # its header claims more than there can be
        image = None
    if image is None:
        raise SourceError("corrupt", f"{what} is no image that OpenCV reads")
    return as_bgr(image)


def as_bgr(image: NDArray[Any]) -> NDArray[np.uint8]:
    """A picture as `uint8[H,W,3]` BGR: also grey, with alpha, of 16 bits, or of floats to 1.

    Raises SourceError("unsupported") for any other.
    """
    channels = 1 if image.ndim == 2 else image.shape[2] if image.ndim == 3 else 0
    if channels not in (1, 3, 4) or not image.size or image.dtype not in _FULL_SCALE:
        raise SourceError(
            "unsupported",
            f"a picture of the format {shown(image)}",
            "framefan takes uint8, uint16 and floats of 1, 3 or 4 channels",
        )
    if image.dtype != np.uint8:
        wide = image.astype(np.float32) if image.dtype == np.float16 else image
        image = cv2.convertScaleAbs(wide, alpha=_FULL_SCALE[image.dtype])
    if channels == 1:
        image = cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
    elif channels == 4:
        image = cv2.cvtColor(image, cv2.COLOR_BGRA2BGR)
    return np.asarray(image, np.uint8)


def shown(image: NDArray[Any]) -> str:
    """The format of an array for people: `int64[480,640,3]`."""
    return f"{image.dtype}{list(image.shape)}".replace(" ", "")


def make(camera: CameraSettings) -> Source:
    """The source of a camera, not yet opened.

    Raises UsageError for what framefan does not open.
    """
    from framefan_capture.calling import CallingSource
    from framefan_capture.http_camera import HttpSource
    from framefan_capture.network import NetworkSource
    from framefan_capture.pipe import PipeSource
    from framefan_capture.video import FileSource, WebcamSource

    makers: dict[Kind, Callable[[CameraSettings], Source]] = {
        "demo": DemoSource,
        "pattern": PatternSource,
        "file": FileSource,
        "webcam": WebcamSource,
        "rtsp": NetworkSource,
        "http": HttpSource,
        "callable": CallingSource,
    }
    spec = camera.source.spec
    if spec.kind == "file" and Path(spec.value).is_fifo():
        return PipeSource(camera)
    if spec.kind == "file" and is_still(Path(spec.value)):
        return PatternSource(camera)
    return makers[spec.kind](camera)


def is_still(path: Path) -> bool:
    """Whether a file is one image, by its name and by what is in it."""
    if path.suffix.lower() not in _STILL or not path.is_file():
        return False
    try:
        with name_for_opencv(path) as name:
            return cv2.haveImageReader(name)
    except (cv2.error, OSError):
        return False
