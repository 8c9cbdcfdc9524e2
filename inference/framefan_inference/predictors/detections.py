"""Detections in whatever a predictor returns: which forms are some.

The first form that fits counts:

1. Our `Detection`, or a list of them.
2. A list of dicts with `label`, `box` and, if there, the other fields of a Detection.
3. An array `(N, 6)`: x1, y1, x2, y2, confidence, class. One of `(N, 7)` has a track too:
   behind the class or, as Ultralytics writes it, before the confidence. One without elements.
4. An object with `xyxy`, `confidence` and `class_id` (supervision).
5. An object whose `boxes` or `obb` have `xyxy`, `conf` and `cls` (Ultralytics), a list of one such,
   or those boxes themselves.
6. A dict of `boxes`, `scores` and `labels` (torchvision), or a list of one.

Masks, key points and angles are taken over from 1, 2, 4, 5 and 6; detection_check.py checks them.
If such an object holds them in a form that is not known, it is read without them, and the caller
is told what was left out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import UNSET

from framefan.ipc.records import Detection
from framefan_inference.predictors import shapes
from framefan_inference.predictors.arrays import is_tensor, to_array
from framefan_inference.predictors.result_error import ResultError

if TYPE_CHECKING:
    from collections.abc import Callable

Labels = Sequence[str] | Mapping[int, str]
UNNAMED = "object"
"""The label of a detection whose predictor names no class."""
_FIELDS = set(Detection.__struct_fields__)
_TORCHVISION = ("boxes", "scores", "labels")
_MORE = {"masks", "keypoints", "keypoints_scores"}
"""What torchvision's dicts may hold besides. Those scores have no limit, as a confidence has."""


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
    if not set(_TORCHVISION) <= returned.keys() <= {*_TORCHVISION, *_MORE}:
        return None
    boxes, scores, kinds = (returned[key] for key in _TORCHVISION)
    if not all(is_tensor(each) or isinstance(each, np.ndarray) for each in (boxes, scores, kinds)):
        return None
    found = _from_rows(boxes, scores, kinds, namer(labels))
    _add_masks(found, returned.get("masks"), left_out)
    _add_keypoints(found, returned.get("keypoints"), left_out)
    if "keypoints_scores" in returned:
        left_out("scores of key points")
    return found


def _from_object(
    returned: Any, labels: Labels, left_out: Callable[[str], None]
) -> list[Detection] | None:
    names = getattr(returned, "names", None) or labels
    for part in ("boxes", "obb"):
        boxes = getattr(returned, part, None)
        if _are_boxes(boxes):
            found = _from_boxes(boxes, names)
            _add_masks(found, getattr(returned, "masks", None), left_out)
            _add_keypoints(found, getattr(returned, "keypoints", None), left_out)
            return found
    if _are_boxes(returned):
        return _from_boxes(returned, names)
    if hasattr(returned, "xyxy") and hasattr(returned, "confidence"):
        return _from_supervision(returned, labels, left_out)
    return None


def _are_boxes(boxes: Any) -> bool:
    return all(hasattr(boxes, name) for name in ("xyxy", "conf", "cls"))


def _from_boxes(boxes: Any, names: Labels) -> list[Detection]:
    found = _from_rows(boxes.xyxy, boxes.conf, boxes.cls, namer(names), getattr(boxes, "id", None))
    if hasattr(boxes, "xywhr"):
        rows = to_array(boxes.xywhr).reshape(-1, 5).tolist()
        for detection, (x, y, width, height, angle) in zip(found, rows, strict=True):
            detection.angle = angle
            if math.isfinite(angle):  # else the check says so
                detection.angle = math.remainder(angle, math.tau)
                detection.mask = shapes.rotated(x, y, width, height, angle)  # type: ignore[assignment]
    return found


def _from_supervision(
    returned: Any, labels: Labels, left_out: Callable[[str], None]
) -> list[Detection]:
    data = getattr(returned, "data", None)
    data = data if isinstance(data, dict) else {}
    found = _from_rows(
        returned.xyxy,
        returned.confidence,
        getattr(returned, "class_id", None),
        namer(labels),
        getattr(returned, "tracker_id", None),
    )
    names = data.get("class_name")
    for detection, label in zip(found, names if names is not None else (), strict=False):
        detection.label = str(label)
    _add_masks(found, getattr(returned, "mask", None), left_out)
    _add_corners(found, data.get("xyxyxyxy"))
    return found


# ---- masks, key points and corners, one for each of what was found ---------------------------


def _add_masks(found: list[Detection], masks: Any, left_out: Callable[[str], None]) -> None:
    """Outlines (`xy` of Ultralytics), or bitmaps `[n, H, W]` or `[n, 1, H, W]`."""
    if masks is None or not found:
        return
    each = getattr(masks, "xy", None)
    if isinstance(each, list | tuple):
        # Of a speck of one or two pixels there is no outline.
        each = [points if len(points) > 2 else None for points in each]
    else:
        each = _array_of(masks, sides=(3, 4))
        if each is None:
            left_out("masks")
            return
    for detection, mask in zip(found, each, strict=True):
        detection.mask = UNSET if mask is None else mask


def _add_keypoints(found: list[Detection], points: Any, left_out: Callable[[str], None]) -> None:
    """`[n, k, 2 or 3]`, or `data` of that form (Ultralytics). 0, 0 is a point that is not seen."""
    if points is None or not found:
        return
    is_array = isinstance(points, np.ndarray) or is_tensor(points)
    rows = _array_of(points if is_array else getattr(points, "data", None), sides=(3,))
    if rows is None or rows.shape[2] not in (2, 3):
        left_out("key points")
        return
    if rows.shape[2] == 2:
        rows = np.concatenate([rows, (rows != 0).any(axis=2, keepdims=True)], axis=2)
    for detection, mine in zip(found, rows, strict=True):
        detection.keypoints = mine


def _add_corners(found: list[Detection], corners: Any) -> None:
    """Rotated boxes `[n, 4, 2]`, by their corners.

    They stand clockwise from the first one, or counter-clockwise from the third one (Ultralytics).
    """
    if corners is None:
        return
    for detection, given in zip(found, to_array(corners).reshape(-1, 4, 2), strict=True):
        first, second = given[1] - given[0], given[2] - given[1]
        is_clockwise = first[0] * second[1] >= first[1] * second[0]
        mine = given if is_clockwise else given[[2, 1, 0, 3]]
        across, down = mine[1] - mine[0]
        detection.mask, detection.angle = mine, math.atan2(down, across)


def _array_of(values: Any, sides: tuple[int, ...]) -> Any:
    """An array of numbers with so many sides; None for all else."""
    if values is None:
        return None
    try:
        array = to_array(values)
    except (TypeError, ValueError):
        return None
    return array if array.ndim in sides and array.dtype.kind in "biuf" else None


def namer(labels: Labels) -> Callable[[int], str]:
    def name(number: int) -> str:
        if number < 0:  # of a list, that would be one of its last
            return str(number)
        try:
            return str(labels[number]) or str(number)
        except (LookupError, TypeError):
            return str(number)

    return name


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
