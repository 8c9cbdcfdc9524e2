"""A client's options, from the URL's query or from a command: parsed and checked.

Both have the same options. Values are text in a query, with commas in lists, and JSON in a command.
Errors name the option.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from framefan.errors import did_you_mean
from framefan.ipc import protobuf
from framefan.settings.query import pairs as read_query
from framefan.settings.run import NAME
from framefan_gateway.delivery.subscription import (
    DEFAULT,
    Ack,
    Opening,
    StreamPosition,
    Subscription,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

NOT_DECODED = 100
UNKNOWN_COMMAND = 101
UNKNOWN_CAMERA = 102
BAD_VALUE = 103
UNKNOWN_OPTION = 104
UNAUTHORIZED = 105

PREVIEWS = (320, 640, 1280)
"""The widths of pictures, in pixels."""
_EPOCH = re.compile(r"[A-Za-z0-9_-]{1,64}")
_MOST_SINCE = 512
_MOST_HISTORY = 1_000_000
_MOST_ACK = 1000
_LARGEST_SEQ = 1 << 53
_LEAST_FPS, _MOST_FPS = 0.001, 1000.0
_SHOWN = 40
"""How many characters of a client's input a reply repeats."""


class Refusal(Exception):
    """A request that is refused."""

    def __init__(self, code: int, message: str, *, temporary: bool = False) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.temporary = temporary


class Options(NamedTuple):
    subscription: Subscription
    opening: Opening
    ack: Ack | None = None


def parse_query(query: str, cameras: Collection[str]) -> Options:
    """Parse the query of a new client's URL. Raises Refusal."""
    try:
        pairs = read_query(query, "strict", 100)
    except ValueError:
        raise Refusal(BAD_VALUE, "the query cannot be read") from None
    options: dict[str, Any] = {}
    for name, value in pairs:
        known = _name(name)
        if known in _LISTS:
            options.setdefault(known, []).extend(value.split(","))
        elif known in options:
            raise Refusal(BAD_VALUE, f"{name} is given twice")
        else:
            options[known] = _plain(known, value)
    return subscribe(DEFAULT, options, cameras)


def subscribe(
    subscription: Subscription,
    options: Mapping[str, Any],
    cameras: Collection[str],
    ack: Ack | None = None,
) -> Options:
    """`subscription` and `ack`, changed by the options. Raises Refusal."""
    changes: dict[str, Any] = {}
    for name, value in options.items():
        known = _name(name)
        if known in changes:
            raise Refusal(BAD_VALUE, f"{shorten(name)} is given twice")
        changes[known] = _READ[known](known, value)
    since, ack = changes.pop("since", {}), changes.pop("ack", ack)
    unknown = dict.fromkeys(name for name in since if name not in cameras)
    opening = Opening(changes.pop("history", 1), since, unknown)
    _check_cameras(changes.get("cameras") or (), cameras)
    changed = msgspec.structs.replace(subscription, **changes)
    for camera in opening.since:
        if not changed.covers(camera):
            raise Refusal(BAD_VALUE, f'since names "{camera}", which is not subscribed to')
    return Options(changed, opening, ack)


def unsubscribe(
    subscription: Subscription, options: Mapping[str, Any], cameras: Collection[str]
) -> Subscription:
    """`subscription` without the named cameras; without any if none is named. Raises Refusal."""
    named: frozenset[str] | None = None
    for name, value in options.items():
        if _ALIASES.get(name, name) != "cameras":
            raise Refusal(UNKNOWN_OPTION, f'unsubscribe takes cameras, not "{shorten(name)}"')
        named = _names("cameras", value)
    if named is None:
        return msgspec.structs.replace(subscription, cameras=frozenset())
    _check_cameras(named, cameras)
    before = frozenset(cameras) if subscription.cameras is None else subscription.cameras
    return msgspec.structs.replace(subscription, cameras=before - named)


def shorten(text: object) -> str:
    """A client's input, shortened for a reply."""
    whole = str(text)
    return whole if len(whole) <= _SHOWN else whole[:_SHOWN] + "..."


def _check_cameras(named: Collection[str], cameras: Collection[str]) -> None:
    for camera in named:
        if camera not in cameras:
            known = ", ".join(sorted(cameras)) or "none yet"
            message = f'unknown camera "{shorten(camera)}"; known: {known}'
            raise Refusal(UNKNOWN_CAMERA, message, temporary=not cameras)


# ---- names and values ---------------------------------------------------------------------------


def _name(name: str) -> str:
    known = _ALIASES.get(name, name)
    if known in _READ:
        return known
    otherwise = f"known: {', '.join(_READ)}"
    hint = did_you_mean(name[:_SHOWN], [*_READ, *_ALIASES], '"{}"', otherwise)
    raise Refusal(UNKNOWN_OPTION, f'unknown option "{shorten(name)}"; {hint}')


