"""From whatever a predictor returns to the one schema that clients read.

A tried list of shapes, first match wins:

1. Detections: our `Detection`; a list of them; an `(N, 6)` array of x1, y1, x2, y2, confidence,
   class; anything with `xyxy`, `confidence` and `class_id` (supervision); anything with `boxes`
   that has `xyxy`, `conf` and `cls`, or a list of one such (Ultralytics).
2. A value: anything JSON can say, with dataclasses, msgspec structs, numpy scalars and arrays
   turned into it. It must be finite, a tree, and not larger than `result_bytes`.

What is neither is a ResultError whose `kind` a client sees.
"""

from __future__ import annotations

import dataclasses
import inspect
import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np

from framefan.ipc.records import Detection

if TYPE_CHECKING:
    from collections.abc import Callable

DEPTH = 32
_FAR_PICTURES, _FAR = 16, 16_384
"""A corner that is so many pictures away, and so many pixels, was never seen in this picture."""
Kind = Literal["detections", "value", "error"]
Labels = Sequence[str] | Mapping[int, str]


class ResultError(Exception):
    """What a predictor returned cannot be sent; `kind` says why in one word."""

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


def convert(returned: Any, labels: Labels, limit: int, longest: int = 0) -> tuple[Kind, bytes]:
    """The kind and MessagePack of what predict returned; raises ResultError.

    `labels` gives the names of class numbers; `limit` is the most bytes a result may take, and
    `longest` the longer side of the picture.
    """
    if returned is None:
        raise ResultError(
            "returned_none", "predict returned None; an empty list says that nothing was seen"
        )
    if isinstance(returned, np.ndarray):
        _Room(limit).take(returned.size)  # before an object is made of every row
    try:
        detections = as_detections(returned, labels)
    except (TypeError, ValueError, OverflowError) as problem:  # columns of unlike length or shape
        raise ResultError("bad_detection", f"these are no detections: {problem}") from problem
    if detections is not None:
        if len(detections) * 16 > limit:  # cheap first look; the exact one is below
            raise _too_large(len(detections) * 16, limit)
        far = max(_FAR_PICTURES * longest, _FAR)
        return "detections", _packed([_checked(each, far) for each in detections], limit)
    return "value", _packed(plain(returned, limit), limit)


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


# ---- detections ------------------------------------------------------------------------------


def as_detections(returned: Any, labels: Labels) -> list[Detection] | None:
    """The detections in what was returned, or None when it is something else."""
    if isinstance(returned, Detection):
        return [returned]
    if isinstance(returned, list | tuple):
        if all(isinstance(each, Detection) for each in returned):
            return list(returned)
        if len(returned) == 1 and hasattr(returned[0], "boxes"):
            return as_detections(returned[0], labels)
        return None
    if isinstance(returned, np.ndarray):
        if returned.ndim == 2 and returned.shape[1] == 6 and returned.dtype.kind in "fiu":
            return _from_rows(returned[:, :4], returned[:, 4], returned[:, 5], _namer(labels))
        return None
    return _from_object(returned, labels)


def _from_object(returned: Any, labels: Labels) -> list[Detection] | None:
    boxes = getattr(returned, "boxes", None)
    if boxes is not None and hasattr(boxes, "xyxy") and hasattr(boxes, "conf"):
        name = _namer(getattr(returned, "names", None) or labels)
        return _from_rows(boxes.xyxy, boxes.conf, boxes.cls, name, getattr(boxes, "id", None))
    if hasattr(returned, "xyxy") and hasattr(returned, "class_id"):
        data = getattr(returned, "data", None)
        names = data.get("class_name") if isinstance(data, dict) else None
        found = _from_rows(
            returned.xyxy,
            getattr(returned, "confidence", None),
            returned.class_id,
            _namer(labels),
            getattr(returned, "tracker_id", None),
        )
        for detection, label in zip(found, names if names is not None else (), strict=False):
            detection.label = str(label)
        return found
    return None


