"""Reads a labels file: text with one class name per line.

1. The line number, from 0, is the class number. A blank line is a class without a name.
2. Blank lines at the end may be classes or not; the model's number of classes decides.
3. A byte order mark and line endings of any system are not part of a name.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from msgspec import Struct

from framefan.errors import StartError

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_FORM = "a labels file has one name per line, in the order of the class numbers"
_DATA = re.compile(r"\s*(names\s*:|[\[{<]|---\s*$)")
"""A line that occurs in YAML, JSON or XML only."""
_ITEM = re.compile(r"\s*(-\s|['\"]?\d+['\"]?\s*:)")
"""An item of a list or mapping in YAML."""


class Labels(Struct, frozen=True):
    path: str
    names: dict[int, str]
    lines: int
    """The number of lines, including blank ones at the end."""

    @property
    def least(self) -> int:
        """The least number of classes."""
        return max(self.names, default=-1) + 1

    def fits(self, classes: int) -> bool:
        return self.least <= classes <= self.lines


def read(path: str) -> Labels:
    """Read the file. Raises StartError if it is not a labels file."""
    try:
        data = Path(path).read_bytes()
        text = data.decode("utf-16" if data.startswith(_UTF_16) else "utf-8-sig")
    except (OSError, ValueError) as error:
        raise StartError(f"cannot read the labels file {path}", str(error), _FORM) from error
    lines = re.split(r"\r\n|\r|\n", text)
    if lines[-1] == "":  # after the last line ending
        del lines[-1]
    names = {number: line.strip() for number, line in enumerate(lines) if line.strip()}
    if not names:
        raise StartError(f"the labels file {path} is blank", "it has no name", _FORM)
    _check_form(path, list(names.values()))
    return Labels(path, names, len(lines))


def _check_form(path: str, lines: list[str]) -> None:
    suffix = Path(path).suffix.lower()
    is_data = suffix in (".yaml", ".yml", ".json") or any(map(_DATA.match, lines))
    if is_data or all(map(_ITEM.match, lines)):
        raise StartError(
            f"the labels file {path} is not a list of names",
            f"it looks like YAML, JSON or XML; {_FORM}",
            "write the names only, without numbers, dashes and quotes",
        )


def do_not_fit(labels: Labels, classes: int) -> StartError:
    return StartError(
        f"the labels file {labels.path} has {labels.least} lines, the model has {classes} classes",
        f"{_FORM}; a blank line is a class without a name",
        f"write {classes} lines, or leave labels= out",
    )
