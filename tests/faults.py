"""Faults at known places: a gate that catches one worker, and guards switched off on purpose."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from waiting import SCALE

if TYPE_CHECKING:
    from types import TracebackType

GATED = f"{Path(__file__).parent / 'gated.py'}:Gated"
TIMES = int(os.environ.get("FRAMEFAN_TEST_TIMES", "1"))
"""How many times over the repeated faults happen: 10 is the long form."""


class Gate:
    """The test's side of gated.py: arms its points and hears who was caught where."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="ff-gate-"))
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self._folder / "gate"))
        self._listener.listen()
        self._caught: list[Caught] = []

    @property
    def env(self) -> dict[str, str]:
        return {"FRAMEFAN_TEST_GATE": str(self._folder)}

    def arm(self, point: str, action: str = "wait") -> None:
        """The next process at this point does `action`, one of those in gated.py; once."""
        draft = self._folder / "draft"
        draft.write_text(action)
        draft.rename(self._folder / point)

    def caught(self, seconds: float = 10.0) -> Caught:
        """Whoever is or comes to an armed point."""
        self._listener.settimeout(seconds * SCALE)
        try:
            sock, _ = self._listener.accept()
        except TimeoutError:
            raise AssertionError("nobody came to an armed point") from None
        self._caught.append(Caught(sock))
        return self._caught[-1]

    def __enter__(self) -> Gate:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for each in self._caught:
            each.release()
        self._listener.close()
        shutil.rmtree(self._folder)


class Caught:
    """A process at a fault point."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        with sock.makefile() as lines:
            facts: dict[str, Any] = json.loads(lines.readline())
        self.pid: int = facts["pid"]
        self.point: str = facts["point"]
        self.lease: int = facts.get("lease", -1)
        self.camera: str = facts.get("camera", "")
        self.seq: int = facts.get("seq", -1)
        self.frame: int = facts.get("frame", -1)

    def kill(self, number: int = signal.SIGKILL) -> None:
        os.kill(self.pid, number)

    def release(self) -> None:
        """Let it go on, if it waits."""
        self._sock.close()


def limits(**values: float) -> dict[str, str]:
    """The environment that sets these limits."""
    return {f"FRAMEFAN_LIMITS_{name.upper()}": str(value) for name, value in values.items()}


def sabotage(folder: Path, module: str, code: str) -> dict[str, str]:
    """The environment in which `code` runs first in every process started as `-m MODULE`.

    It replaces a guard by nothing, to show that the test of that guard can fail. One folder serves
    for several modules.
    """
    lines = [f"    {line}" for line in code.strip().splitlines()]
    head = ["import sys", f"if {module!r} in sys.orig_argv:"]
    with (folder / "sitecustomize.py").open("a") as file:
        file.write("\n".join([*head, *lines, ""]))
    path = os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": f"{folder}{os.pathsep}{path}" if path else str(folder)}
