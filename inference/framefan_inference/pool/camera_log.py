"""Logs changes of camera states, and limits how often one camera is logged.

1. When a camera leaves `live`, that is logged at once, a failure as a warning. Its return is logged
   too.
2. During an outage each pair of state and reason is logged the first time only. Further changes are
   counted. One line sums them up after 5 minutes, then after 10, 20 and so on up to an hour.
3. Each camera may log a few outages, and one more every 10 minutes. A camera that has used them up
   is flapping: one line says so, later lines sum up as in 2, and the return is logged once it has
   been live for a minute.

Changes that are left out are logged at level debug, and so is whether something moves at a camera
with a motion gate. No I/O but the log; the time is an argument.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from framefan.base import logs
from framefan.settings.states import STILL

if TYPE_CHECKING:
    from framefan.ipc.records import StatusRecord

FIRST_SUM_S, LAST_SUM_S = 300.0, 3600.0
STEADY_S = 60.0
"""How long a flapping camera must be live before its return is logged."""
SHARE, SHARE_EVERY_S = 4, 600.0
"""How many outages of a camera are logged one by one; one more is allowed every `SHARE_EVERY_S`."""
_PAIRS = 4
_WELL = ("live", "ended")
_WARNS = ("stalled", "frozen", "backoff", "failed")


class _Camera:
    def __init__(self, now: float) -> None:
        self.away_since: float | None = None
        self.told: set[tuple[str, str]] = set()
        """The states and reasons that were logged during this outage."""
        self.count = 0
        """Changes not logged since the last line."""
        self.sum_due = 0.0
        self.sum_after_s = FIRST_SUM_S
        self.comes_and_goes = False
        self.live_since: float | None = None
        self.share = float(SHARE)
        self.share_at = now
        self.last: StatusRecord | None = None

    def may_be_told(self, now: float) -> bool:
        self.share = min(SHARE, self.share + (now - self.share_at) / SHARE_EVERY_S)
        self.share_at = now
        if self.share < 1:
            return False
        self.share -= 1
        return True


class CameraLog:
    def __init__(self) -> None:
        self._cameras: dict[str, _Camera] = {}

    def changed(self, record: StatusRecord, now: float) -> None:
        name = record.camera or ""
        camera = self._cameras.setdefault(name, _Camera(now))
        if record.reason == "removed":
            _tell(logs.info, record)
            del self._cameras[name]
        elif record.state in _WELL:
            self._is_there(camera, record, now)
        elif record.state == "connecting" and not record.reason:
            _tell(logs.debug, record)  # how this attempt ends is logged
            return
        else:
            self._is_away(camera, record, now)
        camera.last = record

    def tick(self, now: float) -> None:
        """Log what is due by the clock: returns and summaries."""
        for camera in self._cameras.values():
            if camera.away_since is None or camera.last is None:
                continue
            if camera.live_since is not None and now - camera.live_since >= STEADY_S:
                self._returned(camera, camera.last, now)
            elif camera.count and now >= camera.sum_due:
                self._sum_up(camera, camera.last, now)

    def _is_there(self, camera: _Camera, record: StatusRecord, now: float) -> None:
        if camera.away_since is None:
            _tell(logs.debug if _is_of_gate(record, camera.last) else logs.info, record)
        elif camera.comes_and_goes and record.state == "live":
            camera.count += 1
            camera.live_since = now
            _tell(logs.debug, record)
        else:
            self._returned(camera, record, now)

    def _returned(self, camera: _Camera, record: StatusRecord, now: float) -> None:
        assert camera.away_since is not None
        _tell(logs.info, record, after_s=round(now - camera.away_since))
        camera.away_since = camera.live_since = None
        camera.comes_and_goes = False

    def _is_away(self, camera: _Camera, record: StatusRecord, now: float) -> None:
        camera.live_since = None
        pair = record.state, record.reason
        tell = logs.warning if record.state in _WARNS else logs.info
        if camera.away_since is None:
            camera.away_since = now
            camera.told, camera.count = {pair}, 0
            camera.sum_after_s = FIRST_SUM_S
            camera.sum_due = now + FIRST_SUM_S
            camera.comes_and_goes = not camera.may_be_told(now)
            if camera.comes_and_goes:
                _tell(logs.warning, record, "flapping")
            else:
                _tell(tell, record)
        elif pair in camera.told or len(camera.told) >= _PAIRS or camera.comes_and_goes:
            camera.count += 1
            _tell(logs.debug, record)
        else:
            camera.told.add(pair)
            _tell(tell, record)

    def _sum_up(self, camera: _Camera, record: StatusRecord, now: float) -> None:
        assert camera.away_since is not None
        facts = {"changes": camera.count, "for_s": round(now - camera.away_since)}
        words = "still flapping" if camera.comes_and_goes else f"still {record.state}"
        _tell(logs.warning, record, words, **facts)
        camera.count = 0
        camera.sum_after_s = min(2 * camera.sum_after_s, LAST_SUM_S)
        camera.sum_due = now + camera.sum_after_s


def _is_of_gate(record: StatusRecord, last: StatusRecord | None) -> bool:
    """Whether a motion gate has opened or closed, and nothing else has changed."""
    was_still = last is not None and last.reason == STILL
    return record.reason == STILL or (was_still and record.state == "live" and not record.reason)


def _tell(tell: Any, record: StatusRecord, words: str = "", **more: Any) -> None:
    again_s = None if record.next_try_s is None else round(record.next_try_s, 1)
    facts = {"reason": record.reason, "why": record.message, "next_try_s": again_s} | more
    told = {key: value for key, value in facts.items() if value not in ("", None)}
    tell(
        f"camera {record.camera}: {words or record.state}",
        event="camera_state",
        camera=record.camera,
        state=record.state,
        **told,
    )
