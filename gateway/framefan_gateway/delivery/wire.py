"""The messages clients receive, and their bytes, encoded once and shared.

A message is encoded when the first client is due it, once per (format, missed); every other client
that is due the same is handed the same body. Who writes it puts it into frames: see frames.py.

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
from framefan_gateway.delivery.accounts import NOTHING, Missed

if TYPE_CHECKING:
    from framefan_gateway.delivery.subscription import DetectionFilter

_LENGTH = struct.Struct("!I")

_PLAIN = (NOTHING, None)
_FORMATS: tuple[Format, ...] = ("json", "msgpack", "protobuf")
_EMPTY: tuple[Any, ...] = ([], {}, "", None)
_BARE = 900
"""About the bytes of a record, its strings and the objects around them."""
_DECODED = 10
"""About how much larger a payload is as objects."""

_json = msgspec.json.Encoder()
_msgpack = msgspec.msgpack.Encoder()
_detections = msgspec.msgpack.Decoder(list[Detection])
_error = msgspec.msgpack.Decoder(PredictError)
_value = msgspec.msgpack.Decoder()


class Body(NamedTuple):
    """One whole message as bytes."""

    data: bytes
    binary: bool
    """Whether these are no text."""


def body(message: Struct, fmt: Format) -> Body:
    """The message as a client of this format gets it: text for JSON, else binary."""
    if fmt == "json":
        return Body(_json.encode(message), False)
    if fmt == "protobuf":
        return Body(protobuf.encode(message), True)
    return Body(_msgpack.encode(message), True)


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

    def later(self, fmt: Format, elapsed_s: float) -> Body:
        """The same to somebody who is told it so much later: the next try is the nearer."""
        wait = self.message.next_try_s if isinstance(self.message, Status) else UNSET
        if wait is UNSET:
            return self.body(fmt)
        left = max(round(wait - elapsed_s, 2), 0.0)
        return body(msgspec.structs.replace(self.message, next_try_s=left), fmt)


class Picture:
    """A JPEG of the frame of a result that has come before."""

    __slots__ = ("camera", "jpeg", "of", "picture")

    def __init__(self, record: PreviewRecord) -> None:
        self.camera = record.camera
        self.of = record.epoch, record.seq, record.frame
        self.picture = record.picture
        self.jpeg = record.jpeg

    def body(self, message: bytes) -> Body:
        """The length of `message` in four bytes, `message`, the JPEG.

        `message`: the result's, in JSON.
        """
        return Body(b"".join((_LENGTH.pack(len(message)), message, self.jpeg)), True)


class Outcome(Struct, gc=False, eq=False):
    """A result or error of one seq: the same bytes for every client that missed the same.

    Thousands are kept, and none is part of a circle of references. So the collector of these is
    told to leave them out, else it stops the gateway for as long as it needs to walk through all.
    """

    record: OutcomeRecord
    camera: str = ""
    epoch: str = ""
    seq: int = 0
    _message: Result | Failure | None = None
    _bodies: dict[tuple[Format, Missed, DetectionFilter | None], Body] | None = None
    """What has been made; None from `rest` on."""
    _plain: tuple[bytes | None, ...] = (None,) * len(_FORMATS)
    """By format, from `rest` on: what most clients get, if it has been made."""

    def __post_init__(self) -> None:
        """Raises msgspec.MsgspecError when the payload is not what `kind` says."""
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
        self, fmt: Format, missed: Missed, now: float, picks: DetectionFilter | None = None
    ) -> Body:
        """The message to a client that missed `missed`; `deliver` ends at the first encoding."""
        key = fmt, missed, picks
        found = self._made(key)
        if found is None:
            message = self.message
            if picks is not None and isinstance(message, Result):
                message = msgspec.structs.replace(message, detections=_picked(message, picks))
            if missed is NOTHING:
                message.missed, message.missed_by = 0, UNSET
            else:
                message.missed = sum(missed)
                message.missed_by = missed.by_cause() if message.missed else UNSET
            message.latency_ms = latency(self.record, now)
            found = body(message, fmt)
            if self._bodies is not None:
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

    def empty(self, picks: DetectionFilter | None) -> bool:
        """Whether nothing was seen, of what is picked; an error is never empty."""
        message = self.message
        if isinstance(message, Failure):
            return False
        if message.detections is UNSET:
            return message.result in _EMPTY
        return not _picked(message, picks)

    def rest(self) -> None:
        """From here on keep nothing that can be made again, but the bytes that most clients get."""
        bodies, self._bodies, self._message = self._bodies or {}, None, None
        for key, made in bodies.items():
            if key[1:] == _PLAIN:
                self._keep(key[0], made)

    @property
    def size(self) -> int:
        """About the bytes of memory it takes."""
        whole = 0 if self._message is None else _DECODED * len(self.record.payload)
        made = sum(len(each.data) for each in (self._bodies or {}).values())
        made += sum(len(data) for data in self._plain if data is not None)
        return _BARE + len(self.record.payload) + whole + made


def _picked(message: Result, picks: DetectionFilter | None) -> list[Detection] | UnsetType:
    if picks is None or message.detections is UNSET:
        return message.detections
    labels, least = picks
    return [
        seen
        for seen in message.detections
        if (labels is None or seen.label in labels) and seen.confidence >= least
    ]


_UNTIMED = Latency(0, 0, 0, 0)
_SHARED = set(Result.__struct_fields__) & set(Failure.__struct_fields__)


def latency(record: OutcomeRecord, now: float) -> Latency:
    """`now` and the record's stamps are of the clock that all our processes share."""
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
    _json.encode(value)  # what has no JSON form is refused here, before anyone is offered it
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
    """Whether a client that joins later is to know of it, until a status says that it is over."""
    if status.subject == "predictor":
        return status.reason == CIRCUIT and status.state != "closed"
    return status.subject in ("camera", "pool") and status.state != "live"


def camera_status(camera: str, facts: CameraFacts, epoch: str, ts: float) -> Status:
    """The status of a camera as the state table of `ts` tells it."""
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
    """The status of a camera's circuit as the state table of `ts` tells it."""
    return Status(
        ts=round(ts, 3),
        epoch=epoch,
        subject="predictor",
        camera=camera,
        state=facts.circuit,
        reason=CIRCUIT,
        message=facts.circuit_message,
    )
