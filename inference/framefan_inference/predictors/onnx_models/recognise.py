"""Recognises the layout of a model's outputs, from its metadata and its outputs for one image.

1. The metadata decides first: the task, the classes, whether the graph includes NMS.
2. A layout that the shapes allow must also fit the values (evidence.py).
3. Exactly one layout must be left. Otherwise the error says what to do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from msgspec import structs

from framefan.errors import StartError
from framefan.settings.onnx_values import HEADS, TASKS
from framefan_inference.predictors.onnx_models import evidence, several
from framefan_inference.predictors.onnx_models.layouts import Head, Seen, Unit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_MASKS = 32
"""The number of mask coefficients, if no second output determines it."""
_MOST_END_TO_END = 1000
_OWN = "or decode it in a predictor of your own (docs/predictors.md)"


def recognise(seen: Seen) -> Head:
    """The layout of the model. Raises StartError if no layout fits, or more than one."""
    if seen.said.task and seen.task != seen.said.task:
        raise StartError(
            f"task={seen.asked} does not match the model",
            f"the model's file says that its task is {seen.said.task}",
            "leave task= out",
        )
    if seen.task not in ("", *TASKS):
        raise StartError(
            f"framefan does not know the task {seen.task}",
            f"the model's file names it; the known tasks are {', '.join(TASKS)}",
            f"export a model for one of these tasks, {_OWN}",
        )
    if seen.task == "classify":
        return _classifier(seen)
    found = list(dict.fromkeys(_several(seen) if len(seen.outputs) > 1 else _single(seen)))
    if len(found) == 1:
        return found[0]
    if not found:
        raise _unknown(seen)
    raise StartError(
        f"the model's output of shape {seen.shapes} is ambiguous",
        "it may be: " + "; ".join(map(str, found)),
        f"choose one with task={'|'.join(TASKS)} or task={'|'.join(HEADS)}",
    )


def _several(seen: Seen) -> Iterator[Head]:
    index, prototypes, masks = several.masks_of(seen.outputs)
    if masks and seen.task in ("", "segment"):
        for head in flat(seen, seen.outputs[index][0], masks):
            yield structs.replace(head, order=(index,), masks=prototypes)
    else:
        yield from several.layouts(seen)


def _single(seen: Seen) -> Iterator[Head]:
    (output,) = seen.outputs
    if output.ndim == 2 and output.shape[1] == 7 and seen.head in ("", "end2end"):
        yield Head("batched", corners=True)
    if output.ndim == 3:
        yield from flat(seen, output[0], 0)


def flat(seen: Seen, output: NDArray[Any], masks: int) -> Iterator[Head]:
    """Yield the layouts that fit one output `[A, B]`; `masks`: mask coefficients per row, or 0."""
    if not seen.said.sorts_out and seen.head in ("", "yolov8"):
        yield from _scores(seen, output, masks)
    if not seen.said.sorts_out and seen.head in ("", "yolov5", "yolox"):
        yield from _objectness(seen, output, masks)
    if not masks and seen.head in ("", "rtdetr", "yolov8"):
        yield from _rows(seen, output)
    if seen.head in ("", "end2end", "rtdetr"):
        yield from _end_to_end(seen, output, masks)


# ---- one output ----------------------------------------------------------------------------------


def _counts(seen: Seen, columns: NDArray[Any], fixed: int, masks: int) -> Iterator[tuple[str, int]]:
    """Yield each task, with its number of classes, that `columns` `[N, columns]` allow."""
    for task, more in _extras(seen, columns.shape[1] - fixed, masks):
        if seen.classes.fits(columns.shape[1] - fixed - more):
            yield task, columns.shape[1] - fixed - more


def _extras(seen: Seen, room: int, masks: int) -> Iterator[tuple[str, int]]:
    """Yield each task, with the number of values that follow the class scores.

    `room`: the number of columns for the class scores and these values together.
    """
    match seen.task:
        case "segment":
            yield "segment", masks or _MASKS
        case "obb":
            yield "obb", 1
        case "pose":
            count = seen.classes.most if seen.classes.least == seen.classes.most else 0
            more = room - (count or 1)
            if more > 0 and (more % 3 == 0 or more % 2 == 0):
                yield "pose", more
        case _:
            yield ("segment", masks) if masks else ("detect", 0)


def _scores(seen: Seen, output: NDArray[Any], masks: int) -> Iterator[Head]:
    columns = output.T
    if len(columns) <= columns.shape[1] and not (seen.head or seen.classes.most):
        return
    for task, count in _counts(seen, columns, 4, masks):
        scores = columns[:, 4 : 4 + count]
        certain = bool(seen.task or seen.head or masks or seen.classes.most)
        if _hides_points(seen, columns[:, 4 + count :]):
            continue
        are_scores = evidence.are_scores(scores) and (certain or evidence.are_often_low(scores))
        if are_scores and evidence.are_pixels(columns[:, :4]):
            yield Head("scores", task, count)


def _hides_points(seen: Seen, more: NDArray[Any]) -> bool:
    """Whether the number of classes is only assumed, and the next column may be a score too."""
    unknown = seen.task == "pose" and not seen.classes.most
    return unknown and evidence.are_scores(more[:, :1])


def _objectness(seen: Seen, output: NDArray[Any], masks: int) -> Iterator[Head]:
    rows, canvas = len(output), seen.canvas
    single = bool(evidence.strides_of(rows, canvas, 1))
    if not (seen.classes.most or seen.head or single or evidence.strides_of(rows, canvas, 3)):
        return
    for task, count in _counts(seen, output, 5, masks):
        if task not in ("detect", "segment") or not evidence.are_scores(output[:, 4 : 5 + count]):
            continue
        if not single or masks:
            if evidence.are_pixels(output[:, :4]) and seen.head != "yolox":
                yield Head("objectness", task, count)
            continue
        for offsets in evidence.offsets(output[:, :4], canvas):
            if offsets == "raw" and seen.head != "yolov5":
                yield Head("grid", task, count, input=("255", "bgr"), place="corner")
            if offsets == "decoded":
                yield _decoded(seen, count)


def _decoded(seen: Seen, count: int) -> Head:
    """The layout with one box per grid cell: YOLOX or YOLOv6. Raises StartError.

    Their outputs are alike and their inputs differ, so the user has to choose.
    """
    if seen.head == "yolox":
        return Head("objectness", "detect", count, input=("255", "bgr"), place="corner")
    if seen.head == "yolov5" or seen.has_input:
        return Head("objectness", "detect", count)
    raise StartError(
        f"the model's output of shape {seen.shapes} fits YOLOX and YOLOv6",
        "YOLOX takes BGR pixels from 0 to 255, YOLOv6 takes RGB pixels from 0 to 1",
        "choose one: task=yolox, or task=yolov5 for YOLOv6",
    )


def _rows(seen: Seen, output: NDArray[Any]) -> Iterator[Head]:
    count = output.shape[1] - 4
    if seen.task not in ("", "detect") or not seen.classes.fits(count):
        return
    if len(output) <= output.shape[1] and not (seen.head or seen.classes.most):
        return
    boxes, scores = output[:, :4], output[:, 4:]
    if not evidence.are_scores(scores):
        return
    if evidence.are_shares(boxes) and seen.head != "yolov8":
        yield Head("rows", "detect", count, "shares", place="stretched")
    is_grid = bool(evidence.strides_of(len(output), seen.canvas, 1))
    known = (seen.classes.most and is_grid) or seen.head == "yolov8"
    if evidence.are_pixels(boxes) and known and seen.head != "rtdetr":
        yield Head("rows", "detect", count)


def _end_to_end(seen: Seen, output: NDArray[Any], masks: int) -> Iterator[Head]:
    rows, columns = output.shape
    more = columns - 6
    known = seen.said.sorts_out or seen.head
    wanted = dict(_extras(seen, more + 1, masks))
    if seen.task == "pose":
        wanted = {"pose": more} if more > 0 and (more % 3 == 0 or more % 2 == 0) else {}
    is_usual = columns <= rows <= _MOST_END_TO_END
    if more not in wanted.values() or not (is_usual or known):
        return
    (task,) = wanted
    if not evidence.are_scores(output[:, 4]):
        return
    if evidence.are_numbers_of_classes(output[:, 5], seen.classes.most):
        yield from _boxes_of(seen, task, output[:, :4])


def _boxes_of(seen: Seen, task: str, boxes: NDArray[Any]) -> Iterator[Head]:
    """Yield corners in pixels, or centre and size: with an angle, or normalised."""
    count = seen.classes.most if seen.classes.least == seen.classes.most else 0
    if task == "obb":
        yield Head("end_to_end", task, count)
    elif evidence.are_shares(boxes) or (seen.head == "rtdetr" and not np.any(boxes)):
        if evidence.have_centres(boxes) or seen.said.is_detr or seen.head == "rtdetr":
            yield Head("end_to_end", task, count, "shares", place="stretched")
    elif seen.head != "rtdetr" and not seen.said.is_detr:
        unit: Unit = "pixels" if np.any(boxes) or seen.said.sorts_out else ""
        yield Head("end_to_end", task, count, unit, corners=True)


# ---- classifiers, and what is not known ----------------------------------------------------------


def _classifier(seen: Seen) -> Head:
    output = seen.outputs[0]
    count = output.shape[1] if output.ndim > 1 else 0
    if len(seen.outputs) != 1 or output.size != output.shape[0] * count or count < 2:
        raise StartError(
            f"the model's output of shape {seen.shapes} is not a classifier's",
            "a classifier gives one score per class",
            f"leave task= out, {_OWN}",
        )
    scores = output.reshape(len(output), count)
    are_shares = evidence.are_scores(scores) and abs(float(scores[0].sum()) - 1) < 0.05
    is_logits = not are_shares and not seen.said.task
    place: Any = "cut"
    return Head("classes", "classify", count, place=place, is_softmax_due=is_logits)


def _unknown(seen: Seen) -> StartError:
    count = seen.classes.least
    task = f" for the task {seen.task}" if seen.task else ""
    classes = f" with {count} classes" if count else ""
    asked = f" of task={seen.asked}" if seen.head else ""
    why = f"it fits no layout{asked} that framefan knows (docs/predictors.md)"
    if scores := _bad_scores(seen):
        why = f"the columns of scores are between {scores}: they may be key points or masks"
    return StartError(
        f"framefan does not know an output of shape {seen.shapes}{task}{classes}",
        why,
        "if it contains masks, key points, angles or classes, set "
        f"task={'|'.join(TASKS[1:])}; otherwise export it as a detector, {_OWN}",
    )


def _bad_scores(seen: Seen) -> str:
    """The range of the would-be scores, if they are the reason that nothing fits."""
    output = seen.outputs[0]
    if output.ndim != 3 or len(seen.outputs) > 1 or min(output.shape[1:]) < 5:
        return ""
    rows = output[0] if output.shape[1] > output.shape[2] else output[0].T
    scores = rows[:, 4:]
    if evidence.are_scores(scores):
        return ""
    return f"{float(scores.min()):.3g} and {float(scores.max()):.3g}"
