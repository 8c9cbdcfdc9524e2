"""Edits: has the predictor's file, or one beside it that it loaded, changed on disk?

Twice a second time and size of each are looked at. A change counts once it has stood still for one
look, so that many quick saves are one, and half a file is none.
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
    """None while there is no such file: editors put a new one in the place of the old."""
    try:
        facts = os.stat(path)  # noqa: PTH116 - one call, half a microsecond
    except OSError:
        return None
    return Stamp(facts.st_mtime_ns, facts.st_size)


class FileWatch:
    """Files by path, as they were when they were last loaded."""

    def __init__(self, stamp: Callable[[str], Stamp | None] = stamp) -> None:
        self._stamp = stamp
        self._loaded: dict[str, Stamp | None] = {}
        self._seen: dict[str, Stamp | None] = {}
        self._due = 0.0

    def watch(self, paths: Iterable[str]) -> None:
        """These too; those that are known keep the stamp they had when they were loaded."""
        for path in paths:
            if path not in self._loaded:
                self._loaded[path] = self._stamp(path)

    def look(self, now: float) -> bool:
        """Whether they are to be loaded anew; true once for each change."""
        if now < self._due:
            return False
        self._due = now + LOOK_S
        there = {path: self._stamp(path) for path in self._loaded}
        before, self._seen = self._seen, there
        if there == self._loaded or there != before or None in there.values():
            return False
        self._loaded = there
        return True
