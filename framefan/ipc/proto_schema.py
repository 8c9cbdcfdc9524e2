"""The messages of protocol.py as Protocol Buffers: their fields, and the text of the .proto file.

The fields come from the records. Their numbers are in `NUMBERS` and never change, because clients
are compiled with them. A new field gets the next number, and the number of a removed field is not
reused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Literal, NamedTuple

import msgspec
from msgspec import UNSET, inspect

from framefan.ipc.protocol import (
    CommandError,
    Failure,
    Gap,
    Latency,
    Reply,
    Result,
    Resumed,
    Status,
)
from framefan.ipc.records import Detection, PredictError

PACKAGE = "framefan.v1"
STRUCT, VALUE = "google.protobuf.Struct", "google.protobuf.Value"
"""An object as JSON has it, and any value as JSON has it."""
STRUCT_FILE = "google/protobuf/struct.proto"

ENVELOPE: dict[str, type[Any]] = {
    "result": Result,
    "error": Failure,
    "status": Status,
    "gap": Gap,
    "resumed": Resumed,
    "reply": Reply,
}
"""What a message may be: the records by their `type`."""
RECORDS: tuple[type[Any], ...] = (
    *ENVELOPE.values(),
    Latency,
    Detection,
    PredictError,
    CommandError,
)
COMMANDS = ("subscribe", "unsubscribe", "auth", "ping")

_HEAD = {
    "v": 1, "camera": 2, "seq": 3, "epoch": 4, "frame": 5, "ts": 6, "pts": 7, "width": 8,
    "height": 9, "model": 10, "worker": 11, "missed": 12, "missed_by": 13, "latency_ms": 14,
}  # fmt: skip

NUMBERS: dict[str, dict[str, int]] = {
    "Message": {"result": 1, "error": 2, "status": 3, "gap": 4, "resumed": 5, "reply": 6},
    "Result": _HEAD | {"detections": 15, "result": 16},
    "Failure": _HEAD | {"error": 15},
    "Status": {
        "v": 1, "ts": 2, "epoch": 3, "subject": 4, "camera": 5, "worker": 6, "state": 7,
        "reason": 8, "message": 9, "next_try_s": 10,
    },
    "Gap": {
        "v": 1, "camera": 2, "epoch": 3, "first_seq": 4, "last_seq": 5, "missed": 6, "missed_by": 7,
    },
    "Resumed": {"v": 1, "camera": 2, "epoch": 3, "seq": 4, "recovered": 5},
    "Reply": {
        "id": 1, "text_id": 2, "error": 3, "subscribe": 4, "unsubscribe": 5, "auth": 6, "ping": 7,
    },
    "Latency": {"wait": 1, "predict": 2, "deliver": 3, "total": 4},
    "Detection": {
        "label": 1, "confidence": 2, "box": 3, "class_id": 4, "track_id": 5, "mask": 6,
        "keypoints": 7, "angle": 8,
    },
    "PredictError": {"kind": 1, "message": 2},
    "CommandError": {"code": 1, "message": 2, "temporary": 3},
    "Command": {
        "id": 1, "text_id": 2, "subscribe": 3, "unsubscribe": 4, "auth": 5, "ping": 6, "ack": 7,
    },
}  # fmt: skip

_NOTES = {
    "Message": "What a client receives: one in each binary frame. Ignore one in which none is set.",
    "Command": "What a client may send in a binary frame. Only acknowledgements have no id.",
    "Result": "Where `result` is not set, an empty `detections` says that nothing was seen.",
    "Detection": "`box`: x1, y1, x2, y2 in pixels of the frame. `mask`: x, y of each point. "
    "`keypoints`: x, y, confidence of each.",
}


class Field(NamedTuple):
    name: str
    number: int
    kind: str
    """A scalar's name in proto3, or a message's."""
    label: Literal["", "optional", "repeated", "map"] = ""
    """A `map` is one of strings to `kind`."""
    oneof: str = ""
    group: int = 1
    """How many of the repeated numbers are one item of the record's list."""