def _namer(labels: Labels) -> Callable[[int], str]:
    def name(number: int) -> str:
        if number < 0:  # of a list, that would be one of its last
            return str(number)
        try:
            return str(labels[number]) or str(number)
        except (LookupError, TypeError):
            return str(number)

    return name


def _array(values: Any) -> Any:
    """A numpy array of a tensor or array; a tensor on a device is fetched first."""
    for step in ("detach", "cpu", "numpy"):
        if hasattr(values, step):
            values = getattr(values, step)()
    return np.asarray(values)


def _from_rows(
    boxes: Any, confidences: Any, classes: Any, name: Callable[[int], str], tracks: Any = None
) -> list[Detection]:
    rows = _array(boxes).reshape(-1, 4).tolist()
    count = len(rows)
    sure = [1.0] * count if confidences is None else _array(confidences).ravel().tolist()
    kinds = [0] * count if classes is None else _array(classes).ravel().tolist()
    found = []
    for box, confidence, kind in zip(rows, sure, kinds, strict=True):
        number = int(kind) if math.isfinite(kind) else -1
        found.append(
            Detection(label=name(number), confidence=confidence, box=tuple(box), class_id=number)
        )
    if tracks is not None:
        for detection, track in zip(found, _array(tracks).ravel().tolist(), strict=True):
            detection.track_id = int(track)
    return found


def _checked(detection: Detection, far: float) -> Detection:
    """A detection whose fields are what the schema promises, or ResultError."""
    try:
        box = tuple(float(value) for value in detection.box)
        confidence = float(detection.confidence)
        class_id, track_id = _whole(detection.class_id), _whole(detection.track_id)
    except (TypeError, ValueError, OverflowError) as problem:
        raise ResultError(
            "bad_detection", f"box, confidence and ids are numbers: {problem}"
        ) from problem
    if len(box) != 4:
        raise ResultError("bad_detection", f"a box is x1, y1, x2, y2; this one has {len(box)}")
    if not all(map(math.isfinite, box)) or not math.isfinite(confidence):
        raise ResultError(
            "not_finite",
            "a box or confidence is NaN or infinite; JSON has neither: "
            f"confidence {confidence}, box {_listed(box)}",
        )
    x1, y1, x2, y2 = (round(value, 2) for value in box)
    whole = Detection(
        label=str(detection.label),
        confidence=round(confidence, 4) + 0.0,  # no -0.0
        box=(x1, y1, x2, y2),
        class_id=class_id,
        track_id=track_id,
    )
    _check_values(whole, far)
    return whole


def _check_values(detection: Detection, far: float) -> None:
    """What has the right type and is no detection. Raises ResultError, which names the value."""
    confidence, (x1, y1, x2, y2) = detection.confidence, detection.box
    if not 0 <= confidence <= 1:
        hint = "; a share of 1 is meant, not per cent" if 1 < confidence <= 100 else ""
        raise ResultError(
            "bad_detection", f"a confidence lies from 0 to 1; this one is {confidence:g}{hint}"
        )
    if x2 < x1 or y2 < y1:
        raise ResultError(
            "bad_detection",
            "a box is x1, y1, x2, y2 with x1 <= x2 and y1 <= y2; this one is "
            f"{_listed(detection.box)}",
        )
    if max(map(abs, detection.box)) > far:
        raise ResultError(
            "bad_detection",
            "a box is in pixels of its picture; this one lies far outside it: "
            f"{_listed(detection.box)}",
        )


def _listed(box: Sequence[float]) -> str:
    """A box for people: `50, 10.5, 1e+300, 7`."""
    return ", ".join(f"{value:.10g}" for value in box)


def _whole(number: Any) -> int | msgspec.UnsetType:
    """An id of whatever integer type; None says, as leaving it out does, that there is none."""
    return msgspec.UNSET if number is None or number is msgspec.UNSET else int(number)


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
