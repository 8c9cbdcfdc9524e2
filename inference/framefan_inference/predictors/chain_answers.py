"""What `on_crops` of a chain returned for a crop, merged into the detection of that crop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import structs

from framefan.ipc.records import Detection
from framefan.predictors import DROP
from framefan_inference.predictors.result_error import ResultError, named

if TYPE_CHECKING:
    from collections.abc import Callable

_FIELDS = Detection.__struct_fields__
_MAY_BE = (
    "it may return None, a label, a pair of label and confidence, a dict of a detection's fields "
    f"({', '.join(_FIELDS)}), or DROP"
)


def merge(detection: Detection, answer: Any, left: int, top: int) -> Detection | None:
    """The detection with the answer in it; None: it is dropped.

    `left`, `top`: where the crop begins in its picture, in pixels. Raises ResultError.
    """
    if isinstance(answer, ResultError):
        raise answer
    if answer is None:
        return detection
    if answer is DROP:
        return None
    if isinstance(answer, str):
        return structs.replace(detection, label=_label(answer, "None leaves it as it is"))
    if isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[0], str):
        label = _label(answer[0], "None leaves it as it is")
        return structs.replace(detection, label=label, confidence=_confidence(answer[1]))
    if isinstance(answer, Mapping):
        return structs.replace(detection, **_fields(answer, left, top))
    raise _bad(f"{named(answer)} for a crop; {_MAY_BE}")


def _bad(what: str) -> ResultError:
    return ResultError("bad_detection", f"on_crops returned {what}")


def _label(given: Any, advice: str = "leave out `label` to keep the one of the detector") -> str:
    """Raises ResultError."""
    if isinstance(given, str) and given:
        return str(given)
    raise _bad(f"a label that is {'an empty text' if given == '' else named(given)}; {advice}")


def _confidence(given: Any) -> Any:
    """Its value is checked with the whole detection. Raises ResultError."""
    is_truth = isinstance(given, bool) or getattr(given, "dtype", None) == np.bool_
    if given is None or is_truth or isinstance(given, str | bytes):
        raise _bad(f"a confidence that is {named(given)}; a confidence is a number from 0 to 1")
    return given


_CHECKS: dict[str, Callable[[Any], Any]] = {"label": _label, "confidence": _confidence}


def _fields(answer: Mapping[Any, Any], left: int, top: int) -> dict[str, Any]:
    """The answer's fields; coordinates become those of the picture. Raises ResultError."""
    for key in answer:
        if key not in _FIELDS:
            raise _bad(f'a dict with "{key}"; a detection has {", ".join(_FIELDS)}')
    fields = {key: _CHECKS[key](each) if key in _CHECKS else each for key, each in answer.items()}
    for name, columns in (("box", (4,)), ("mask", (2,)), ("keypoints", (2, 3))):
        if fields.get(name) is not None:
            fields[name] = _moved(name, fields[name], columns, (left, top))
    return fields


def _moved(name: str, given: Any, columns: tuple[int, ...], by: tuple[int, int]) -> list[Any]:
    """Coordinates of a crop as those of its picture. Raises ResultError."""
    try:
        numbers = np.array(given, np.float64)
        rows = numbers.reshape(1, -1) if name == "box" else numbers
        if rows.ndim != 2 or rows.shape[1] not in columns:
            raise ValueError(f"an array of {' x '.join(map(str, numbers.shape))}")
    except (TypeError, ValueError) as problem:
        form = {"box": "x1, y1, x2, y2", "mask": "a list of x, y"}.get(
            name, "a list of x, y, share"
        )
        raise _bad(f"a {name} that is not {form}: {problem}") from None
    rows[:, :2] += by
    if name == "box":
        rows[:, 2:] += by
    moved: list[Any] = rows.tolist()
    return moved[0] if name == "box" else moved
