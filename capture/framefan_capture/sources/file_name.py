"""File names for OpenCV, which accepts only UTF-8, while file names may have any bytes."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextlib.contextmanager
def name_for_opencv(path: Path) -> Iterator[str]:
    """Within the context, a name that OpenCV can open. Raises OSError if the file does not open."""
    with contextlib.ExitStack() as ends:
        try:
            name = os.fsencode(path.absolute()).decode()
        except UnicodeDecodeError:
            fd = os.open(path, os.O_RDONLY)
            ends.callback(os.close, fd)
            name = f"/dev/fd/{fd}"
        yield name
