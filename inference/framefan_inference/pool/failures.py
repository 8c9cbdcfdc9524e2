"""Cameras on whose frames predict fails: how often, and what people are told of it in the log.

1. The first error of a camera is a warning that says what was raised and where.
2. After that one line tells of all cameras, at most each `EVERY_S`: how many more, and the newest.
3. A camera works again when it had results and no error for `CALM_S`. One that fails again soon
   after is counted in the lines of 2, so one frame in a hundred makes no line each.

No I/O but the log, and time comes in as an argument.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from framefan.base import logs
from framefan.ipc.records import PredictError

if TYPE_CHECKING:
    from framefan.ipc.messages import WorkerOutcome

EVERY_S = 10.0
CALM_S = 5.0
AGAIN_S = 60.0
"""A camera has a warning of its own at most so often."""
_NAMED = 5


class _Camera:
    __slots__ = ("failed_at", "in_row", "is_told", "payload", "since", "untold", "warned_at")

    def __init__(self) -> None:
        self.in_row = self.since = self.untold = 0
        self.is_told = False
        self.failed_at = self.warned_at = float("-inf")
        self.payload = msgspec.Raw()


class Failures:
    """`settled` hears of every outcome, in order."""

    def __init__(self) -> None:
        self._cameras: dict[str, _Camera] = {}
        self._due = 0.0

    def settled(self, camera: str, outcome: WorkerOutcome | None, now: float) -> None:
        if outcome is None:
            return
        if outcome.kind == "error":
            known = self._cameras.setdefault(camera, _Camera())
            known.payload = outcome.payload
            self._failed(camera, known, now)
        elif camera in self._cameras:
            self._worked(camera, self._cameras[camera], now)

    def forget(self, camera: str) -> None:
        self._cameras.pop(camera, None)

    def in_row(self, camera: str) -> tuple[int, str]:
        """Errors since its last result, and what the newest says; 0 and nothing where it works."""
        known = self._cameras.get(camera)
        return (known.in_row, _said(known)) if known and known.in_row else (0, "")

    def _failed(self, camera: str, known: _Camera, now: float) -> None:
        known.in_row += 1
        known.since += 1
        known.failed_at = now
        if not known.is_told and now - known.warned_at >= AGAIN_S:
            known.is_told, known.warned_at = True, now
            self._due = max(self._due, now + EVERY_S)
            logs.warning(
                f"camera {camera}: predict fails",
                event="predict_failed",
                camera=camera,
                why=_said(known),
            )
            return
        known.untold += 1
        if now >= self._due:
            self._due = now + EVERY_S
            self._sum_up(camera, known)

    def _sum_up(self, newest: str, known: _Camera) -> None:
        failing = {name: each for name, each in self._cameras.items() if each.untold}
        named = [f"{name} {each.untold}" for name, each in failing.items()][:_NAMED]
        rest = len(failing) - len(named)
        total = sum(each.untold for each in failing.values())
        logs.warning(
            f"predict failed on {total} more frames",
            event="predict_failures",
            cameras=", ".join(named) + (f" and {rest} more cameras" if rest else ""),
            newest=f"{newest}: {_said(known)}",
        )
        for each in failing.values():
            each.untold, each.is_told = 0, True

    def _worked(self, camera: str, known: _Camera, now: float) -> None:
        known.in_row = 0
        if now - known.failed_at < CALM_S or not known.since:
            return
        if known.is_told:
            logs.info(
                f"camera {camera}: predict works again",
                event="predict_works",
                camera=camera,
                failed=known.since,
            )
        known.since = known.untold = 0
        known.is_told = False


def _said(known: _Camera) -> str:
    """The exception's class, its text and its place, in one line."""
    error = _read(known.payload)
    if error is None:
        return "an error that cannot be read"
    return " ".join(f"{error.kind}: {error.message}".split())


def _read(payload: msgspec.Raw) -> PredictError | None:
    """None: user code shares the worker's process and may send anything."""
    try:
        return msgspec.msgpack.decode(payload, type=PredictError)
    except msgspec.MsgspecError:
        return None
