"""Runs code that may crash, print or hang in a separate process.

The process gets its question on stdin, because other users can read argv. It answers with JSON on
stdout, and is killed after a time limit; an answer that it gave before still counts.
"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from framefan.ipc.processes import PYTHON, environment

if TYPE_CHECKING:
    from collections.abc import Sequence


class Answer(NamedTuple):
    said: bytes
    """Empty when it gave none."""
    stderr: str
    code: int | None
    """As waitpid tells it; None when it had to be killed."""


def ask(python: Sequence[str], question: msgspec.Struct, limit_s: float) -> Answer:
    """`python`: the interpreter's arguments; our pid, whose death the process ends by, is added."""
    try:
        done = subprocess.run(
            [*PYTHON, *python, str(os.getpid())],
            input=msgspec.json.encode(question),
            capture_output=True,
            timeout=limit_s,
            env=environment(),
            check=False,
        )
    except subprocess.TimeoutExpired as late:  # it may have answered, and hang in closing
        return Answer(late.stdout or b"", "", None)
    return Answer(done.stdout, done.stderr.decode(errors="replace"), done.returncode)
