r"""Standard output and error as a command meets them: any encoding, and a disk that may be full.

Set once at the border of the process, so that no place that prints has to think of it:

1. A letter that the encoding lacks is written as `\uXXXX`, which people can read and which JSON
   reads as that letter.
2. Standard output that cannot be written is an error with three lines. A pipe that nobody reads on
   stays the BrokenPipeError that it is.
3. Standard error that cannot be written is given up in silence: there is nobody to tell.
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
    """Standard output takes no more."""


def prepare() -> None:
    """From now on, for this process."""
    codecs.register_error(_ESCAPE, _escaped)
    sys.stdout = _stream(_Output(1, "wb", closefd=False), sys.stdout)
    sys.stderr = _stream(_Error(2, "wb", closefd=False), sys.stderr)


def give_up(fd: int) -> None:
    """What is still buffered goes nowhere, and its loss is told once."""
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
    """In units of 16 bits, which is what JSON has; a lone surrogate is one."""
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
                "what was asked for is not printed whole",
                "make room there, or send the output elsewhere",
            ) from error


class _Error(io.FileIO):
    def write(self, data: ReadableBuffer, /) -> int | None:  # type: ignore[override]
        try:
            return super().write(data)
        except OSError:
            give_up(self.fileno())
            return super().write(data)
