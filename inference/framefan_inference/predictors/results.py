"""From whatever a predictor returns to the one schema that clients read.

1. Detections, in any of the forms of detections.py.
2. Classes of the whole picture (`probs` of Ultralytics): `{"classes": [{"label", "confidence"}]}`,
   the surest first.
3. A value: anything JSON can say, with dataclasses, msgspec structs, NumPy scalars, arrays and
   tensors turned into it. It must be finite, a tree, and not larger than `result_bytes`.

What is none of these is a ResultError whose `kind` a client sees.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np

from framefan_inference.predictors import arrays, detection_check, detections
from framefan_inference.predictors.detections import Labels
from framefan_inference.predictors.result_error import ResultError

if TYPE_CHECKING:
    from collections.abc import Callable

    from framefan.ipc.records import Detection

__all__ = ["Kind", "Labels", "ResultError", "convert", "error", "plain"]

DEPTH = 32
_SUREST = 5
"""How many classes of a picture a result has at most."""
Kind = Literal["detections", "value", "error"]


def _ignore(_what: str) -> None:
    """Ignore what was left out."""


def convert(
    returned: Any,
    labels: Labels,
    limit: int,
    size: tuple[int, int] = (0, 0),
    left_out: Callable[[str], None] = _ignore,
) -> tuple[Kind, bytes]:
    """The kind and MessagePack of what predict returned; raises ResultError.

    `labels` gives the names of class numbers; `limit` is the most bytes a result may take, and
    `size` the width and height of the picture. `left_out` is called with the name of what an
    object holds in a form that is not known.
    """
    if isinstance(returned, ResultError):  # of one picture of a batch
        raise returned
    found = detections_in(returned, labels, limit, size, left_out)
    if found is not None:
        return "detections", _packed(found, limit)
    classes = _classes(returned, labels)
    return "value", _packed(plain(returned if classes is None else classes, limit), limit)


def detections_in(
    returned: Any,
    labels: Labels,
    limit: int,
    size: tuple[int, int] = (0, 0),
    left_out: Callable[[str], None] = _ignore,
) -> list[Detection] | None:
    """The checked detections in what predict returned; None if it is something else.

    The arguments are those of `convert`. Raises ResultError.
    """
    if returned is None:
        raise ResultError(
            "returned_none", "predict returned None; an empty list says that nothing was seen"
        )
    if arrays.is_tensor(returned):
        returned = arrays.to_array(returned)
    if isinstance(returned, np.ndarray):
        _Room(limit).take(returned.size)  # before an object is made of every row
    try:
        found = detections.find_detections(returned, labels, left_out)
    except (TypeError, ValueError, OverflowError) as problem:  # columns of unlike length or shape
        raise ResultError("bad_detection", f"these are no detections: {problem}") from problem
    if found is None:
        return None
    if len(found) * 16 > limit:  # cheap first look; `convert` measures the exact size
        raise _too_large(len(found) * 16, limit)
    return detection_check.check(found, size, limit)


def _classes(returned: Any, labels: Labels) -> dict[str, Any] | None:
    """What a classifier of Ultralytics says of the whole picture, or None if it is none."""
    if isinstance(returned, list | tuple) and len(returned) == 1:
        (returned,) = returned
    probs = getattr(returned, "probs", None)
    if probs is None or not hasattr(probs, "data"):
        return None
    shares = arrays.to_array(probs.data).ravel()
    names = getattr(returned, "names", None) or labels
    surest = np.argsort(-shares, kind="stable")[:_SUREST].tolist()
    name = detections.namer(names)
    return {
        "classes": [
            {"label": name(n), "confidence": round(float(shares[n]), 4), "class_id": n}
            for n in surest
        ]
    }


def error(kind: str, message: str) -> bytes:
    """The payload of an error result. What is no text in it (a lone surrogate) is replaced."""
    text = message[:1000].encode(errors="replace").decode()
    return msgspec.msgpack.encode({"kind": kind, "message": text})


def _packed(value: Any, limit: int) -> bytes:
    try:
        data = msgspec.msgpack.encode(value)
    except (TypeError, ValueError, OverflowError) as problem:  # 2**70, a lone surrogate
        raise ResultError("unsupported", f"the result cannot be encoded: {problem}") from problem
    if len(data) > limit:
        raise _too_large(len(data), limit)
    return data


def _too_large(size: int, limit: int) -> ResultError:
    return ResultError("too_large", f"the result takes {size:,} bytes; {limit:,} are allowed")


# ---- values ----------------------------------------------------------------------------------


class _Room:
    """How many more elements a result may have: every one takes a byte at least.

    Counted over the whole tree: the same list may stand in it any number of times.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._left = limit

    def take(self, count: int) -> None:
        self._left -= count
        if self._left < 0:
            raise _too_large(self.limit - self._left, self.limit)


