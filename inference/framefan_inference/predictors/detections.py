"""Detections in whatever a predictor returns: which shapes are some, and what is checked of each.

The first form that fits counts:

1. Our `Detection`, or a list of them.
2. A list of dicts with `label`, `box` and, if there, `confidence`, `class_id` and `track_id`.
3. An array `(N, 6)`: x1, y1, x2, y2, confidence, class. One of `(N, 7)` has a track too:
   behind the class or, as Ultralytics writes it, before the confidence. One without elements.
4. An object with `xyxy`, `confidence` and `class_id` (supervision).
5. An object whose `boxes` or `obb` have `xyxy`, `conf` and `cls` (Ultralytics), a list of one such,
   or those boxes themselves.
6. A dict of `boxes`, `scores` and `labels` (torchvision), or a list of one.

An object may hold more than the schema has a field for (masks, key points, angles). It is read
without that, and the caller is told what was left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from framefan.ipc.records import Detection
from framefan_inference.predictors.result_error import ResultError

if TYPE_CHECKING:
    from collections.abc import Callable

_FAR_PICTURES, _FAR = 16, 16_384
"""A corner that is so many pictures away, and so many pixels, was never seen in this picture."""
Labels = Sequence[str] | Mapping[int, str]
UNNAMED = "object"
"""The label of a detection whose predictor names no class."""
_FIELDS = {"label", "confidence", "box", "class_id", "track_id"}
_TORCHVISION = ("boxes", "scores", "labels")
_DROPPED = {"masks": "masks", "keypoints": "key points"}


def find_detections(
    returned: Any, labels: Labels, left_out: Callable[[str], None]
) -> list[Detection] | None:
    """The detections in what was returned, or None when it is something else.

    `left_out` is called with the name of what an object holds and a detection cannot say. Raises
    ResultError, and TypeError or ValueError for columns that do not fit together.
    """
    if isinstance(returned, Detection):
        return [returned]
    if isinstance(returned, list | tuple):
        return _from_list(returned, labels, left_out)
    if isinstance(returned, np.ndarray):
        return _from_array(returned, namer(labels))
    if isinstance(returned, dict):
        return _from_torchvision(returned, labels, left_out)
    return _from_object(returned, labels, left_out)


def _from_list(
    returned: Sequence[Any], labels: Labels, left_out: Callable[[str], None]
) -> list[Detection] | None:
    if all(isinstance(each, Detection) for each in returned):
        return list(returned)
    if all(_is_dict_of_one(each) for each in returned):
        return [Detection(**({"confidence": 1.0} | each)) for each in returned]
    found = [each for each in returned if _holds_boxes(each)]
    if len(found) > 1 and len(found) == len(returned):
        raise ResultError(
            "wrong_count",
            f"predict returned the results of {len(found)} pictures for one; "
            "return those of its own picture, or write predict_batch",
        )
    return find_detections(returned[0], labels, left_out) if len(returned) == len(found) else None


def _is_dict_of_one(each: Any) -> bool:
    """Whether it is one detection as a dict. Nothing else may stand in it: then it is a value."""
    return isinstance(each, dict) and {"label", "box"} <= each.keys() <= _FIELDS


def _holds_boxes(each: Any) -> bool:
    if isinstance(each, dict):
        return set(_TORCHVISION) <= each.keys()
    return hasattr(each, "boxes") or hasattr(each, "obb")


def _from_array(rows: Any, name: Callable[[int], str]) -> list[Detection] | None:
    if rows.size == 0 and rows.ndim <= 2:
        return []
    if rows.ndim != 2 or rows.shape[1] not in (6, 7) or rows.dtype.kind not in "fiu":
        return None
    if rows.shape[1] == 6:
        return _from_rows(rows[:, :4], rows[:, 4], rows[:, 5], name)
    columns = _columns_of_seven(rows)
    if columns is None:
        return None
    confidence, kind, track = columns
    return _from_rows(rows[:, :4], rows[:, confidence], rows[:, kind], name, rows[:, track])


def _columns_of_seven(rows: Any) -> tuple[int, int, int] | None:
    """Where confidence, class and track stand; None for numbers that mean something else.

    Raises ResultError for numbers that could be read in both ways.
    """
    last = [_is_share(rows[:, 4]), _is_whole(rows[:, 5]), _is_whole(rows[:, 6])]
    before = [_is_share(rows[:, 5]), _is_whole(rows[:, 6]), _is_whole(rows[:, 4])]
    if all(last) and not all(before):
        return 4, 5, 6
    if all(before) and not all(last):
        return 5, 6, 4
    if not all(last):
        return None
    raise ResultError(
        "bad_detection",
        f"the columns of an array of {rows.shape[0]} x 7 cannot be told apart; return six "
        "(x1, y1, x2, y2, confidence, class), or Detection(..., track_id=...)",
    )


def _is_share(column: Any) -> bool:
    return bool(((column >= 0) & (column <= 1)).all())


def _is_whole(column: Any) -> bool:
    return bool((np.isfinite(column) & (column == np.floor(column))).all())


def _from_torchvision(
    returned: dict[Any, Any], labels: Labels, left_out: Callable[[str], None]
) -> list[Detection] | None:
    if not set(_TORCHVISION) <= returned.keys() <= {*_TORCHVISION, *_DROPPED}:
        return None
    boxes, scores, kinds = (returned[key] for key in _TORCHVISION)
    if not all(is_tensor(each) or isinstance(each, np.ndarray) for each in (boxes, scores, kinds)):
        return None
    for key in _DROPPED.keys() & returned.keys():
        left_out(_DROPPED[key])
    return _from_rows(boxes, scores, kinds, namer(labels))


def _from_object(
    returned: Any, labels: Labels, left_out: Callable[[str], None]
) -> list[Detection] | None:
    names = getattr(returned, "names", None) or labels
    for part in ("boxes", "obb"):
        boxes = getattr(returned, part, None)
        if _are_boxes(boxes):
            for name, called in _DROPPED.items():
                if getattr(returned, name, None) is not None:
                    left_out(called)
            return _from_boxes(boxes, names, left_out)
    if _are_boxes(returned):
        return _from_boxes(returned, names, left_out)
    if hasattr(returned, "xyxy") and hasattr(returned, "confidence"):
        return _from_supervision(returned, labels, left_out)
    return None


def _are_boxes(boxes: Any) -> bool:
    return all(hasattr(boxes, name) for name in ("xyxy", "conf", "cls"))


def _from_boxes(boxes: Any, names: Labels, left_out: Callable[[str], None]) -> list[Detection]:
    if hasattr(boxes, "xywhr"):
        left_out("angles of the boxes")
    return _from_rows(boxes.xyxy, boxes.conf, boxes.cls, namer(names), getattr(boxes, "id", None))


def _from_supervision(
    returned: Any, labels: Labels, left_out: Callable[[str], None]
) -> list[Detection]:
    if getattr(returned, "mask", None) is not None:
        left_out("masks")
    data = getattr(returned, "data", None)
    names = data.get("class_name") if isinstance(data, dict) else None
    found = _from_rows(
        returned.xyxy,
        returned.confidence,
        getattr(returned, "class_id", None),
        namer(labels),
        getattr(returned, "tracker_id", None),
    )
    for detection, label in zip(found, names if names is not None else (), strict=False):
        detection.label = str(label)
    return found


def namer(labels: Labels) -> Callable[[int], str]:
    def name(number: int) -> str:
        if number < 0:  # of a list, that would be one of its last
            return str(number)
        try:
            return str(labels[number]) or str(number)
        except (LookupError, TypeError):
            return str(number)

    return name


def is_tensor(value: Any) -> bool:
    """Whether it is an array of another library: it says so by a shape, and can become NumPy's."""
    return (
        not isinstance(value, np.ndarray | np.generic)
        and hasattr(value, "shape")
        and hasattr(value, "dtype")
        and (hasattr(value, "numpy") or hasattr(value, "__array__"))
    )


