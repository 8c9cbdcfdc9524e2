"""Intake: checks the records from the bus, keeps them in order, and counts gaps.

1. A record that does not decode, or has values that no pool sends, is foreign: dropped and counted.
2. `epoch` is the pool's boot id. A record of another epoch than the current one starts a new epoch,
   unless that epoch has ended before: then the record is stale, dropped and counted.
3. `n` numbers all records of a pool: a gap in it is what the bus lost, of any kind.
4. `seq` numbers the outcomes of a camera: clients missed a gap in it, cause `bus`. The first record
   of a camera that this gateway receives sets where counting begins. After that every new epoch
   begins at 0 for the cameras known by then.
5. The cameras are those of the newest state table. A camera that is no longer in it is reported to
   the hub as removed, after all of its news, and forgotten. Only the next seq of the last few
   removed cameras is kept, in case they come back.
6. Pictures arrive on another socket. A picture that arrives before its result waits for it; few do.

No I/O: bytes come in, news goes to the hub.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

import msgspec

from framefan.ipc import bus
from framefan.ipc.protocol import Status
from framefan.ipc.records import CIRCUIT, OutcomeRecord, PreviewRecord, StateRecord, StatusRecord
from framefan.settings.run import NAME
from framefan.settings.states import REASONS, STATES, STILL
from framefan_gateway.delivery import wire
from framefan_gateway.delivery.accounts import Loss
from framefan_gateway.delivery.news import NewEpoch, Removed

if TYPE_CHECKING:
    from framefan.ipc.records import CameraFacts
    from framefan_gateway.delivery.hub import Hub

_LARGEST = 1 << 53
"""Larger numbers are not exact in every client's language, and no pool sends them."""
_NOT_OURS = (msgspec.MsgspecError, ValueError, TypeError, RecursionError)
_EPOCHS_REMEMBERED = 64
_REMOVED_REMEMBERED = 64
_MOST_EARLY = 8
_REMOVED = ("ended", "removed")
_LIVE, _STILL = ("live", ""), ("live", STILL)
_OTHER = "other"
_UNKNOWN = "there is no camera of this name: it was removed before, or the name is wrong"

_outcome = msgspec.msgpack.Decoder(OutcomeRecord)
_status = msgspec.msgpack.Decoder(StatusRecord)
_state = msgspec.msgpack.Decoder(StateRecord)
_preview = msgspec.msgpack.Decoder(PreviewRecord)


