"""What the log says of the cameras' states: each change that is news, and not each that is none.

1. A camera that leaves `live` is told at once, a failure as a warning, and so is that it is back.
2. While it is away, each state and reason is told the first time. Further tries are counted, and a
   line sums them up after 5 minutes, then after 10, 20 and so on up to an hour.
3. A camera that comes and goes is told so often only: when it has used up its share of the log, it
   is told to come and go, summed up as in 2, and back when it was live for a minute.

All changes are there at level debug. No I/O but the log; time comes in as an argument.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from framefan.base import logs

if TYPE_CHECKING:
    from framefan.ipc.records import StatusRecord

FIRST_SUM_S, LAST_SUM_S = 300.0, 3600.0
STEADY_S = 60.0
"""One that came and went is well when it has been live for so long."""
SHARE, SHARE_EVERY_S = 4, 600.0
"""So many absences are told each by itself, and one more each so many seconds."""
_PAIRS = 4
_WELL = ("live", "ended")
_WARNS = ("stalled", "frozen", "backoff", "failed")


class _Camera:
    def __init__(self, now: float) -> None:
        self.away_since: float | None = None
        self.told: set[tuple[str, str]] = set()
        """States and reasons that this absence was told with."""
        self.count = 0
        """Changes that were not told."""
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
            _tell(logs.debug, record)  # how the try ends is told
            return
        else:
            self._is_away(camera, record, now)
        camera.last = record

    def tick(self, now: float) -> None:
        """What is due by the clock."""
        for camera in self._cameras.values():
            if camera.away_since is None or camera.last is None:
                continue
            if camera.live_since is not None and now - camera.live_since >= STEADY_S:
                self._returned(camera, camera.last, now)
            elif camera.count and now >= camera.sum_due:
                self._sum_up(camera, camera.last, now)

    def _is_there(self, camera: _Camera, record: StatusRecord, now: float) -> None:
        if camera.away_since is None:
            _tell(logs.info, record)
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
                _tell(logs.warning, record, "comes and goes")
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
        words = "still comes and goes" if camera.comes_and_goes else f"still {record.state}"
        _tell(logs.warning, record, words, **facts)
        camera.count = 0
        camera.sum_after_s = min(2 * camera.sum_after_s, LAST_SUM_S)
        camera.sum_due = now + camera.sum_after_s


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
