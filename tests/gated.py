"""A predictor with fault points: `framefan run -p tests/gated.py:Gated` under a faults.Gate.

A point does nothing until a test arms it; then the first process that comes by takes it, says
where it is over the gate's socket, and does what the point was armed with. So a fault hits one
worker at one known place in the life of one frame.

    setup -> (leased -> predict -> publish -> published -> returned) for each lease
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import signal
import socket
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ["FRAMEFAN_TEST_GATE"])
_lease: Any = None


def point(name: str) -> None:
    """Where a fault may happen; the caller's module says which."""
    taken = FOLDER / f"{name}.{os.getpid()}"
    try:
        (FOLDER / name).rename(taken)
    except FileNotFoundError:
        return
    facts = {"point": name, "pid": os.getpid()}
    if _lease is not None:
        names = ("lease", "camera", "seq", "frame")
        facts |= {name: getattr(_lease, name) for name in names}
    with socket.socket(socket.AF_UNIX) as gate:
        gate.connect(str(FOLDER / "gate"))
        gate.sendall(json.dumps(facts).encode() + b"\n")
        _DO[taken.read_text()](gate)


def _wait(gate: socket.socket) -> None:
    gate.recv(1)  # ends when the test lets go, or closes the gate


def _die(gate: socket.socket) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _abort(gate: socket.socket) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.abort()


def _hang_in_python(gate: socket.socket) -> None:
    while True:
        signal.pause()


def _hang_in_c(gate: socket.socket) -> None:
    """A read that never ends, through a library handle that keeps the interpreter's lock."""
    reader, _ = os.pipe()
    ctypes.PyDLL(None).read(reader, ctypes.create_string_buffer(1), 1)


_DO = {
    "wait": _wait,
    "die": _die,
    "abort": _abort,
    "hang_in_python": _hang_in_python,
    "hang_in_c": _hang_in_c,
}


def _put_points_into(main: Any) -> None:
    """Points around the steps of the worker that has loaded this file."""
    serve, send = main.Worker._serve, main.Outcomes.send

    def gated_serve(self: Any, lease: Any, since: float | None = None) -> None:
        global _lease  # noqa: PLW0603 - one lease at a time in this process
        _lease = lease
        point("leased")
        serve(self, lease, since)
        point("returned")

    def gated_send(self: Any, outcome: Any) -> None:
        point("publish")
        send(self, outcome)
        point("published")

    main.Worker._serve, main.Outcomes.send = gated_serve, gated_send


with contextlib.suppress(AttributeError):  # loaded by something that is no worker
    _put_points_into(sys.modules["__main__"])


class Gated:
    """Answers which process saw which frame."""

    def setup(self) -> None:
        point("setup")

    def predict(self, image: Any, frame: Any) -> dict[str, int]:
        point("predict")
        point(f"predict_{frame.camera}")
        return {"pid": os.getpid(), "seq": frame.seq, "frame": frame.frame}


class GatedBatch(Gated):
    """The same for several frames a call."""

    def predict_batch(self, images: Any, frame: Any) -> list[dict[str, int]]:
        point("predict_batch")
        pid, size = os.getpid(), len(images)
        return [{"pid": pid, "seq": f.seq, "frame": f.frame, "size": size} for f in frame]
