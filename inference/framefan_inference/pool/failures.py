"""Cameras on whose frames predict fails: counts the errors, and logs them in few lines.

1. The first error of a camera is logged as a warning: what was raised, and where.
2. After that, one line every `EVERY_S` at most covers all cameras: how many more errors, and the
   newest.
3. A camera works again when it has had results and no error for `CALM_S`. If it fails again within
   `AGAIN_S`, its errors are counted in the lines of 2. So a camera that fails now and then does not
   log a line each time.

No I/O but the log; the time is an argument.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from framefan.base import logs
from framefan.ipc.records import PredictError

if TYPE_CHECKING:
    from framefan.ipc.outcomes import WorkerOutcome

EVERY_S = 10.0
CALM_S = 5.0
AGAIN_S = 60.0
"""Least seconds between two warnings of one camera alone."""
_NAMED = 5


class _Camera:
    __slots__ = ("failed_at", "in_row", "is_told", "payload", "since", "untold", "warned_at")

    def __init__(self) -> None:
        self.in_row = self.since = self.untold = 0
        self.is_told = False
        self.failed_at = self.warned_at = float("-inf")
        self.payload = msgspec.Raw()


class Failures:
    """Call `settled` with every outcome, in order."""

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
        """Errors since its last result, and the newest one's text; 0 and "" if it works."""
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
    """The exception's class, text and place, in one line."""
    error = _read(known.payload)
    if error is None:
        return "an error that cannot be decoded"
    return " ".join(f"{error.kind}: {error.message}".split())


def _read(payload: msgspec.Raw) -> PredictError | None:
    """None if it does not decode: user code in the worker's process may send anything."""
    try:
        return msgspec.msgpack.decode(payload, type=PredictError)
    except msgspec.MsgspecError:
        return None
