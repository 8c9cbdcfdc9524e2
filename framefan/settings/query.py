"""Reads and checks the options after the `?` in `TEXT?key=value&key=value`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl

from framefan.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Reader = Callable[[str], Any]
    """From text to the value. Raises ValueError."""

MOST_PIXELS = 65535
"""The largest width or height of a picture."""
_SIZE = re.compile(r"(\d{1,5})[xX](\d{1,5})", re.ASCII)


def split(text: str) -> tuple[str, list[tuple[str, str]]]:
    """The text before the first `?`, and the pairs after it."""
    path, _, query = text.partition("?")
    return path, pairs(query)


def pairs(query: str, errors: str = "replace", most: int | None = None) -> list[tuple[str, str]]:
    """Keys and values, unescaped. Raises ValueError for more than `most`.

    `errors`: how to handle bytes that are not UTF-8, as in bytes.decode.
    """
    return parse_qsl(query, keep_blank_values=True, errors=errors, max_num_fields=most)


def read(
    text: str, what: str, readers: Mapping[str, tuple[Reader, str]], example: str
) -> tuple[str, dict[str, Any]]:
    """The text before the `?`, and the options after it.

    `readers`: for each key, its reader and its allowed values as text. Raises UsageError.
    """
    path, given = split(text)
    values = {}
    for key, value in given:
        if key not in readers:
            raise UsageError(
                f'{what} has no option "{key}"',
                f"its options are {', '.join(readers)}",
                did_you_mean(key, readers, "{}=", f"for example {example}"),
            )
        read_one, expected = readers[key]
        try:
            values[key] = read_one(value)
        except ValueError:
            raise UsageError(
                f'{what} cannot take {key}="{value}"',
                f"{key} is {expected}",
                f"for example {example}",
            ) from None
    return path, values


def number(kind: type[int | float], least: float, most: float) -> Reader:
    """Reads a number of that kind between these bounds."""

    def read_number(text: str) -> int | float:
        value = kind(text)
        if not least <= value <= most:
            raise ValueError(text)
        return value

    return read_number


def size(
    least: tuple[int, int] = (1, 1), most: tuple[int, int] = (MOST_PIXELS, MOST_PIXELS)
) -> Reader:
    """Reads `1280x720` as width and height."""

    def read_size(text: str) -> tuple[int, int]:
        found = _SIZE.fullmatch(text)
        width, height = (int(found[1]), int(found[2])) if found else (0, 0)
        if not (least[0] <= width <= most[0] and least[1] <= height <= most[1]):
            raise ValueError(text)
        return width, height

    return read_size