def _plain(name: str, text: str) -> Any:
    """Convert a query's text to the value that a command would have."""
    if name == "nonempty":
        found = {"1": True, "true": True, "0": False, "false": False}.get(text.lower())
        return text if found is None else found
    if name in ("max_fps", "min_confidence", "history", "preview", "ack") and text.isascii():
        try:
            return float(text) if name in ("max_fps", "min_confidence") else int(text)
        except ValueError:
            return text
    return text


def _names(name: str, value: Any) -> frozenset[str] | None:
    if value is None:
        return None
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise Refusal(BAD_VALUE, f"{name} is a list of names")
    if not all(items):
        raise Refusal(BAD_VALUE, f"{name} has a name that is empty")
    return frozenset(items)


def _choice(*choices: str) -> Callable[[str, Any], Any]:
    def read(name: str, value: Any) -> Any:
        if value not in choices:
            raise Refusal(BAD_VALUE, f"{name} is {' or '.join(choices)}, not {shorten(value)!r}")
        return value

    return read


_FORMATS = _choice("json", "msgpack", "protobuf")


def _format(name: str, value: Any) -> Any:
    _FORMATS(name, value)
    if value == "protobuf" and not protobuf.is_usable():
        message = f"{name}=protobuf needs {protobuf.INSTALL} on the gateway's machine"
        raise Refusal(BAD_VALUE, message)
    return value


def _number(least: float, most: float, what: str) -> Callable[[str, Any], Any]:
    """A parser for numbers from `least` to `most`, 0 or None."""

    def read(name: str, value: Any) -> Any:
        if value is None:
            return 0.0
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not (value == 0 or least <= value <= most):  # false for NaN, too
            raise Refusal(BAD_VALUE, f"{name} is {what}, not {shorten(value)!r}")
        return float(value)

    return read


def _history(name: str, value: Any) -> int:
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or not 0 <= value <= _MOST_HISTORY:
        raise Refusal(
            BAD_VALUE,
            f"{name} is 0 to {_MOST_HISTORY} results, not {shorten(value)!r}",
        )
    return int(value)


def _ack(name: str, value: Any) -> Ack | None:
    if value in (None, "auto"):
        return value  # type: ignore[no-any-return]
    whole = isinstance(value, int) and not isinstance(value, bool)
    if not whole or not 0 <= value <= _MOST_ACK:
        raise Refusal(
            BAD_VALUE,
            f"{name} is a number of messages up to {_MOST_ACK}, or auto, not {shorten(value)!r}",
        )
    return int(value) or None


def _preview(name: str, value: Any) -> int:
    if value is None:
        return 0
    if isinstance(value, bool) or value not in (0, *PREVIEWS):
        widths = ", ".join(map(str, PREVIEWS))
        raise Refusal(
            BAD_VALUE, f"{name} is one of the widths {widths}, or 0, not {shorten(value)!r}"
        )
    return int(value)


def _flag(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise Refusal(BAD_VALUE, f"{name} is true or false, not {shorten(value)!r}")
    return value


def _since(name: str, value: Any) -> dict[str, StreamPosition]:
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list) or not all(isinstance(item, str) for item in items):
        raise Refusal(BAD_VALUE, f"{name} is CAMERA:EPOCH:SEQ, or a list of such")
    if len(items) > _MOST_SINCE:
        raise Refusal(BAD_VALUE, f"{name} names at most {_MOST_SINCE} cameras")
    found: dict[str, StreamPosition] = {}
    for item in items:
        camera, _, position = item.partition(":")
        epoch, _, seq = position.partition(":")
        digits = seq.isascii() and seq.isdigit() and len(seq) < 17
        named = NAME.fullmatch(camera) and _EPOCH.fullmatch(epoch)
        if not named or not digits or int(seq) > _LARGEST_SEQ:
            raise Refusal(BAD_VALUE, f"{name} is CAMERA:EPOCH:SEQ, not {shorten(item)!r}")
        if camera in found:
            raise Refusal(BAD_VALUE, f'{name} names "{shorten(camera)}" twice')
        found[camera] = StreamPosition(epoch, int(seq))
    return found


_ALIASES = {"camera": "cameras", "label": "labels"}
_LISTS = ("cameras", "labels", "since")
_READ: dict[str, Callable[[str, Any], Any]] = {
    "cameras": _names,
    "delivery": _choice("latest", "every"),
    "max_fps": _number(_LEAST_FPS, _MOST_FPS, "results a second, 0.001 to 1000, or 0"),
    "labels": _names,
    "min_confidence": _number(0.0, 1.0, "a number from 0 to 1"),
    "nonempty": _flag,
    "history": _history,
    "since": _since,
    "format": _format,
    "preview": _preview,
    "ack": _ack,
}