def to_array(values: Any) -> Any:
    """A NumPy array of a tensor or array; a tensor on a device is fetched first."""
    for step in ("detach", "cpu"):
        if hasattr(values, step):
            values = getattr(values, step)()
    if "bfloat16" in str(getattr(values, "dtype", "")) and hasattr(values, "float"):
        values = values.float()  # NumPy has no such type
    return np.asarray(values.numpy() if hasattr(values, "numpy") else values)


def _from_rows(
    boxes: Any, confidences: Any, classes: Any, name: Callable[[int], str], tracks: Any = None
) -> list[Detection]:
    rows = to_array(boxes).reshape(-1, 4).tolist()
    count = len(rows)
    sure = [1.0] * count if confidences is None else to_array(confidences).ravel().tolist()
    kinds = [None] * count if classes is None else to_array(classes).ravel().tolist()
    found = []
    for box, confidence, kind in zip(rows, sure, kinds, strict=True):
        found.append(Detection(label=UNNAMED, confidence=confidence, box=tuple(box)))
        if kind is not None:
            number = int(kind) if math.isfinite(kind) else -1
            found[-1].label, found[-1].class_id = name(number), number
    if tracks is not None:
        for detection, track in zip(found, to_array(tracks).ravel().tolist(), strict=True):
            detection.track_id = int(track)
    return found


# ---- what is checked of each -----------------------------------------------------------------


def check(detection: Detection, longest: int) -> Detection:
    """A detection whose fields are what the schema promises. Raises ResultError.

    `longest`: the longer side of the picture, in pixels.
    """
    return _checked(detection, max(_FAR_PICTURES * longest, _FAR))


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