class Intake:
    """Feeds the hub from the bus and keeps the newest state table."""

    def __init__(self, hub: Hub, state_lost_s: float) -> None:
        self._hub = hub
        self._state_lost_s = state_lost_s
        self._epoch = ""
        self._ended: deque[str] = deque(maxlen=_EPOCHS_REMEMBERED)
        self._next_n: int | None = None
        self._next_seq: dict[str, int] = {}
        self._cameras: dict[bytes, str] = {}
        """By result topic, the camera, so that each topic is parsed once."""
        self._reported: dict[str, tuple[str, str]] = {}
        """By camera, the last state and reason sent to clients."""
        self._circuits: dict[str, str] = {}
        """By camera, the last circuit state sent to clients, unless it is closed."""
        self._leaving: dict[str, StatusRecord] = {}
        """By camera, the record of its removal, held until nothing else of the camera can come."""
        self._removed: dict[str, int] = {}
        """By removed camera, its next seq; the oldest first."""
        self.changes: dict[str, Counter[tuple[str, str]]] = {}
        """By camera, how often it entered a state for a reason."""
        self._early: deque[PreviewRecord] = deque(maxlen=_MOST_EARLY)
        """Pictures whose results have not come yet, the oldest first."""
        self._silent = False
        self.state: StateRecord | None = None
        self.state_at = -math.inf
        self.foreign = 0
        self.stale = 0
        self.bus_gaps = 0
        """Records of any kind that the bus lost."""

    def take(self, parts: list[bytes], now: float, wall: float) -> None:
        """Take one multipart message of the bus; `wall`: the time for statuses made here."""
        try:
            topic, body = parts
            camera = self._cameras.get(topic)
            if camera is not None:
                self._take_outcome(_outcome.decode(body), camera)
                return
            name = topic.decode("ascii")
            if name == bus.STATE:
                self._take_state(_state.decode(body), now, wall)
            elif name.startswith(bus.RESULT):
                camera = _camera_of(name)
                self._take_outcome(_outcome.decode(body), camera)
                self._cameras[topic] = camera
            elif name.startswith(bus.PREVIEW):
                self._take_preview(_preview.decode(body), name)
            elif name.startswith(bus.STATUS):
                self._take_status(_status.decode(body))
            else:
                self.foreign += 1
        except _NOT_OURS:
            self.foreign += 1

    def tick(self, now: float, wall: float) -> None:
        """Report a pool that has become silent, or is back; call this about once a second."""
        silent = now - self.state_at > self._state_lost_s
        if silent == self._silent or (silent and self.state is None):
            return
        self._silent = silent
        self._hub.publish(
            Status(
                ts=round(wall, 3),
                epoch=self._epoch,
                subject="pool",
                state="silent" if silent else "live",
                reason="no_state" if silent else "",
                message=f"no news for {self._state_lost_s:g} s" if silent else "",
            )
        )

    @property
    def fresh(self) -> bool:
        """Whether there is a state table that is not out of date."""
        return self.state is not None and not self._silent

    # ---- records ----------------------------------------------------------------------------

    def _take_outcome(self, record: OutcomeRecord, camera: str) -> None:
        _check_outcome(record)
        if record.camera != camera:
            raise ValueError(record.camera)
        outcome = None if record.kind == "lost" else wire.Outcome(record)
        if not self._in_epoch(record.epoch, record.n):
            return
        seq = record.seq
        expected = self._next_seq.get(camera)
        if expected is None:
            expected = self._removed.pop(camera, seq)  # `seq`: its first record in this gateway
        if seq < expected:
            self.stale += 1
            return
        self._next_seq[camera] = seq + 1
        if seq > expected:
            self._hub.publish(Loss(camera, record.epoch, expected, seq - 1, "bus"))
        self._hub.publish(outcome or Loss(camera, record.epoch, seq, seq, "lost"))
        if self._early:
            self._look_at_early()

    def _take_preview(self, record: PreviewRecord, topic: str) -> None:
        if topic != f"{bus.PREVIEW}{record.camera}/{record.picture}/":
            raise ValueError(topic)
        if record.epoch in self._ended:  # no client can have its result
            return
        if self._is_early(record):
            self._early.append(record)
        else:
            self._hub.publish(wire.Picture(record))

    def _is_early(self, record: PreviewRecord) -> bool:
        return record.epoch != self._epoch or record.seq >= self._next_seq.get(record.camera, 0)

    def _look_at_early(self) -> None:
        early = [each for each in self._early if each.epoch not in self._ended]
        self._early.clear()
        for record in early:
            if self._is_early(record):
                self._early.append(record)
            else:
                self._hub.publish(wire.Picture(record))

    def _take_status(self, record: StatusRecord) -> None:
        _check(record.n, record.ts, record.next_try_s or 0)
        if not self._in_epoch(record.epoch, record.n):
            return
        camera = record.camera
        if camera is not None and (record.subject, record.reason) == ("predictor", CIRCUIT):
            self._report_circuit(camera, wire.status(record))
        elif camera is None or record.subject != "camera":
            self._hub.publish(wire.status(record))
        elif (record.state, record.reason) != _REMOVED:
            self._leaving.pop(camera, None)
            self._report(camera, wire.status(record))
        elif camera in self._known():
            self._leaving[camera] = record

    def _take_state(self, record: StateRecord, now: float, wall: float) -> None:
        _check(record.n, record.ts)
        if not self._in_epoch(record.epoch, record.n):
            return
        known = self._known()
        self.state, self.state_at = record, now
        self.tick(now, wall)
        for camera in known - record.cameras.keys():
            self._remove(camera)
        for camera, facts in record.cameras.items():
            self._look_at(camera, facts)

    def _look_at(self, camera: str, facts: CameraFacts) -> None:
        """Send clients the camera's state if this gateway did not receive its status record."""
        assert self.state is not None
        if facts.circuit != self._circuits.get(camera, "closed"):
            self._report_circuit(
                camera, wire.circuit_status(camera, facts, self._epoch, self.state.ts)
            )
        reported, state = self._reported.get(camera), (facts.state, facts.reason)
        if state in (reported, _REMOVED):
            return
        if reported is None and facts.state == "live" and facts.reason != STILL:
            self._reported[camera] = state  # a camera that is simply live is not reported
            return
        self._report(camera, wire.camera_status(camera, facts, self._epoch, self.state.ts))

    def _report(self, camera: str, status: Status) -> None:
        before = self._reported.get(camera)
        self._reported[camera] = state = status.state, status.reason
        if (before, state) != (_STILL, _LIVE):  # a motion gate opens: it was live before
            self.changes.setdefault(camera, Counter())[_counted(*state)] += 1
        self._hub.publish(status)

    def _report_circuit(self, camera: str, status: Status) -> None:
        self._circuits[camera] = status.state
        if status.state == "closed":
            del self._circuits[camera]
        self._hub.publish(status)

    # ---- cameras added and removed ----------------------------------------------------------

    def _known(self) -> set[str]:
        """The cameras that have had any news and have not been removed since."""
        table = () if self.state is None else self.state.cameras
        return {*table, *self._next_seq, *self._reported}

    def removal(self, camera: str) -> Status | None:
        """The status of a camera that is not in the table; None before there is a table."""
        if self.state is None:
            return None
        status = _removal(camera, self.state)
        return (
            status if camera in self._removed else msgspec.structs.replace(status, message=_UNKNOWN)
        )

    def _remove(self, camera: str) -> None:
        assert self.state is not None
        record = self._leaving.pop(camera, None)
        status = wire.status(record) if record else _removal(camera, self.state)
        self._hub.publish(Removed(camera, status))
        self._cameras.pop(f"{bus.RESULT}{camera}/".encode(), None)
        self._reported.pop(camera, None)
        self._circuits.pop(camera, None)
        self.changes.pop(camera, None)
        for early in [each for each in self._early if each.camera == camera]:
            self._early.remove(early)
        expected = self._next_seq.pop(camera, None)
        if expected is not None:
            self._removed[camera] = expected
        while len(self._removed) > _REMOVED_REMEMBERED:
            del self._removed[next(iter(self._removed))]

    def _in_epoch(self, epoch: str, n: int) -> bool:
        if epoch != self._epoch:
            if epoch in self._ended:
                self.stale += 1
                return False
            self._begin(epoch)
        elif self._next_n is not None and n > self._next_n:
            self.bus_gaps += n - self._next_n
        self._next_n = n + 1
        return True

    def _begin(self, epoch: str) -> None:
        if self._epoch:
            self._ended.append(self._epoch)
            self._hub.publish(NewEpoch())
        self._epoch = epoch
        self._next_n = None
        self._next_seq = dict.fromkeys(self._known(), 0)
        self._removed.clear()


