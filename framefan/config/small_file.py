"""Reads a small file of settings: once, and with a time limit if it is a pipe.

A pipe gives its content once, and opening one waits for its writer. So a name that is a pipe, by
intent or by mistake, must not hold up a start or a reload for ever.
"""

from __future__ import annotations

import os
import select
import stat
from pathlib import Path

from framefan.base import clock

WAIT_S = 5.0
"""How long a pipe may stay silent."""
_MOST_BYTES = 64 << 20
_BLOCK = 65536


_given: dict[str, bytes] = {}
"""By the name of a pipe without a path, what it gave."""


def read(path: str) -> bytes:
    """The content. Raises OSError; TimeoutError for a pipe that nobody writes to its end.

    A pipe without a path, which the shell makes for `<(...)`, can be read only once. Later calls
    return what it gave the first time.
    """
    if not stat.S_ISFIFO(Path(path).stat().st_mode):
        return Path(path).read_bytes()
    name = os.path.realpath(path)
    if name in _given:
        return _given[name]
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        found = _piped(fd)
    finally:
        os.close(fd)
    if not Path(name).exists():
        _given[name] = found
    return found


def _piped(fd: int) -> bytes:
    data, until = b"", clock.now() + WAIT_S
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    while (left_s := until - clock.now()) > 0 and len(data) < _MOST_BYTES:
        if not poll.poll(left_s * 1000):
            break
        try:
            block = os.read(fd, _BLOCK)
        except BlockingIOError:
            continue
        if not block:
            return data
        data += block
        until = clock.now() + WAIT_S
    raise TimeoutError(0, f"it is a pipe, and nobody wrote it to its end within {WAIT_S:g} s")
