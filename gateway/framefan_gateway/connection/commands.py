"""Commands: what clients send, parsed strictly. An invalid command does not close the connection.

A command is one object with the name of the command as a key, and an `id` for its reply:
`{"id": 1, "subscribe": {"cameras": ["front"]}}`. Text messages are JSON. Binary messages are
MessagePack, or Protocol Buffers if the client's subscription has that format.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from framefan.ipc import protobuf
from framefan.ipc.protocol import CommandError, Format, Reply
from framefan_gateway.connection.options import (
    BAD_VALUE,
    NOT_DECODED,
    UNKNOWN_COMMAND,
    Refusal,
    shorten,
)

_LARGEST_ACK = 1 << 53
"""Larger numbers are not exact in every language, and no connection sends as many messages."""
_ACK_BYTES = 64
"""The greatest length of an acknowledgement."""
NAMES = ("subscribe", "unsubscribe", "auth", "ping")
_LONGEST_ID = 64
_LARGEST_ID = 1 << 63
"""MessagePack cannot encode larger numbers in a reply."""

Id = int | str | None


class Command(NamedTuple):
    id: Id
    name: str
    options: dict[str, Any]


class _Acknowledged(msgspec.Struct, forbid_unknown_fields=True):
    ack: int | float
    """Whole; languages with one type of numbers may write 1.0."""


_json_ack = msgspec.json.Decoder(_Acknowledged)
_msgpack_ack = msgspec.msgpack.Decoder(_Acknowledged)


def parse_ack(data: bytes | bytearray | memoryview, fmt: Format, *, binary: bool) -> int | None:
    """How many messages an acknowledgement says were handled; None if `data` is not one."""
    if len(data) > _ACK_BYTES:
        return None
    if binary and fmt == "protobuf":
        return _protobuf_ack(bytes(data))
    if b"ack" not in bytes(data):
        return None
    try:
        count = (_msgpack_ack if binary else _json_ack).decode(data).ack
    except (msgspec.MsgspecError, ValueError):
        return None
    whole = isinstance(count, int) or count.is_integer()
    return int(count) if whole and abs(count) < _LARGEST_ACK else None


def _protobuf_ack(data: bytes) -> int | None:
    try:
        found = protobuf.read_command(data)
    except protobuf.Garbled:
        return None
    return found.get("ack") if len(found) == 1 else None


class NotACommand(Exception):
    """A client's message is not a valid command; `reply` says why."""

    def __init__(self, number: Id, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.reply = refuse(number, refusal)


def refuse(number: Id, refusal: Refusal) -> Reply:
    return Reply(id=number, error=CommandError(refusal.code, refusal.message, refusal.temporary))


def read(message: str | bytes, fmt: Format, *, acks: bool = False) -> Command:
    """Parse a client's message in this format. Raises NotACommand, with the reply.

    `acks`: the client acknowledges, and this message is no valid acknowledgement.
    """
    found = _decode(message, fmt)
    if not isinstance(found, dict) or not all(isinstance(key, str) for key in found):
        raise NotACommand(None, Refusal(NOT_DECODED, "a command is one object"))
    number = found.pop("id", None)
    if isinstance(number, bool) or not isinstance(number, Id):
        raise NotACommand(None, Refusal(BAD_VALUE, "id is a whole number or a text"))
    if isinstance(number, str) and len(number) > _LONGEST_ID:
        raise NotACommand(None, Refusal(BAD_VALUE, f"id is longer than {_LONGEST_ID}"))
    if isinstance(number, int) and not -_LARGEST_ID <= number < _LARGEST_ID:
        raise NotACommand(None, Refusal(BAD_VALUE, "id is not within 64 bits"))
    try:
        return _command(number, found, acks)
    except Refusal as refusal:
        raise NotACommand(number, refusal) from None


def _decode(message: str | bytes, fmt: Format) -> Any:
    kind = "JSON" if isinstance(message, str) else "MessagePack"
    try:
        if isinstance(message, str):
            return msgspec.json.decode(message)
        if fmt == "protobuf":
            kind = "Command in Protocol Buffers"
            return protobuf.read_command(message)
        return msgspec.msgpack.decode(message)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise NotACommand(None, Refusal(NOT_DECODED, f"this is no {kind}")) from None


def _command(number: Id, found: dict[str, Any], acks: bool) -> Command:
    if len(found) != 1:
        what = "no command" if not found else "more than one command"
        raise Refusal(UNKNOWN_COMMAND, f"{what}; send one of {', '.join(NAMES)}")
    ((name, options),) = found.items()
    if name == "ack" and acks:
        raise Refusal(BAD_VALUE, 'an acknowledgement is {"ack": N} alone, N a whole number')
    if name == "ack":
        raise Refusal(UNKNOWN_COMMAND, "acknowledgements are not asked for; subscribe with ack=N")
    if name not in NAMES:
        known = ", ".join(NAMES)
        raise Refusal(UNKNOWN_COMMAND, f'unknown command "{shorten(name)}"; known: {known}')
    if name == "auth" and isinstance(options, str):
        options = {"token": options}
    options = {} if options is None else options
    if not isinstance(options, dict) or not all(isinstance(key, str) for key in options):
        raise Refusal(BAD_VALUE, f"{name} takes an object of options")
    return Command(number, name, options)
