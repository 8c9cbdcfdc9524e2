"""Python files of the user's: how one is loaded, and what is said of what it raises.

Predictors and `py:` sources are such files. They run in a process of ours, so everything they raise
is told with the line of theirs that it comes from, and none of ours.
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

_OURS = ("framefan_inference", "framefan_capture", "importlib", __file__)
_LIBRARY = sysconfig.get_path("stdlib")


def reach(folder: str) -> None:
    """Have modules in this folder found, behind Python's own and all that is installed.

    Its `secrets.py` or `cv2.py` would break whoever imports the real one.
    """
    if folder not in sys.path:
        sys.path.append(folder)


def load(path: Path) -> ModuleType:
    """The file as a module. Raises whatever the file raises; OSError where there is none.

    It may be loaded again, as a camera that fails is tried again: nothing of before is left over.
    """
    if path.stem in sys.stdlib_module_names or hasattr(sys.modules.get(path.stem), "__path__"):
        raise ImportError(f"{path.name} has the name of a module that Python uses: rename it")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    reach(str(path.parent))  # so that it can import its neighbours
    sys.modules[path.stem] = module  # dataclasses look their module up there
    try:
        spec.loader.exec_module(module)
    except BaseException:  # whatever the user's file raises: half a module is of no use
        sys.modules.pop(path.stem, None)
        raise
    return module


def text(error: BaseException) -> str:
    """What the error says of itself; the user's own class may fail at that too."""
    try:
        return str(error)
    except Exception as problem:  # noqa: BLE001 - whatever their __str__ raises
        return f"its text cannot be had: {type(problem).__name__}"


def told(error: BaseException) -> str:
    """What the error says and where in the user's code it was raised."""
    return text(error) + where(error)


def where(error: BaseException) -> str:
    """` (file.py, line 12, in predict)`: the innermost line of the user's.

    A library's line is named only where none of the user's led to it: theirs is what they can mend.
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
    """Python's own code, or a package's; `<frozen ...>` and `<string>` are no file to open."""
    return filename.startswith(("<", _LIBRARY)) or bool(
        {"site-packages", "dist-packages"} & set(Path(filename).parts)
    )


def place(call: object) -> str:
    """` (file.py, line 12, in predict)`: where a function or method begins; empty when unknown."""
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
    """The innermost line of that very file, whatever libraries it called; None: none of it."""
    name = str(path.absolute())
    if isinstance(error, SyntaxError) and error.filename == name:
        return error.lineno
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        if frame.filename == name:
            return frame.lineno
    return None
