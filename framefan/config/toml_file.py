"""A TOML file as editors save it: with or without a byte order mark, with any line ends.

For a file that is not UTF-8, the error names the encoding, because the parser's own message
("invalid character at line 1") does not help the user.
"""

from __future__ import annotations

import codecs
import io
import tomllib
from typing import Any

from framefan.config import small_file
from framefan.errors import StartError, UsageError

_SAVE = "save it as UTF-8, in the editor or with: iconv -f {name} -t UTF-8 {path} > NEW"
_TWICE = "Cannot overwrite a value"
"""The parser's words for a table with the name of a key."""
_WIDE = (  # the longer mark first: it begins with the shorter one
    ("UTF-32", codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE),
    ("UTF-16", codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE),
)


def read(path: str) -> dict[str, Any]:
    """The file's content. Raises StartError for a missing file, UsageError for invalid TOML."""
    try:
        data = small_file.read(path)
    except OSError as error:
        raise StartError(
            f"cannot read the configuration {path}",
            error.strerror or str(error),
            "check its path",
        ) from error
    try:
        return tomllib.loads(_text(path, data))
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path} is not TOML", str(error), _fix(str(error), data)) from error
    except RecursionError as error:
        why = "its brackets are nested more deeply than it can be read"
        raise UsageError(f"{path} is not TOML", why, "look whether it is the right file") from error


def _fix(said: str, data: bytes) -> str:
    """What to do about an error of the parser."""
    if said.startswith(_TWICE) and b"[[predictor]]" in data:
        return "give the predictor at the top a [[predictor]] table of its own too"
    return "fix that line"


def _text(path: str, data: bytes) -> str:
    """The decoded text, with TOML's line ends. Raises UsageError."""
    if not data.strip(b"\0") and data:
        raise UsageError(
            f"{path} is not TOML",
            f"it contains only {len(data)} zero bytes: it was not written completely",
            "write it again",
        )
    if name := _wide(data):
        raise UsageError(
            f"{path} is not TOML: it is saved as {name}",
            "TOML is UTF-8; some editors and shells of Windows call UTF-16 Unicode",
            _SAVE.format(name=name, path=path),
        )
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(
            f"{path} is not TOML: it is not UTF-8",
            f"line {line} contains byte 0x{data[error.start]:02x}, as in Latin-1 (Windows-1252)",
            _SAVE.format(name="WINDOWS-1252", path=path),
        ) from error
    return io.IncrementalNewlineDecoder(None, translate=True).decode(text, final=True)


def _wide(data: bytes) -> str:
    """The encoding's name, found by its byte order mark, or by zero bytes in ASCII without one."""
    for name, *marks in _WIDE:
        if data.startswith(tuple(marks)):
            return name
    begin = data[:64]
    halves = (begin[::2], begin[1::2])
    if not all(half.strip(b"\0") for half in halves) and len(begin) > 1:
        return "UTF-32" if begin.count(0) > len(begin) * 0.6 else "UTF-16"
    return ""
