"""The messages that clients receive, and their bytes, encoded once and shared.

A message is encoded when the first client is due it, once per (format, missed, detection filter).
All other clients that are due the same share that body. frames.py makes the WebSocket frames.

JSON is strict: msgspec writes a float that is not finite as null.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec import UNSET, Struct, UnsetType

from framefan.ipc import protobuf
from framefan.ipc.protocol import Failure, Format, Gap, Latency, Result, Status
from framefan.ipc.records import (
    CIRCUIT,
    CameraFacts,
    Detection,
    OutcomeRecord,
    PredictError,
    PreviewRecord,
    StatusRecord,
)
from framefan.settings.states import STILL
from framefan_gateway.delivery.accounts import NOTHING, Missed

if TYPE_CHECKING:
    from framefan_gateway.delivery.subscription import DetectionFilter

_LENGTH = struct.Struct("!I")

_PLAIN = (NOTHING, None)
_FORMATS: tuple[Format, ...] = ("json", "msgpack", "protobuf")
_EMPTY: tuple[Any, ...] = ([], {}, "", None)
_BARE = 900
"""Roughly how many bytes a record takes with its strings and other objects, without payload."""
_DECODED = 10
"""Roughly how many times larger a payload is when decoded."""

_json = msgspec.json.Encoder()
_msgpack = msgspec.msgpack.Encoder()
_detections = msgspec.msgpack.Decoder(list[Detection])
_error = msgspec.msgpack.Decoder(PredictError)
_value = msgspec.msgpack.Decoder()


class Body(NamedTuple):
    """One encoded message."""

    data: bytes
    binary: bool
    """Whether it is sent as a binary message, not as text."""


def body(message: Struct, fmt: Format) -> Body:
    """Encode a message in this format: text for JSON, else binary."""
    if fmt == "json":
        return Body(_json.encode(message), False)
    if fmt == "protobuf":
        return Body(protobuf.encode(message), True)
    return Body(_msgpack.encode(message), True)


_MOST_BODIES = 64
"""Bodies of one outcome that are kept. Each client may ask for another filter."""


class Notice:
    """A status or gap: the same bytes for every client of a format."""

    def __init__(self, message: Status | Gap) -> None:
        self.message = message
        self._bodies: dict[Format, Body] = {}

    def body(self, fmt: Format) -> Body:
        found = self._bodies.get(fmt)
        if found is None:
            found = self._bodies[fmt] = body(self.message, fmt)
        return found

    def body_later(self, fmt: Format, elapsed_s: float) -> Body:
        """The status, sent `elapsed_s` later: `next_try_s` is reduced by that."""
        wait = self.message.next_try_s if isinstance(self.message, Status) else UNSET
        if wait is UNSET:
            return self.body(fmt)
        left = max(round(wait - elapsed_s, 2), 0.0)
        return body(msgspec.structs.replace(self.message, next_try_s=left), fmt)


class Picture:
    """A JPEG of the frame of an earlier result."""

    __slots__ = ("camera", "jpeg", "of", "picture")

    def __init__(self, record: PreviewRecord) -> None:
        self.camera = record.camera
        self.of = record.epoch, record.seq, record.frame
        self.picture = record.picture
        self.jpeg = record.jpeg

    def body(self, message: bytes) -> Body:
        """Four bytes with the length of `message`, `message` (the result's JSON), the JPEG."""
        return Body(b"".join((_LENGTH.pack(len(message)), message, self.jpeg)), True)


class Outcome(Struct, gc=False, eq=False):
    """A result or error of one seq: the same bytes for every client that missed the same.

    Thousands are kept, and none is part of a reference cycle. So they are excluded from garbage
    collection (`gc=False`), which would otherwise pause the gateway while it traverses all of them.
    """

    record: OutcomeRecord
    camera: str = ""
    epoch: str = ""
    seq: int = 0
    _message: Result | Failure | None = None
    _bodies: dict[tuple[Format, Missed, DetectionFilter | None], Body] | None = None
    """All encoded bodies; None after `compact`."""
    _plain: tuple[bytes | None, ...] = (None,) * len(_FORMATS)
    """After `compact`, by format: the body that most clients get, if it was encoded."""

    def __post_init__(self) -> None:
        """Raises msgspec.MsgspecError if the payload does not match `kind`."""
        record = self.record
        self.camera, self.epoch, self.seq = record.camera, record.epoch, record.seq
        self._message, self._bodies = _message(record), {}

    @property
    def id(self) -> tuple[str, int, int]:
        """Epoch, seq and frame."""
        return self.epoch, self.seq, self.record.frame

    @property
    def message(self) -> Result | Failure:
        return self._message or _message(self.record)

    def body(
        self,
        fmt: Format,
        missed: Missed,
        now: float,
        detection_filter: DetectionFilter | None = None,
    ) -> Body:
        """The body for a client that missed `missed`; `deliver` is taken at the first encoding."""
        key = fmt, missed, detection_filter
        found = self._made(key)
        if found is None:
            message = self.message
            if detection_filter is not None and isinstance(message, Result):
                message = msgspec.structs.replace(
                    message, detections=_filter_detections(message, detection_filter)
                )
            if missed is NOTHING:
                message.missed, message.missed_by = 0, UNSET
            else:
                message.missed = sum(missed)
                message.missed_by = missed.by_cause() if message.missed else UNSET
            message.latency_ms = latency(self.record, now)
            found = body(message, fmt)
            if self._bodies is not None and len(self._bodies) < _MOST_BODIES:
                self._bodies[key] = found
            elif key[1:] == _PLAIN:
                self._keep(fmt, found)
        return found

    def _made(self, key: tuple[Format, Missed, DetectionFilter | None]) -> Body | None:
        if self._bodies is not None:
            return self._bodies.get(key)
        data = self._plain[_FORMATS.index(key[0])] if key[1:] == _PLAIN else None
        return None if data is None else Body(data, key[0] != "json")

    def _keep(self, fmt: Format, made: Body) -> None:
        kept = list(self._plain)
        kept[_FORMATS.index(fmt)] = made.data
        self._plain = tuple(kept)

    def empty(self, detection_filter: DetectionFilter | None) -> bool:
        """Whether no detection passes the filter; an error is never empty."""
        message = self.message
        if isinstance(message, Failure):
            return False
        if message.detections is UNSET:
            return message.result in _EMPTY
        return not _filter_detections(message, detection_filter)

    def compact(self) -> None:
        """Free all that can be computed again, except the bodies that most clients get."""
        bodies, self._bodies, self._message = self._bodies or {}, None, None
        for key, made in bodies.items():
            if key[1:] == _PLAIN:
                self._keep(key[0], made)

    @property
    def size(self) -> int:
        """Roughly how many bytes of memory it takes."""
        whole = 0 if self._message is None else _DECODED * len(self.record.payload)
        made = sum(len(each.data) for each in (self._bodies or {}).values())
        made += sum(len(data) for data in self._plain if data is not None)
        return _BARE + len(self.record.payload) + whole + made


def _filter_detections(
    message: Result, detection_filter: DetectionFilter | None
) -> list[Detection] | UnsetType:
    if detection_filter is None or message.detections is UNSET:
        return message.detections
    labels, least = detection_filter
    return [
        seen
        for seen in message.detections
        if (labels is None or seen.label in labels) and seen.confidence >= least
    ]


_UNTIMED = Latency(0, 0, 0, 0)
_SHARED = set(Result.__struct_fields__) & set(Failure.__struct_fields__)


def latency(record: OutcomeRecord, now: float) -> Latency:
    """The latency in milliseconds. `now` and the record's times are of the same monotonic clock."""
    captured, started, finished = record.captured_at, record.started_at, record.finished_at
    return Latency(
        wait=round((started - captured) * 1000, 2),
        predict=round((finished - started) * 1000, 2),
        deliver=round((now - finished) * 1000, 2),
        total=round((now - captured) * 1000, 2),
    )


def _message(record: OutcomeRecord) -> Result | Failure:
    if record.kind == "detections":
        return _result(record, _detections.decode(record.payload), UNSET)
    if record.kind == "error":
        error = _error.decode(record.payload)
        head = _result(record, UNSET, UNSET)
        shared = {name: getattr(head, name) for name in _SHARED}
        return Failure(**shared, error=error)
    value = _value.decode(record.payload)
    _json.encode(value)  # raises here if it has no JSON form, before any client is offered it
    return _result(record, UNSET, value)


def _result(record: OutcomeRecord, detections: list[Detection] | UnsetType, value: Any) -> Result:
    return Result(
        camera=record.camera,
        seq=record.seq,
        epoch=record.epoch,
        frame=record.frame,
        ts=round(record.ts, 3),
        pts=UNSET if record.pts is None else round(record.pts, 6),
        width=record.width,
        height=record.height,
        model=record.model,
        worker=record.worker,
        missed=0,
        latency_ms=_UNTIMED,
        detections=detections,
        result=value,
    )


def status(record: StatusRecord) -> Status:
    return Status(
        ts=round(record.ts, 3),
        epoch=record.epoch,
        subject=record.subject,
        camera=UNSET if record.camera is None else record.camera,
        worker=UNSET if record.worker is None else record.worker,
        state=record.state,
        reason=record.reason,
        message=record.message,
        next_try_s=UNSET if record.next_try_s is None else record.next_try_s,
    )


def is_trouble(status: Status) -> bool:
    """Whether clients that join later are sent this status, until a later one ends it."""
    if status.subject == "predictor":
        return status.reason == CIRCUIT and status.state != "closed"
    if status.reason == STILL:
        return True  # no trouble, but it explains why no results come
    return status.subject in ("camera", "pool") and status.state != "live"


def camera_status(camera: str, facts: CameraFacts, epoch: str, ts: float) -> Status:
    """The status of a camera, from the state table of time `ts`."""
    return Status(
        ts=round(ts, 3),
        epoch=epoch,
        subject="camera",
        camera=camera,
        state=facts.state,
        reason=facts.reason,
        message=facts.message,
        next_try_s=UNSET if facts.next_try_s is None else facts.next_try_s,
    )


def circuit_status(camera: str, facts: CameraFacts, epoch: str, ts: float) -> Status:
    """The status of a camera's circuit breaker, from the state table of time `ts`."""
    return Status(
        ts=round(ts, 3),
        epoch=epoch,
        subject="predictor",
        camera=camera,
        state=facts.circuit,
        reason=CIRCUIT,
        message=facts.circuit_message,
    )
