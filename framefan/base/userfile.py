"""The user's Python files: loading them, and reporting the errors that they raise.

Predictors and `py:` sources are such files. They run in a framefan process, so an error is reported
with the line of the user's code that it comes from, not with a line of framefan.
"""

from __future__ import annotations

import functools
import importlib.util
import inspect
import sys
import sysconfig
import traceback
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from types import ModuleType

_CHAIN = str(Path(__file__).parents[1] / "predictors.py")
_OURS = ("framefan_inference", "framefan_capture", "importlib", __file__, _CHAIN)
_LIBRARY = sysconfig.get_path("stdlib")


def reach(folder: str) -> None:
    """Append this folder to the search path, after the standard library and installed packages.

    Otherwise a `secrets.py` or `cv2.py` in the folder would shadow the real module.
    """
    if folder not in sys.path:
        sys.path.append(folder)


def load(path: Path) -> ModuleType:
    """Load the file as a module. Raises what the file raises, or OSError if it does not exist.

    A file may be loaded again, for example when a failed camera is retried. Each load starts fresh.
    """
    if path.stem in sys.stdlib_module_names or hasattr(sys.modules.get(path.stem), "__path__"):
        raise ImportError(f"{path.name} has the name of a Python module: rename the file")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    reach(str(path.parent))  # so that it can import its neighbours
    sys.modules[path.stem] = module  # dataclasses look up their module there
    try:
        spec.loader.exec_module(module)
    except BaseException:  # whatever the user's file raises: do not keep a partial module
        sys.modules.pop(path.stem, None)
        raise
    return module


def text(error: BaseException) -> str:
    """The error's message; guards against a user's `__str__` that raises."""
    try:
        return str(error)
    except Exception as problem:  # noqa: BLE001 - the user's __str__ may raise anything
        return f"its __str__ raised {type(problem).__name__}"


def told(error: BaseException) -> str:
    """The error's message, and where in the user's code it was raised."""
    return text(error) + where(error)


def where(error: BaseException) -> str:
    """` (file.py, line 12, in predict)`: the innermost line of the user's code.

    A library's line is named only if no user code led to it: users can fix only their own code.
    """
    frames = [
        frame
        for frame in reversed(traceback.extract_tb(error.__traceback__))
        if not any(ours in frame.filename for ours in _OURS)
    ]
    for frame in [each for each in frames if not _is_installed(each.filename)] or frames[:1]:
        return f" ({Path(frame.filename).name}, line {frame.lineno}, in {frame.name})"
    return ""


def _is_installed(filename: str) -> bool:
    """Whether this is code of Python or of a package; `<string>` and the like count as such."""
    return filename.startswith(("<", _LIBRARY)) or bool(
        {"site-packages", "dist-packages"} & set(Path(filename).parts)
    )


def place(call: object) -> str:
    """` (file.py, line 12, in predict)`: where a function or method begins; empty if unknown."""
    while isinstance(call, functools.partial):
        call = call.func
    for each in (call, vars(type(call)).get("__call__")):
        code = getattr(inspect.unwrap(each), "__code__", None) if callable(each) else None
        if isinstance(code, CodeType):
            return (
                f" ({Path(code.co_filename).name}, line {code.co_firstlineno}, in {code.co_name})"
            )
    return ""


def line(error: BaseException, path: Path) -> int | None:
    """The innermost line of that file in the traceback; None if there is none."""
    name = str(path.absolute())
    if isinstance(error, SyntaxError) and error.filename == name:
        return error.lineno
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename == name:
            return frame.lineno
    return None
