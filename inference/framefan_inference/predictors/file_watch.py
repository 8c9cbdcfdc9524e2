"""Detects edits of the predictor's file and of the files in its folder that it loaded.

The modification time and size of each file are checked twice a second. A change counts when the
next check finds no further change. So several quick saves are one change, and a half-written file
is not loaded.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

LOOK_S = 0.5


class Stamp(NamedTuple):
    mtime_ns: int
    size: int


def stamp(path: str) -> Stamp | None:
    """None while the file does not exist: editors replace files."""
    try:
        facts = os.stat(path)  # noqa: PTH116 - one call, half a microsecond
    except OSError:
        return None
    return Stamp(facts.st_mtime_ns, facts.st_size)


class FileWatch:
    """The stamps of files by path, from when they were last loaded."""

    def __init__(self, stamp: Callable[[str], Stamp | None] = stamp) -> None:
        self._stamp = stamp
        self._loaded: dict[str, Stamp | None] = {}
        self._seen: dict[str, Stamp | None] = {}
        self._due = 0.0

    def watch(self, paths: Iterable[str]) -> None:
        """Watch these files too; files already watched keep their stamp."""
        for path in paths:
            if path not in self._loaded:
                self._loaded[path] = self._stamp(path)

    def look(self, now: float) -> bool:
        """Whether the files must be loaded again; True once for each change."""
        if now < self._due:
            return False
        self._due = now + LOOK_S
        there = {path: self._stamp(path) for path in self._loaded}
        before, self._seen = self._seen, there
        if there == self._loaded or there != before or None in there.values():
            return False
        self._loaded = there
        return True
