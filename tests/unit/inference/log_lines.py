"""What the log says, as a test reads it."""

from __future__ import annotations

import contextlib
import logging
from typing import TYPE_CHECKING

from framefan.base import logs

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def captured(as_json: bool = False) -> Iterator[list[str]]:
    """The lines from info on; as text without the time and the process."""
    lines: list[str] = []
    formatter = logs._Formatter("pool", as_json)

    class Lines(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            text = formatter.format(record)
            lines.append(text if as_json else text.partition("pool ")[2].strip())

    log, handler = logging.getLogger("framefan"), Lines(logging.INFO)
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
