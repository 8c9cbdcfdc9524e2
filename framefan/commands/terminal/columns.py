"""Plain text tables that fit a width. Only names are shortened, never numbers. No I/O.

A table is given in several versions, the most detailed first. The first version that fits is shown.
If none fits, the names of the last version are shortened, the longest first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from rich.cells import cell_len, set_cell_size

if TYPE_CHECKING:
    from collections.abc import Sequence

_LEAST = 8
"""The shortest length to which a name is cut."""
_CUT = ".."


class Column(NamedTuple):
    head: str
    is_name: bool = False
    """Whether it is left-aligned and may be shortened."""


class Version(NamedTuple):
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]

    def widths(self) -> list[int]:
        lines = [[each.head for each in self.columns], *self.rows]
        return [max(map(cell_len, column)) for column in zip(*lines, strict=True)]


def fitted(width: int | None, *versions: Version) -> list[str]:
    """The lines of a table, its header first. `width` None: no limit."""
    for version in versions:
        for gap in (2, 1):
            widths = version.widths()
            if width is None or _whole(widths, gap) <= width:
                return _lines(version, widths, gap)
    assert width is not None
    version = versions[-1]
    return _lines(version, _narrowed(version, width), 1)


def _whole(widths: Sequence[int], gap: int) -> int:
    return sum(widths) + gap * (len(widths) - 1)


def _narrowed(version: Version, width: int) -> list[int]:
    widths = version.widths()
    names = [place for place, column in enumerate(version.columns) if column.is_name]
    while _whole(widths, 1) > width:
        longest = max(names, key=lambda place: widths[place], default=None)
        if longest is None or widths[longest] <= _LEAST:
            break
        widths[longest] -= 1
    return widths


def _lines(version: Version, widths: Sequence[int], gap: int) -> list[str]:
    found = []
    for row in ([each.head for each in version.columns], *version.rows):
        cells = [
            _cell(text, width, column.is_name)
            for text, width, column in zip(row, widths, version.columns, strict=True)
        ]
        found.append((" " * gap).join(cells).rstrip())
    return found


def _cell(text: str, width: int, is_name: bool) -> str:
    if cell_len(text) > width:
        return set_cell_size(text, width - len(_CUT)) + _CUT
    room = " " * (width - cell_len(text))
    return text + room if is_name else room + text