def _counted(state: str, reason: str) -> tuple[str, str]:
    """The labels to count; unknown states and reasons become `other`, to bound the metrics."""
    return (
        state if state in STATES else _OTHER,
        reason if not reason or reason in REASONS else _OTHER,
    )


def _removal(camera: str, table: StateRecord) -> Status:
    state, reason = _REMOVED
    return Status(
        ts=round(table.ts, 3),
        epoch=table.epoch,
        subject="camera",
        camera=camera,
        state=state,
        reason=reason,
        message=REASONS[reason],
    )


def _camera_of(topic: str) -> str:
    """The camera of a result topic. Raises ValueError if no pool sends such a topic."""
    camera = topic[len(bus.RESULT) : -1]
    if topic != f"{bus.RESULT}{camera}/" or not NAME.fullmatch(camera):
        raise ValueError(topic)
    return camera


def _check_outcome(record: OutcomeRecord) -> None:
    """Like `_check`, but without a loop because this runs for every result."""
    if not (
        0 <= record.n < _LARGEST
        and 0 <= record.seq < _LARGEST
        and 0 <= record.frame < _LARGEST
        and 0 <= record.width < _LARGEST
        and 0 <= record.height < _LARGEST
        and 0 <= record.worker < _LARGEST
        and 0 <= record.ts < _LARGEST
        and 0 <= record.captured_at < _LARGEST
        and 0 <= record.started_at < _LARGEST
        and 0 <= record.finished_at < _LARGEST
        and (record.pts is None or -_LARGEST < record.pts < _LARGEST)
    ):
        raise ValueError(record.camera)


def _check(*numbers: Any) -> None:
    """Raises ValueError for a number that no pool sends."""
    for number in numbers:
        if not 0 <= number < _LARGEST:  # false for NaN, too
            raise ValueError(number)
