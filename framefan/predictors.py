"""For predictors of your own: `chain` puts a second stage behind a detector.

    from framefan.predictors import chain

    plates = chain("onnx:plates.onnx", read, labels=["plate"], margin=0.1)

`framefan run -p FILE.py:plates` then runs both, frame by frame, in each worker.
"""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["DROP", "Chain", "chain"]


class _Drop:
    def __repr__(self) -> str:
        return "DROP"


DROP: Final = _Drop()
"""What `on_crops` returns for a crop whose detection is to be left out."""


class Chain(Struct, frozen=True):
    """What `chain` was called with; framefan makes the predictor of it."""

    detector: Any
    on_crops: Callable[..., Any]
    labels: tuple[str, ...] | None
    margin: float
    min_size: int
    max_crops: int


def chain(
    detector: Any,
    on_crops: Callable[..., Any],
    *,
    labels: Iterable[str] | None = None,
    margin: float = 0.0,
    min_size: int = 0,
    max_crops: int = 32,
) -> Chain:
    """A predictor that finds things with `detector`, and has `on_crops` look at each of them.

    `detector`: a reference as for `--predictor`, or a function or class with `predict`, whose
    results are detections. `on_crops(crops, detections)` gets the crops of one picture, or of
    several with a detector that takes batches. A crop is `uint8[h,w,3]` BGR, a copy: it may be
    kept and written to. It returns a list with one item for each crop, in their order:

    - None: the detection stays as it is.
    - A text: its new label. A pair of a text and a number: its label and confidence.
    - A dict of fields of a detection: `label`, `confidence`, `class_id`, `track_id`, `angle`, and,
      in pixels of the crop, `box`, `mask` (a polygon) and `keypoints`.
    - DROP: the detection is left out.

    It may be a class, of which each worker makes one object, and may have `setup` and `close` as a
    predictor has. It is not called for a picture without crops.

    `labels`: only detections with these labels are cropped; None: all. `margin`: how much is added
    at each side, as a share of the box, from 0 to 10. `min_size`: boxes with fewer pixels inside
    the picture, in width or height, are not cropped; with 0, a box without any is an error.
    `max_crops`: the most crops of one picture; the most confident detections are cropped.
    Detections that are not cropped stay as they are.

    Raises TypeError or ValueError for an argument that cannot be.
    """
    if not callable(on_crops):
        raise TypeError(f"on_crops is a function or class, not {on_crops!r}")
    return Chain(
        detector,
        on_crops,
        _labels(labels),
        _share(margin),
        _whole("min_size", min_size, 0, "a whole number of pixels, 0 or more"),
        _whole("max_crops", max_crops, 1, "a whole number, 1 or more"),
    )


def _share(given: Any) -> float:
    """Raises TypeError and ValueError."""
    told = f"margin is a number from 0 to 10, a share of the box, not {given!r}"
    if isinstance(given, bool) or not isinstance(given, Real):
        raise TypeError(told)
    if given < 0 or not given <= 10:  # `not`: NaN is refused, too
        raise ValueError(told)
    return float(given)


def _whole(name: str, given: Any, least: int, may_be: str) -> int:
    """Raises TypeError and ValueError."""
    told = f"{name} is {may_be}, not {given!r}"
    if isinstance(given, bool) or not isinstance(given, Integral):
        raise TypeError(told)
    if given < least:
        raise ValueError(told)
    return int(given)


def _labels(given: Any) -> tuple[str, ...] | None:
    """Raises TypeError and ValueError."""
    if given is None:
        return None
    if isinstance(given, str):
        raise TypeError(f"labels is a list of labels: write labels=[{given!r}]")
    told = f"labels is a list of labels, at least one text, or None for all labels, not {given!r}"
    if not isinstance(given, Iterable):
        raise TypeError(told)
    labels = tuple(given)
    if not all(isinstance(each, str) for each in labels):
        raise TypeError(told)
    if not labels or "" in labels:
        raise ValueError(told)
    return labels
