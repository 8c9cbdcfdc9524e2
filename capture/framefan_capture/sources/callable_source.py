"""`py:file.py:name`: a camera that is a Python function of the user's.

The function is called without arguments. What it gives decides how it goes on:

    a generator, or anything to iterate over    each of its items is a picture, until its end
    a picture                                   it is called again for each further one
    None                                        the end

A picture is an array [H,W,3] BGR, [H,W,4], [H,W,1] or [H,W] of uint8, uint16 or floats to 1, alone
or as `(array, seconds)` with the time on the camera's own clock. It is copied before the next one
is asked for, so the same array may be used again.

The user's code runs in this process and may wait in it as long as it likes, like a decoder that
waits for a camera. Whatever it raises is told with the line of the user's file; then the iterator
is closed, and after a wait the function is called anew.
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
"""Letters of an error's text: some hold a whole page."""
_IS = "a picture is an array [H,W,3] of uint8 in BGR, or (array, seconds)"
_MOST_S = 1e12
"""Thirty thousand years; time.time_ns() is a million times as much."""


class CallingSource:
    is_recorded = is_exact = False

    def __init__(self, camera: CameraSettings) -> None:
        """Nothing is loaded yet: the user's file may do anything. Raises UsageError."""
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
        """Load the file, the first time; the function is called by `grab`. Raises StartError."""
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
        """What the user's code gives next. Raises what it raises, and StopIteration at its end."""
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
        """Array and seconds. Raises SourceError("source_failed") for what is no picture."""
        image, pts = item, None
        if isinstance(item, tuple) and len(item) == 2 and _is_number(item[1]):
            image, pts = item[0], self._seconds(item[1])
        if not isinstance(image, np.ndarray):
            raise self._no_picture(_what(item))
        return image, pts

    def retrieve(self, view: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
        del view  # the picture is there already; the caller copies
        assert self._image is not None
        try:
            return as_bgr(self._image)
        except SourceError:
            raise self._no_picture(shown(self._image)) from None

    def skip(self, frames: int) -> int:
        """A camera has no beginning to count from."""
        return frames

    def close(self) -> None:
        items, self._items, self._image = self._items, None, None
        close = getattr(items, "close", None)
        if not callable(close):
            return
        try:
            close()
        except (Exception, SystemExit) as error:  # noqa: BLE001 - nor may this keep us from closing
            logs.info(f"{self._name} raised while it was closed", why=self._told(error))

    # ---- errors --------------------------------------------------------------------------------

    def _failed(self, error: BaseException) -> SourceError:
        return SourceError("source_failed", self._told(error), fix="mend it")

    def _no_picture(self, what: str) -> SourceError:
        text = f"{self._path.name}: {self._name} gave {what}, which is no picture"
        return SourceError("source_failed", text, _IS, "mend it")

    def _seconds(self, value: Any) -> float | None:
        """Raises SourceError("source_failed") for a number that is no time."""
        if value is None:
            return None
        with contextlib.suppress(OverflowError):  # an int may be larger than any float
            if abs(seconds := float(value)) < _MOST_S:
                return seconds
        text = f"{self._path.name}: {self._name} gave a time of which nothing can be made"
        why = "the second value is seconds on the camera's own clock"
        raise SourceError("source_failed", text, why, "mend it")

    def _told(self, error: BaseException) -> str:
        return told(error, self._path)


def told(error: BaseException, path: Path) -> str:
    """`file.py:LINE: Type: message`, in one line and without the credentials of addresses."""
    line = userfile.line(error, path)
    place = path.name if line is None else f"{path.name}:{line}"
    said = source_spec.mask(" ".join(userfile.text(error).split()))
    if len(said) > _MOST_TEXT:
        said = f"{said[:_MOST_TEXT]}..."
    return f"{place}: {type(error).__name__}" + (f": {said}" if said else "")


def _is_iterable(given: Any) -> bool:
    """Whether what the function gave is many pictures; arrays and tuples are one."""
    return hasattr(given, "__iter__") and not isinstance(given, (np.ndarray, tuple, str, bytes))


def _is_number(value: Any) -> bool:
    if value is None:
        return True
    number = isinstance(value, (int, float, np.integer, np.floating))
    return number and not isinstance(value, bool)


def _what(item: Any) -> str:
    """The kind of thing it is, never what it holds."""
    if item is None:
        return "None"
    if isinstance(item, tuple):
        return f"({', '.join(_what(each) for each in item[:5])})"
    return shown(item) if isinstance(item, np.ndarray) else type(item).__name__


# ---- loading -------------------------------------------------------------------------------------


def load(path: Path, name: str) -> Callable[[], Any]:
    """The function of that name. Raises StartError."""
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
            "mend it, or install what it needs in the environment framefan runs in",
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
