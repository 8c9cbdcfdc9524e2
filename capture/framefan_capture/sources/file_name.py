"""File names for OpenCV, which takes UTF-8 only, while a file may be called by any bytes."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def name_for_opencv(path: Path) -> Iterator[str]:
    """A name by which OpenCV can open the file meanwhile. Raises OSError where nobody can."""
    with contextlib.ExitStack() as ends:
        try:
            name = os.fsencode(path.absolute()).decode()
        except UnicodeDecodeError:
            fd = os.open(path, os.O_RDONLY)
            ends.callback(os.close, fd)
            name = f"/dev/fd/{fd}"
        yield name
