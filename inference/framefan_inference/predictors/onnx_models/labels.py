"""A text with one name a line, as people have them: the names of a model's classes by number.

1. The line's place is the class's number, so a blank line is a class without a name.
2. Blank lines at the end may be classes or nothing: the model's own number of classes decides.
3. A byte order mark and the ends of lines of any system are no part of a name.
"""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from msgspec import Struct

from framefan.errors import StartError

_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_FORM = "it is a text with one name a line, in the order of the model's class numbers"
_DATA = re.compile(r"\s*(names\s*:|[\[{<]|---\s*$)")
"""How YAML, JSON or XML begins, or says in some line that names follow."""
_ITEM = re.compile(r"\s*(-\s|['\"]?\d+['\"]?\s*:)")
"""A line of a list or mapping in YAML."""


class Labels(Struct, frozen=True):
    path: str
    names: dict[int, str]
    lines: int
    """All of them, with those at the end that are blank."""

    @property
    def least(self) -> int:
        """How many classes there are at least."""
        return max(self.names, default=-1) + 1

    def fits(self, classes: int) -> bool:
        return self.least <= classes <= self.lines


def read(path: str) -> Labels:
    """Raises StartError for what is no such text."""
    try:
        data = Path(path).read_bytes()
        text = data.decode("utf-16" if data.startswith(_UTF_16) else "utf-8-sig")
    except (OSError, ValueError) as error:
        raise StartError(f"cannot read the labels {path}", str(error), _FORM) from error
    lines = re.split(r"\r\n|\r|\n", text)
    if lines[-1] == "":  # behind the last line's end
        del lines[-1]
    names = {number: line.strip() for number, line in enumerate(lines) if line.strip()}
    if not names:
        raise StartError(f"the labels {path} hold no name", "the file is blank", _FORM)
    _check_form(path, list(names.values()))
    return Labels(path, names, len(lines))


def _check_form(path: str, lines: list[str]) -> None:
    suffix = Path(path).suffix.lower()
    is_data = suffix in (".yaml", ".yml", ".json") or any(map(_DATA.match, lines))
    if is_data or all(map(_ITEM.match, lines)):
        raise StartError(
            f"the labels {path} are no list of names",
            f"the file reads like YAML, JSON or XML; {_FORM}",
            "write the names into such a text, without numbers, dashes and quotes",
        )


def do_not_fit(labels: Labels, classes: int) -> StartError:
    return StartError(
        f"the labels {labels.path} have {labels.least} lines, and the model has {classes} classes",
        f"{_FORM}; a blank line is a class without a name",
        f"give it {classes} lines, or leave labels= out",
    )
