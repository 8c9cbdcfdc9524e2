r"""Replaces stdout and stderr with streams that handle any encoding and a full disk.

The process does this once, at its start, so that code that prints need not handle these cases:

1. A character that the encoding lacks is written as `\uXXXX`, which is also valid in JSON.
2. A failed write to stdout raises OutputLost, an error with three lines. A pipe without a reader
   still raises BrokenPipeError.
3. A failed write to stderr is ignored, because there is no way left to report it.
"""

from __future__ import annotations

import codecs
import io
import os
import sys
from typing import TYPE_CHECKING, TextIO

from framefan.errors import RunError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_ESCAPE = "framefan.escape"


class OutputLost(RunError):
    """Standard output cannot be written."""


def prepare() -> None:
    """Replace the streams of this process."""
    codecs.register_error(_ESCAPE, _escaped)
    sys.stdout = _stream(_Output(1, "wb", closefd=False), sys.stdout)
    sys.stderr = _stream(_Error(2, "wb", closefd=False), sys.stderr)


def give_up(fd: int) -> None:
    """Discard buffered output, so that its loss is reported only once."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, fd)
    os.close(null)


def _stream(raw: io.RawIOBase, like: TextIO) -> TextIO:
    return io.TextIOWrapper(
        io.BufferedWriter(raw),
        encoding=like.encoding,
        errors=_ESCAPE,
        line_buffering=like.isatty() or raw.fileno() == 2,
    )


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """Escape in units of 16 bits, as JSON does; a lone surrogate is one unit."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    codes = (int.from_bytes(units[at : at + 2]) for at in range(0, len(units), 2))
    return "".join(f"\\u{code:04x}" for code in codes), error.end


class _Output(io.FileIO):
    def write(self, data: ReadableBuffer, /) -> int | None:  # type: ignore[override]
        try:
            return super().write(data)
        except BrokenPipeError:
            raise
        except OSError as error:
            give_up(self.fileno())
            raise OutputLost(
                f"standard output cannot be written: {error.strerror}",
                "the output is incomplete",
                "free space there, or send the output elsewhere",
            ) from error


class _Error(io.FileIO):
    def write(self, data: ReadableBuffer, /) -> int | None:  # type: ignore[override]
        try:
            return super().write(data)
        except OSError:
            give_up(self.fileno())
            return super().write(data)