def plain(value: Any, limit: int) -> Any:
    """The value as None, bool, int, float, str, list and dict only; raises ResultError."""
    return _plain(value, _Room(limit), 0)


def _plain(value: Any, room: _Room, depth: int) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, str):
        return str.__str__(value)  # the encoder takes no subclass, numpy.str_ for one
    if isinstance(value, float):
        return _finite(value)
    if depth > DEPTH:
        raise ResultError("recursive", f"the result contains itself, or is over {DEPTH} deep")
    if arrays.is_tensor(value):
        value = arrays.to_array(value)
    if isinstance(value, np.ndarray | np.generic):
        return _plain_array(value, room, depth)
    if isinstance(value, bytes | bytearray | memoryview):
        raise ResultError("returned_bytes", "bytes have no place in JSON; send numbers or text")
    return _plain_container(value, room, depth)


def _plain_container(value: Any, room: _Room, depth: int) -> Any:
    if isinstance(value, msgspec.Struct):
        fields = ((name, getattr(value, name)) for name in value.__struct_fields__)
        value = {name: each for name, each in fields if each is not msgspec.UNSET}
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        room.take(len(value))
        whole = {_key(key): _plain(each, room, depth + 1) for key, each in value.items()}
        _keep_keys(whole, value)
        return whole
    if isinstance(value, list | tuple | AbstractSet):
        room.take(len(value))
        return [_plain(each, room, depth + 1) for each in value]
    if inspect.iscoroutine(value) or inspect.isgenerator(value):
        value.close()
        raise ResultError(
            "unsupported",
            f"predict returned a {_name(value)}, which nobody runs; return what it would give",
        )
    raise ResultError(
        "unsupported",
        f"the result holds a {_name(value)}, which JSON cannot say; return numbers, text, lists, "
        "dicts or detections",
    )


def _plain_array(value: Any, room: _Room, depth: int) -> Any:
    if value.dtype.kind not in "biufUO":
        raise ResultError("unsupported", f"arrays of {value.dtype} have no place in JSON")
    if value.dtype.kind == "O":
        return _plain(value.tolist(), room, depth + 1)
    room.take(value.size)
    if value.dtype.kind == "f" and not np.isfinite(value).all():
        raise ResultError(
            "not_finite",
            "the result contains NaN or infinity, which JSON has not; None may stand for it",
        )
    return value.tolist()


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ResultError(
            "not_finite",
            "the result contains NaN or infinity, which JSON has not; None may stand for it",
        )
    return float(value)


def _key(key: Any) -> str:
    if isinstance(key, str):
        return str.__str__(key)
    if isinstance(key, bool | int | float | np.integer):
        return str(key)
    raise ResultError("unsupported", f"a key is {_name(key)}; JSON wants text")


def _keep_keys(whole: Mapping[str, Any], value: Mapping[Any, Any]) -> None:
    if len(whole) < len(value):
        raise ResultError("unsupported", "two keys of a dict become the same text, as 1 and '1'")


def _name(value: Any) -> str:
    kind = type(value)
    return (
        kind.__qualname__
        if kind.__module__ == "builtins"
        else f"{kind.__module__}.{kind.__qualname__}"
    )
