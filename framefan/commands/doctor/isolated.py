"""Runs code that may crash, print or hang in a separate process.

The process gets its request on stdin, because other users can read argv. It answers with JSON on
stdout. It is killed after a time limit; an answer that it printed before still counts.
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
    """Empty: it printed no answer."""
    stderr: str
    code: int | None
    """The exit code from waitpid; None: it was killed at the time limit."""


def ask(python: Sequence[str], question: msgspec.Struct, limit_s: float) -> Answer:
    """Run `python`, the interpreter's arguments, with our pid appended.

    The process ends when our process does.
    """
    try:
        done = subprocess.run(
            [*PYTHON, *python, str(os.getpid())],
            input=msgspec.json.encode(question),
            capture_output=True,
            timeout=limit_s,
            env=environment(),
            check=False,
        )
    except subprocess.TimeoutExpired as late:  # it may have answered and then hung
        return Answer(late.stdout or b"", "", None)
    return Answer(done.stdout, done.stderr.decode(errors="replace"), done.returncode)
