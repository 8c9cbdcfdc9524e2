"""Encodes messages and commands as Protocol Buffers with the package `protobuf`.

That package is an extra, which is loaded when the first client asks for the format. The message
classes are made here at run time from the records (proto_schema.py), so there is no generated code
that could be outdated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from itertools import chain
from typing import Any, NamedTuple

import msgspec

from framefan.ipc import proto_schema, proto_value
from framefan.ipc.proto_schema import STRUCT, VALUE, Field
from framefan.ipc.protocol import Failure, Message, Result
from framefan.ipc.records import Detection, PredictError

INSTALL = "pip install 'framefan[protobuf]'"
_EXACT = float(1 << 53)
"""Up to here a double represents every whole number exactly."""
_WRITTEN: Mapping[str, Callable[[Any], bytes]] = {
    STRUCT: proto_value.of_object,
    VALUE: proto_value.of_value,
}
_SHARED = set(Result.__struct_fields__) & set(Failure.__struct_fields__)


class Garbled(ValueError):
    """These bytes are no message of that kind."""


class _Runtime(NamedTuple):
    message: Any
    command: Any
    error: type[Exception]
    """What parsing raises."""


def is_usable() -> bool:
    """Whether the package is installed. The first call takes about 0.1 s."""
    try:
        _runtime()
    except ImportError:
        return False
    return True


def is_loaded() -> bool:
    return _runtime.cache_info().currsize > 0


@cache
def _runtime() -> _Runtime:
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, struct_pb2
    from google.protobuf.message import DecodeError

    pool = descriptor_pool.DescriptorPool()  # our own: a user's framefan.v1 is none of our business
    pool.AddSerializedFile(struct_pb2.DESCRIPTOR.serialized_pb)
    pool.AddSerializedFile(_file(descriptor_pb2).SerializeToString())

    def made(name: str) -> Any:
        found = pool.FindMessageTypeByName(f"{proto_schema.PACKAGE}.{name}")
        return message_factory.GetMessageClass(found)

    return _Runtime(made("Message"), made("Command"), DecodeError)


# ---- the classes ---------------------------------------------------------------------------------


def _file(types: Any) -> Any:
    """The FileDescriptorProto."""
    file = types.FileDescriptorProto(
        name="framefan/result.v1.proto",
        package=proto_schema.PACKAGE,
        syntax="proto3",
        dependency=[proto_schema.STRUCT_FILE],
    )
    for name, fields in proto_schema.messages().items():
        message = file.message_type.add(name=name)
        for oneof in dict.fromkeys(field.oneof for field in fields if field.oneof):
            message.oneof_decl.add(name=oneof)
        named = {each.name: index for index, each in enumerate(message.oneof_decl)}
        for field in fields:
            declared = _declare(types.FieldDescriptorProto, message, field)
            if field.oneof:
                declared.oneof_index = named[field.oneof]
            elif field.label == "optional" and not _is_message(field.kind):
                # As protoc does: in a oneof of its own, behind all others.
                declared.proto3_optional = True
                declared.oneof_index = len(message.oneof_decl)
                message.oneof_decl.add(name=f"_{field.name}")
    return file


def _declare(types: Any, message: Any, field: Field) -> Any:
    many = field.label in ("repeated", "map")
    label = types.LABEL_REPEATED if many else types.LABEL_OPTIONAL
    declared = message.field.add(name=field.name, number=field.number, label=label)
    if field.label == "map":
        entry = "".join(part.title() for part in field.name.split("_")) + "Entry"
        pair = message.nested_type.add(name=entry)
        pair.options.map_entry = True
        _type(types, pair.field.add(name="key", number=1, label=types.LABEL_OPTIONAL), "string")
        _type(types, pair.field.add(name="value", number=2, label=types.LABEL_OPTIONAL), field.kind)
        _type(types, declared, f"{message.name}.{entry}")
    else:
        _type(types, declared, field.kind)
    return declared


def _type(types: Any, declared: Any, kind: str) -> None:
    if not _is_message(kind):
        declared.type = getattr(types, f"TYPE_{kind.upper()}")
        return
    declared.type = types.TYPE_MESSAGE
    declared.type_name = f".{kind}" if kind in _WRITTEN else f".{proto_schema.PACKAGE}.{kind}"


def _is_message(kind: str) -> bool:
    return not kind.islower()


# ---- messages ------------------------------------------------------------------------------------


def encode(message: msgspec.Struct) -> bytes:
    """A record of framefan.ipc.protocol as a `Message`. Raises ImportError without the package.

    A result that JSON can express and Protocol Buffers cannot becomes an error: an id beyond signed
    64 bits (`number`), or a value nested too deeply (`too_deep`).
    """
    try:
        return _encode(message)
    except ValueError as error:
        if not isinstance(message, Result):
            raise
        head = {name: getattr(message, name) for name in _SHARED}
        kind = "too_deep" if isinstance(error, proto_value.TooDeep) else "number"
        return _encode(Failure(**head, error=PredictError(kind, str(error))))


def _encode(message: msgspec.Struct) -> bytes:
    fields = msgspec.to_builtins(message, str_keys=True)
    kind = fields.pop("type")
    free = {name: fields.pop(name) for name in _free(kind) if name in fields}
    if isinstance(fields.get("id"), str):
        fields["text_id"] = fields.pop("id")
    for seen in fields.get("detections", ()):
        for name in _grouped() & seen.keys():
            seen[name] = list(chain.from_iterable(seen[name]))
    whole = _runtime().message(**{kind: fields})
    inner = getattr(whole, kind)
    for name, value in free.items():
        into = getattr(inner, name)
        into.SetInParent()
        into.MergeFromString(_free(kind)[name](value))
    return bytes(whole.SerializeToString())


@cache
def _grouped() -> frozenset[str]:
    """The fields of a Detection whose items are several numbers each."""
    fields = proto_schema.messages()[Detection.__name__]
    return frozenset(field.name for field in fields if field.group > 1)


@cache
def _free(kind: str) -> Mapping[str, Callable[[Any], bytes]]:
    """The fields of such a message that may hold whatever JSON can, and what writes each."""
    fields = proto_schema.messages()[proto_schema.ENVELOPE[kind].__name__]
    return {field.name: _WRITTEN[field.kind] for field in fields if field.kind in _WRITTEN}


def decode(data: bytes) -> Message | None:
    """The record; None for an unknown kind.

    Raises Garbled for what is no `Message`, msgspec.ValidationError where it lacks something.
    """
    found = plain(data)
    return None if found is None else msgspec.convert(found, Message)


def kind(data: bytes) -> str | None:
    """The `type` of a `Message`. Raises Garbled."""
    found: str | None = _parsed(_runtime().message, data).WhichOneof("message")
    return found


def plain(data: bytes) -> dict[str, Any] | None:
    """The same as the map that JSON has. Raises Garbled."""
    whole = _parsed(_runtime().message, data)
    kind = whole.WhichOneof("message")
    if kind is None:
        return None
    found = _plain(getattr(whole, kind), proto_schema.ENVELOPE[kind].__name__)
    if kind == "result" and "result" not in found:
        found.setdefault("detections", [])
    return {"type": kind} | found


def _parsed(message: Any, data: bytes) -> Any:
    try:
        return message.FromString(data)
    except _runtime().error as error:
        raise Garbled(str(error)) from None


class _Read(NamedTuple):
    """How a field is read; made once, for it is done for each field of each message."""

    name: str
    key: str
    label: str
    asked: bool
    """Whether it may be unset."""
    one: Callable[[Any], Any] | None
    """What makes a plain value of it; None: it is one."""
    kept: bool
    """Whether it is there even when it is empty."""
    group: int
    """How many of the repeated numbers are one item."""


@cache
def _reads(name: str) -> tuple[_Read, ...]:
    return tuple(
        _Read(
            field.name,
            "id" if field.name == "text_id" else field.name,
            field.label,
            bool(field.label or field.oneof or _is_message(field.kind)),
            _reader(field.kind),
            field.label not in ("map", "repeated") or name == "Gap",
            field.group,
        )
        for field in proto_schema.messages()[name]
    )


def _reader(kind: str) -> Callable[[Any], Any] | None:
    if kind in _WRITTEN:
        return _value if kind == VALUE else _struct
    return partial(_plain, name=kind) if _is_message(kind) else None


def _plain(message: Any, name: str) -> dict[str, Any]:
    found = {}
    for field, key, label, asked, one, kept, group in _reads(name):
        if label == "map":
            value: Any = dict(getattr(message, field))
        elif label == "repeated":
            many = getattr(message, field)
            value = list(many) if one is None else [one(each) for each in many]
            if group > 1:
                value = [value[at : at + group] for at in range(0, len(value), group)]
        elif asked and not message.HasField(field):
            continue
        else:
            value = getattr(message, field)
            value = value if one is None else one(value)
        if value or kept:
            found[key] = value
    return found


def _value(value: Any) -> Any:
    kind = value.WhichOneof("kind")
    if kind == "number_value":
        return _number(value.number_value)
    if kind == "struct_value":
        return _struct(value.struct_value)
    if kind == "list_value":
        return [_value(each) for each in value.list_value.values]
    return None if kind in (None, "null_value") else getattr(value, kind)


def _struct(value: Any) -> dict[str, Any]:
    return {key: _value(each) for key, each in value.fields.items()}


def _number(value: float) -> int | float:
    """The encoding has only doubles; whole numbers become int again."""
    return int(value) if value.is_integer() and abs(value) <= _EXACT else value


# ---- commands ------------------------------------------------------------------------------------


def encode_command(command: Mapping[str, Any]) -> bytes:
    """What JSON says as `{"id": 1, "subscribe": {...}}` or `{"ack": 5}`, as a `Command`."""
    whole = _runtime().command()
    for name, value in command.items():
        if name in proto_schema.COMMANDS:
            into = getattr(whole, name)
            into.SetInParent()
            into.MergeFromString(proto_value.of_object(value))
        else:
            setattr(whole, "text_id" if name == "id" and isinstance(value, str) else name, value)
    return bytes(whole.SerializeToString())


def read_command(data: bytes) -> dict[str, Any]:
    """A `Command` as the map that JSON has. Raises Garbled."""
    return _plain(_parsed(_runtime().command, data), "Command")
