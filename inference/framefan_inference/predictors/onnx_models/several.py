"""Recognises the layouts of models with several outputs, by names, shapes and values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from framefan.errors import StartError
from framefan_inference.predictors.onnx_models import evidence
from framefan_inference.predictors.onnx_models.layouts import Head, Seen

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

SIZES = {"orig_target_sizes": (0, 1), "image_shape": (1, 0)}
"""By name, inputs that take the image size: the order of width (0) and height (1)."""
_RFDETR, _RTDETR = {"dets", "labels"}, {"pred_boxes", "pred_logits"}


def layouts(seen: Seen) -> Iterator[Head]:
    """Yield the layouts that fit.

    Raises StartError if models that need different inputs have these outputs.
    """
    shapes = [each.shape for each in seen.outputs]
    names = dict(zip(seen.names, range(len(seen.names)), strict=False))
    if {"labels", "boxes", "scores"} == names.keys() and "orig_target_sizes" in seen.inputs:
        order: tuple[int, ...] = (names["labels"], names["boxes"], names["scores"])
        yield Head("sized", corners=True, place="stretched", order=order)
    elif "image_shape" in seen.inputs and (order := _yolo3(shapes)):
        yield Head("yolo3", classes=shapes[order[1]][1], corners=True, order=order)
    elif len(shapes) == 2 and (order := _darknet(shapes)):
        yield from _darknet_head(seen, order)
    elif order := _logits(shapes):
        yield from _logits_head(seen, order)


def _at(shapes: Sequence[tuple[int, ...]], sides: int, last: int | None = None) -> list[int]:
    """The indices of outputs with this many dimensions, of which the last is `last`."""
    fits = [len(each) == sides and last in (None, each[-1]) for each in shapes]
    return [index for index, is_so in enumerate(fits) if is_so]


def _yolo3(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    if len(shapes) != 3:
        return ()
    boxes = _at(shapes, 3, 4)
    chosen = [n for n, each in enumerate(shapes) if each[-1] == 3 and n not in boxes]
    rest = [n for n in range(3) if n not in (*boxes, *chosen)]
    return (*boxes, *rest, *chosen) if len(boxes) == len(chosen) == 1 else ()


def _darknet(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    boxes = [n for n in _at(shapes, 4, 4) if shapes[n][2] == 1]
    scores = [n for n in _at(shapes, 3) if boxes and shapes[n][1] == shapes[boxes[0]][1]]
    return (*boxes, *scores) if len(boxes) == len(scores) == 1 else ()


def _darknet_head(seen: Seen, order: tuple[int, ...]) -> Iterator[Head]:
    boxes, scores = (seen.outputs[n][0] for n in order)
    count = scores.shape[1]
    fits = seen.classes.fits(count) and evidence.are_scores(scores)
    if fits and evidence.are_shares(boxes.reshape(-1, 4)):
        yield Head(
            "darknet", classes=count, unit="shares", corners=True, place="stretched", order=order
        )


def _logits(shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    boxes = _at(shapes, 3, 4)
    rows = shapes[boxes[0]][1] if len(boxes) == 1 else 0
    scores = [n for n in _at(shapes, 3) if n not in boxes and shapes[n][1] == rows]
    return (*boxes, *scores) if len(boxes) == len(scores) == 1 else ()


def _logits_head(seen: Seen, order: tuple[int, ...]) -> Iterator[Head]:
    boxes, logits = (seen.outputs[n][0] for n in order)
    count = logits.shape[1]
    if not seen.classes.fits(count) or not evidence.are_shares(boxes):
        return
    if evidence.are_scores(logits):
        raise StartError(
            f"the model's outputs {', '.join(seen.names)} contain scores from 0 to 1",
            "framefan expects logits here, and applies the sigmoid itself",
            "export the model without its sigmoid",
        )
    masks = [
        n
        for n, each in enumerate(seen.outputs)
        if n not in order and each.ndim == 4 and each.shape[1] == len(boxes)
    ]
    more: dict[str, Any] = {"task": "segment" if len(seen.outputs) > 2 else "detect"}
    yield _with_input(seen, count, order, more | ({"masks": masks[0]} if masks else {}))


def _with_input(seen: Seen, count: int, order: tuple[int, ...], more: dict[str, Any]) -> Head:
    names = {seen.names[n] for n in order}
    rfdetr = seen.head == "rfdetr" or (not seen.head and names == _RFDETR)
    if not (rfdetr or seen.head == "rtdetr" or names == _RTDETR or seen.has_input):
        raise StartError(
            f"the model's outputs {', '.join(seen.names)} fit more than one kind of model",
            "RF-DETR takes pixels scaled by ImageNet's means, RT-DETR takes pixels from 0 to 1",
            "name the kind: task=rfdetr or task=rtdetr",
        )
    return Head(
        "logits",
        classes=count,
        unit="shares",
        input=("imagenet",) if rfdetr else (),
        place="stretched",
        order=order,
        **more,
    )


def masks_of(outputs: Sequence[NDArray[Any]]) -> tuple[int, int, int]:
    """The index of the boxes, the index of the mask prototypes, and the number of prototypes.

    All are 0 if these are not the two outputs of a segmentation model.
    """
    sides = [each.ndim for each in outputs]
    if sorted(sides) != [3, 4]:
        return 0, 0, 0
    shape = outputs[sides.index(4)].shape
    is_so = shape[1] < min(shape[2:]) or shape[1] == 32
    return sides.index(3), sides.index(4), int(shape[1]) if is_so else 0


def sizes(
    names: Sequence[str], kinds: Sequence[Any], canvas: tuple[int, int], count: int
) -> dict[str, NDArray[Any]]:
    """The values for inputs that take the image size, `[count, 2]` each: the canvas' size."""
    pairs = zip(names, kinds, strict=True)
    return {
        name: np.tile(np.array([canvas[n] for n in SIZES[name]], kind), (count, 1))
        for name, kind in pairs
    }
