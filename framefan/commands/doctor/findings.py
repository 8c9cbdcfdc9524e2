"""The findings of `framefan doctor`: one line for each check."""

from __future__ import annotations

import enum
from typing import TYPE_CHECKING

import msgspec

from framefan.commands.terminal.camera_table import printable

if TYPE_CHECKING:
    from framefan.errors import FramefanError


class Level(enum.Enum):
    OK = "ok"
    WARN = "warn"
    PROBLEM = "problem"


class Finding(msgspec.Struct, frozen=True):
    """One line of the report; `cure`: what to do, empty if nothing is wrong."""

    level: Level
    subject: str
    text: str
    cure: str = ""

    def line(self) -> str:
        cure = f"  ->  {self.cure}" if self.cure else ""
        # Labels of a model and errors of others may hold anything, control sequences included.
        return printable(f"{self.level.value:<8} {self.subject:<12} {self.text}{cure}")


def failure(subject: str, error: FramefanError) -> Finding:
    text = f"{error.what}: {error.why}" if error.why else error.what
    return Finding(Level.PROBLEM, subject, text, error.fix or error.usual_fix)
