"""`py:file.py:name`: a camera that is a Python function of the user's.

The function is called without arguments. What it returns decides how to continue:

    a generator or another iterable    each of its items is a picture, until its end
    a picture                          the function is called again for the next one
    None                               the end

A picture is an array [H,W,3] BGR, [H,W,4], [H,W,1] or [H,W] of uint8, uint16 or floats up to 1,
alone or as `(array, seconds)` with the time on the camera's own clock. It is copied before the next
one is requested, so the user may reuse the array.

The user's code runs in this process and may block it, like a decoder that waits for a camera. If it
raises, the error is reported with the line of the user's file, the iterator is closed, and after a
wait the function is called again.
"""

from __future__ import annotations

import contextlib
import inspect
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from framefan.base import logs, userfile
from framefan.errors import SourceError, StartError
from framefan.settings import source_spec
from framefan_capture.sources.pixels import as_bgr, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from framefan.settings.run import CameraSettings

_MOST_TEXT = 300
"""The greatest length of an error's text; some contain a whole page."""
_IS = "a picture is an array [H,W,3] of uint8 in BGR, or (array, seconds)"
_MOST_S = 1e12
"""In seconds: thirty thousand years. time.time_ns() is a million times as much."""


class CallingSource:
    is_recorded = is_exact = False

    def __init__(self, camera: CameraSettings) -> None:
        """Does not load the user's file yet. Raises UsageError."""
        path, self._name = source_spec.target(camera.source.reveal())
        self._path = Path(path).expanduser()
        self._function: Callable[[], Any] | None = None
        self._items: Iterator[Any] | None = None
        self._image: NDArray[Any] | None = None
        self.skipped = 0
        self.stale = False
        self.pts: float | None = None

    @property
    def due(self) -> float:
        return 0.0

    def open(self) -> None:
        """Load the file the first time; `grab` calls the function. Raises StartError."""
        if self._function is None:
            self._function = load(self._path, self._name)

    def grab(self, frame: int) -> bool:
        del frame  # only the demo scene shows its number
        try:
            item = self._next()
        except StopIteration:
            return False
        except (Exception, SystemExit) as error:  # the user's code may raise anything
            raise self._failed(error) from error
        self._image, self.pts = self._picture(item)
        return True

    def _next(self) -> Any:
        """The next item of the user's code. Raises what it raises, and StopIteration at its end."""
        assert self._function is not None
        if self._items is not None:
            return next(self._items)
        given = self._function()
        if given is None:
            raise StopIteration
        if _is_iterable(given):
            self._items = iter(given)
            return next(self._items)
        return given

    def _picture(self, item: Any) -> tuple[NDArray[Any], float | None]:
        """Array and seconds. Raises SourceError("source_failed") if the item is not a picture."""
        image, pts = item, None
        if isinstance(item, tuple) and len(item) == 2 and _is_number(item[1]):
            image, pts = item[0], self._seconds(item[1])
        if not isinstance(image, np.ndarray):
            raise self._no_picture(_what(item))
        return image, pts

    def retrieve(self, view: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
        del view  # the picture is an array already; the caller copies it
        assert self._image is not None
        try:
            return as_bgr(self._image)
        except SourceError:
            raise self._no_picture(shown(self._image)) from None

    def skip(self, frames: int) -> int:
        """Nothing to skip: a camera has no beginning."""
        return frames

    def close(self) -> None:
        items, self._items, self._image = self._items, None, None
        close = getattr(items, "close", None)
        if not callable(close):
            return
        try:
            close()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - closing must not fail either
            logs.info(f"{self._name} raised while it was closed", why=self._told(error))

    # ---- errors --------------------------------------------------------------------------------

    def _failed(self, error: BaseException) -> SourceError:
        return SourceError("source_failed", self._told(error), fix="fix that line")

    def _no_picture(self, what: str) -> SourceError:
        text = f"{self._path.name}: {self._name} gave {what}, which is no picture"
        return SourceError("source_failed", text, _IS, "yield or return such pictures")

    def _seconds(self, value: Any) -> float | None:
        """Convert a time. Raises SourceError("source_failed") for an invalid one."""
        if value is None:
            return None
        with contextlib.suppress(OverflowError):  # an int may be larger than any float
            if abs(seconds := float(value)) < _MOST_S:
                return seconds
        text = f"{self._path.name}: {self._name} gave an invalid time"
        why = "the second value is seconds on the camera's own clock"
        raise SourceError("source_failed", text, why, "give the time in seconds, or leave it out")

    def _told(self, error: BaseException) -> str:
        return told(error, self._path)


def told(error: BaseException, path: Path) -> str:
    """Format an error as `file.py:LINE: Type: message`, in one line and without credentials."""
    line = userfile.line(error, path)
    place = path.name if line is None else f"{path.name}:{line}"
    said = source_spec.mask(" ".join(userfile.text(error).split()))
    if len(said) > _MOST_TEXT:
        said = f"{said[:_MOST_TEXT]}..."
    return f"{place}: {type(error).__name__}" + (f": {said}" if said else "")


def _is_iterable(given: Any) -> bool:
    """Whether the function returned an iterable of pictures; an array or tuple is one picture."""
    return hasattr(given, "__iter__") and not isinstance(given, (np.ndarray, tuple, str, bytes))


def _is_number(value: Any) -> bool:
    if value is None:
        return True
    number = isinstance(value, (int, float, np.integer, np.floating))
    return number and not isinstance(value, bool)


def _what(item: Any) -> str:
    """Describe the type of an item, never its content."""
    if item is None:
        return "None"
    if isinstance(item, tuple):
        return f"({', '.join(_what(each) for each in item[:5])})"
    return shown(item) if isinstance(item, np.ndarray) else type(item).__name__


# ---- loading -------------------------------------------------------------------------------------


def load(path: Path, name: str) -> Callable[[], Any]:
    """Load the file and return the function. Raises StartError."""
    if not path.is_file():
        raise StartError(
            f"the file {path} of a py: source does not exist",
            f"looked in {Path.cwd()}",
            "check the path",
        )
    try:
        module = userfile.load(path)
    except (Exception, SystemExit) as error:  # the user's file may raise anything while it loads
        raise StartError(
            f"the file {path} of a py: source does not import",
            told(error, path),
            "fix it, or install what it needs in the environment that framefan runs in",
        ) from error
    if not hasattr(module, name):
        public = [each for each, value in vars(module).items() if _is_candidate(each, value)]
        raise StartError(
            f'"{path}" has no "{name}"',
            f"it has: {', '.join(public) or 'no function of its own'}",
            f"use py:{path}:NAME with one of these names",
        )
    return _checked(path, name, getattr(module, name))


def _checked(path: Path, name: str, function: Any) -> Callable[[], Any]:
    if not callable(function):
        raise StartError(
            f"{name} of {path} cannot be called",
            f"it is {_what(function)}",
            "name a function that yields pictures",
        )
    try:
        inspect.signature(function).bind()
    except ValueError:  # a C function without a signature
        pass
    except TypeError as error:
        line = getattr(getattr(function, "__code__", None), "co_firstlineno", None)
        raise StartError(
            f"{name} of {path} cannot be called without arguments",
            f"{path.name}:{line}: {error}" if line else str(error),
            "give its parameters defaults, or wrap it in a function without any",
        ) from error
    return function  # type: ignore[no-any-return]


def _is_candidate(name: str, value: Any) -> bool:
    return not name.startswith("_") and (inspect.isfunction(value) or inspect.isclass(value))
