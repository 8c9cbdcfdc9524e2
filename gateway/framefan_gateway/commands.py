"""Commands: what a client may send, and the answer to it. Nobody is dropped for a wrong one."""

from __future__ import annotations

from typing import Any

import msgspec

from framefan.protocol import CommandError, Reply

NOT_JSON = 100
UNKNOWN = 101


def answer(text: str | bytes) -> bytes:
    """The JSON reply to one message of a client."""
    try:
        command: Any = msgspec.json.decode(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return _error(None, NOT_JSON, "a command is one JSON object")
    if not isinstance(command, dict):
        return _error(None, NOT_JSON, "a command is one JSON object")
    number = command.get("id")
    known = number if isinstance(number, int | str) and not isinstance(number, bool) else None
    names = ", ".join(sorted(str(name)[:40] for name in command if name != "id")[:4])
    return _error(known, UNKNOWN, f'unknown command "{names}"')


def _error(number: int | str | None, code: int, message: str) -> bytes:
    return msgspec.json.encode(Reply(error=CommandError(code, message), id=number))
