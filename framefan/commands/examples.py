"""`framefan examples`: copies the examples and the demo's model to where they can be tried."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import framefan
from framefan.errors import EXIT_OK, UsageError

_HERE = Path(framefan.__file__).parent
_FOLDERS = (_HERE / "examples", _HERE.parent / "examples")
"""In an installed wheel, and in a checkout."""


def copy(target: str) -> int:
    """Copy the examples into a new folder and print what to try.

    Raises UsageError if the folder is there already, or cannot be written.
    """
    source = next(folder for folder in _FOLDERS if folder.is_dir())
    folder = Path(target)
    try:
        shutil.copytree(source, folder, ignore=shutil.ignore_patterns("__pycache__"))
    except FileExistsError as error:
        raise UsageError(
            f"{target} is there already", "nothing is overwritten", "name another folder"
        ) from error
    except OSError as error:
        raise UsageError(
            f"the examples cannot be copied to {target}",
            error.strerror or str(error),
            "name a folder that you may write to",
        ) from error
    sys.stdout.write(
        f"{target} holds the examples. For example:\n\n"
        f"  framefan run --predictor {folder / 'brightness.py'}:predict\n"
        f"  framefan run --predictor onnx:{folder / 'shapes' / 'shapes.onnx'} --track\n"
        f"  python {folder / 'client.py'}    while one of these runs\n"
    )
    return EXIT_OK
