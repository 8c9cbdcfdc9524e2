"""Standard output for commands that go on while nobody takes what they print.

A stopped terminal or a full pipe blocks whoever writes to it. An event loop that is blocked hears
neither a signal nor the end of its time. So these commands ask first whether a write would block.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import sys
from typing import TYPE_CHECKING

from framefan.commands import standard_output

if TYPE_CHECKING:
    from collections.abc import Iterator

_PIECE = 4096
"""A pipe that is ready takes at least so many bytes (PIPE_BUF) without blocking."""
_LOOK_S = 0.05


def is_taken() -> bool:
    """Whether a write would not block. True for a reader that is gone: writing tells that."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), select.POLLOUT)
    return bool(poll.poll(0))


async def taken() -> None:
    """Wait until a write would not block."""
    while not is_taken():
        await asyncio.sleep(_LOOK_S)


async def put(text: str) -> None:
    """Write the text, and wait for the reader without blocking the loop. Raises as a write does."""
    data = text.encode(sys.stdout.encoding, sys.stdout.errors or "strict")
    for start in range(0, len(data), _PIECE):
        await taken()
        sys.stdout.buffer.write(data[start : start + _PIECE])
        sys.stdout.flush()


@contextlib.contextmanager
def leaving() -> Iterator[None]:
    """At the end, drop what would still be printed if nobody takes it."""
    try:
        yield
    finally:
        if not is_taken():
            standard_output.give_up(sys.stdout.fileno())