@cache
def messages() -> Mapping[str, tuple[Field, ...]]:
    """Every message and its fields. Raises KeyError for a field that has no number."""
    found = {"Message": _numbered("Message", [(n, r.__name__) for n, r in ENVELOPE.items()])}
    found |= {record.__name__: tuple(_fields(record)) for record in RECORDS}
    numbers = NUMBERS["Command"]
    found["Command"] = (
        *_ids(numbers),
        *_numbered("Command", [(name, STRUCT) for name in COMMANDS] + [("ack", "int64")]),
    )
    return found


def _numbered(message: str, kinds: list[tuple[str, str]]) -> tuple[Field, ...]:
    numbers = NUMBERS[message]
    return tuple(Field(name, numbers[name], kind, oneof=message.lower()) for name, kind in kinds)


def _ids(numbers: Mapping[str, int]) -> tuple[Field, Field]:
    """An id is a number or a text."""
    return (
        Field("id", numbers["id"], "int64", oneof="any_id"),
        Field("text_id", numbers["text_id"], "string", oneof="any_id"),
    )


def _fields(record: type[Any]) -> Iterator[Field]:
    numbers = NUMBERS[record.__name__]
    found = inspect.type_info(record)
    assert isinstance(found, inspect.StructType)
    defaults = {field.name: field.default for field in msgspec.structs.fields(record)}
    for field in found.fields:
        if record is Reply and field.name == "id":
            yield from _ids(numbers)
            continue
        kind, label = _kind(field.type)
        optional = defaults[field.name] is UNSET and not label
        yield Field(
            field.name,
            numbers[field.name],
            kind,
            "optional" if optional else label,
            group=_group(field.type),
        )


def _group(found: inspect.Type) -> int:
    is_tuples = isinstance(found, inspect.ListType) and isinstance(
        found.item_type, inspect.TupleType
    )
    return len(found.item_type.item_types) if is_tuples else 1  # type: ignore[attr-defined]


_SCALARS = {
    inspect.IntType: "int64",
    inspect.FloatType: "double",
    inspect.StrType: "string",
    inspect.LiteralType: "string",
    inspect.BoolType: "bool",
    inspect.AnyType: VALUE,
}


def _kind(found: inspect.Type) -> tuple[str, Literal["", "repeated", "map"]]:
    match found:
        case inspect.StructType():
            return found.cls.__name__, ""
        case inspect.ListType():
            return _kind(found.item_type)[0], "repeated"
        case inspect.TupleType():
            return _kind(found.item_types[0])[0], "repeated"
        case inspect.DictType(value_type=inspect.AnyType()):
            return STRUCT, ""
        case inspect.DictType():
            return _kind(found.value_type)[0], "map"
    return _SCALARS[type(found)], ""


# ---- as text -------------------------------------------------------------------------------------


def text() -> str:
    """The .proto file."""
    parts = [
        "// What framefan's WebSocket says with format=protobuf; docs/protocol.md tells more.\n"
        "// Fields are only ever added.\n"
        'syntax = "proto3";\n\n'
        f"package {PACKAGE};\n\n"
        f'import "{STRUCT_FILE}";\n'
    ]
    for name, fields in messages().items():
        note = f"// {_NOTES[name]}\n" if name in _NOTES else ""
        parts.append(f"{note}message {name} {{\n{''.join(_lines(fields))}}}\n")
    return "\n".join(parts)


def _lines(fields: tuple[Field, ...]) -> Iterator[str]:
    within = ""
    for field in fields:
        if within and field.oneof != within:
            yield "  }\n"
        if field.oneof and field.oneof != within:
            yield f"  oneof {field.oneof} {{\n"
        within = field.oneof
        yield f"{'    ' if within else '  '}{_declared(field)} = {field.number};\n"
    if within:
        yield "  }\n"


def _declared(field: Field) -> str:
    if field.label == "map":
        return f"map<string, {field.kind}> {field.name}"
    label = f"{field.label} " if field.label else ""
    return f"{label}{field.kind} {field.name}"
