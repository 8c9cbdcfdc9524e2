"""Image patterns: which files `shots/img_%04d.png`, `shots/*.jpg` or `**/*.jpg` names, in order."""

from __future__ import annotations

import fnmatch
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_NUMBER = re.compile(r"%0?(\d*)d")
_MARK = "\ue000"
"""Placeholder for `%d` while a name is translated; it has no meaning in a pattern."""


def is_pattern(text: str) -> bool:
    return "*" in text or bool(_NUMBER.search(text))


def matching(pattern: Path) -> list[Path]:
    """The matching files, ordered by their numbers if the pattern contains `%d`, else by name.

    `*` and `%d` may also be in folder names, and `**` matches folders of any depth. If nothing
    matches, the pattern is tried again without regard to case: then `*.jpg` finds `A.JPG`.
    """
    for flags in (0, re.IGNORECASE):
        found = sorted(_found(pattern, flags))
        if found:
            return [path for _, path in found]
    return []


def folder(pattern: Path) -> Path:
    """The folder to search: the path before the first part with a `*` or a number."""
    parts = pattern.parts
    first = next((at for at, part in enumerate(parts) if is_pattern(part)), len(parts))
    return Path(*parts[:first])


def _found(pattern: Path, flags: int) -> Iterator[tuple[tuple[int, ...], Path]]:
    base = folder(pattern)
    steps = pattern.parts[len(base.parts) :]
    for numbers, path in _below(base, steps, flags):
        if path.is_file():
            yield numbers, path


def _below(
    base: Path, parts: tuple[str, ...], flags: int
) -> Iterator[tuple[tuple[int, ...], Path]]:
    """The paths in that folder that match the parts, each with the numbers in its name."""
    if not parts:
        yield (), base
        return
    part, rest = parts[0], parts[1:]
    if part == "**":
        yield from _below(base, rest, flags)
    name = None if part == "**" else re.compile(_expression(part), flags)
    for entry in _entries(base):
        if name is None:
            if entry.is_dir(follow_symlinks=False) and not entry.name.startswith("."):
                yield from _below(base / entry.name, parts, flags)
        elif entry.name.startswith(".") and not part.startswith("."):
            continue  # hidden, as in a shell
        elif match := name.fullmatch(entry.name):
            numbers = tuple(int(number) for number in match.groups())
            for more, path in _below(base / entry.name, rest, flags):
                yield numbers + more, path


def _entries(base: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(base) as entries:
            return list(entries)
    except OSError:  # not a folder, or not readable
        return []


def _expression(part: str) -> str:
    """A regular expression with a group for each number."""
    numbers = _NUMBER.findall(part)
    marked = _NUMBER.sub(_MARK, part)
    # A name with `%d` but without `*` is not a shell pattern: `?` and `[` are plain characters.
    text = fnmatch.translate(marked) if "*" in marked else re.escape(marked)
    for digits in numbers:
        text = text.replace(_MARK, rf"(\d{{{digits},}})" if digits else r"(\d+)", 1)
    return text
