"""Each layout of outputs is decoded as its authors do: compared with loops on random outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import onnx_reference as reference
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from framefan_inference.predictors.onnx_models import evidence, layouts, suppress
from framefan_inference.predictors.onnx_models.decode import decode
from framefan_inference.predictors.onnx_models.layouts import Classes, Head, Seen
from framefan_inference.predictors.onnx_models.metadata import Metadata
from framefan_inference.predictors.onnx_models.recognise import recognise

if TYPE_CHECKING:
    from numpy.typing import NDArray

Outputs = tuple[list[Any], tuple[str, ...], dict[str, Any]]
WIDTH, HEIGHT, COUNT, CONF, IOU = 128, 64, 5, 0.4, 0.45
CELLS = 16 * 8 + 8 * 4 + 4 * 2


def _boxes(rng: np.random.Generator, rows: int, normal: bool = False) -> NDArray[Any]:
    """Centre and size; in few places, so that many overlap."""
    size = np.ones(4) if normal else np.array([WIDTH, HEIGHT, WIDTH, HEIGHT])
    places = rng.uniform(0.1, 0.9, (3, 2))[rng.integers(0, 3, rows)]
    centres = places + rng.normal(0, 0.03, (rows, 2))
    return np.concatenate([centres, rng.uniform(0.1, 0.4, (rows, 2))], axis=1) * size


def _scores(rng: np.random.Generator, rows: int, columns: int = COUNT) -> NDArray[Any]:
    return rng.uniform(0, 1, (rows, columns)) ** 4


def _corners(boxes: NDArray[Any]) -> NDArray[Any]:
    half = boxes[:, 2:] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)


def yolov8(rng: np.random.Generator) -> Outputs:
    return [np.concatenate([_boxes(rng, CELLS), _scores(rng, CELLS)], 1).T], ("out",), {}


def segment(rng: np.random.Generator) -> Outputs:
    more = rng.normal(0, 1, (CELLS, 32))
    dense = np.concatenate([_boxes(rng, CELLS), _scores(rng, CELLS), more], 1).T
    return [dense, rng.normal(0, 1, (32, 16, 32))], ("out", "masks"), {"task": "segment"}


def pose(rng: np.random.Generator) -> Outputs:
    more = rng.uniform(0, WIDTH, (CELLS, 51))
    dense = np.concatenate([_boxes(rng, CELLS), _scores(rng, CELLS), more], 1).T
    return [dense], ("out",), {"task": "pose"}


def obb(rng: np.random.Generator) -> Outputs:
    angle = rng.uniform(-np.pi / 4, 3 * np.pi / 4, (CELLS, 1))
    dense = np.concatenate([_boxes(rng, CELLS), _scores(rng, CELLS), angle], 1).T
    return [dense], ("out",), {"task": "obb"}


def yolov5(rng: np.random.Generator) -> Outputs:
    rows = 3 * CELLS
    return [np.concatenate([_boxes(rng, rows), _scores(rng, rows, COUNT + 1)], 1)], ("out",), {}


def yolox(rng: np.random.Generator) -> Outputs:
    raw = np.concatenate([rng.normal(0, 1, (CELLS, 2)), rng.normal(0, 0.7, (CELLS, 2))], 1)
    return [np.concatenate([raw, _scores(rng, CELLS, COUNT + 1)], 1)], ("out",), {}


def end_to_end(rng: np.random.Generator) -> Outputs:
    numbers = rng.integers(0, COUNT, (300, 1))
    rows = np.concatenate([_corners(_boxes(rng, 300)), _scores(rng, 300, 1), numbers], 1)
    return [rows], ("out",), {"sorts_out": True}


def end_to_end_pose(rng: np.random.Generator) -> Outputs:
    (rows,), names, said = end_to_end(rng)
    more = rng.uniform(0, WIDTH, (300, 51))
    return [np.concatenate([rows, more], 1)], names, said | {"task": "pose"}


def rtdetr(rng: np.random.Generator) -> Outputs:
    return [np.concatenate([_boxes(rng, 300, True), _scores(rng, 300)], 1)], ("out",), {}


def rtdetr_end_to_end(rng: np.random.Generator) -> Outputs:
    numbers = rng.integers(0, COUNT, (300, 1))
    rows = np.concatenate([_boxes(rng, 300, True), _scores(rng, 300, 1), numbers], 1)
    return [rows], ("out",), {"is_detr": True}


def rfdetr(rng: np.random.Generator) -> Outputs:
    return [_boxes(rng, 300, True), rng.normal(-3, 2, (300, COUNT))], ("dets", "labels"), {}


def transposed(rng: np.random.Generator) -> Outputs:
    return [np.concatenate([_boxes(rng, CELLS), _scores(rng, CELLS)], 1)], ("out",), {}


def _of_rtdetr_rows(output: NDArray[Any]) -> list[reference.Row]:
    rows = reference.end_to_end(output, CONF)
    size = np.array([WIDTH, HEIGHT, WIDTH, HEIGHT])
    corners = _corners(np.array([row[:4] for row in rows]).reshape(-1, 4)) * size
    return [(*box, *row[4:]) for box, row in zip(corners.tolist(), rows, strict=True)]


LAYOUTS: dict[str, tuple[Any, Any, bool, str]] = {
    "scores": (yolov8, lambda o: reference.yolov8(o, COUNT, CONF), True, "detect"),
    "scores, masks": (segment, lambda o, _: reference.yolov8(o, COUNT, CONF), True, "segment"),
    "scores, points": (pose, lambda o: reference.yolov8(o, COUNT, CONF), True, "pose"),
    "objectness": (yolov5, lambda o: reference.yolov5(o, COUNT, CONF), True, "detect"),
    "grid": (yolox, lambda o: reference.yolox(o, COUNT, CONF, WIDTH, HEIGHT), True, "detect"),
    "end_to_end": (end_to_end, lambda o: reference.end_to_end(o, CONF), False, "detect"),
    "end_to_end, points": (
        end_to_end_pose,
        lambda o: reference.end_to_end(o, CONF),
        False,
        "pose",
    ),
    "rows": (rtdetr, lambda o: reference.rtdetr(o, CONF, WIDTH, HEIGHT), False, "detect"),
    "end_to_end, shares": (rtdetr_end_to_end, _of_rtdetr_rows, False, "detect"),
    "logits": (rfdetr, lambda *o: reference.rfdetr(*o, CONF, WIDTH, HEIGHT), False, "detect"),
    "rows, pixels": (transposed, lambda o: reference.yolov8(o.T, COUNT, CONF), True, "detect"),
}
"""By layout: outputs, the reference, whether boxes overlap, and the task."""


def head_of(outputs: list[Any], names: tuple[str, ...], said: dict[str, Any]) -> Head:
    return recognise(
        Seen(
            outputs=[np.asarray(each, np.float32)[None] for each in outputs],
            names=names,
            canvas=(WIDTH, HEIGHT),
            said=Metadata(names={n: str(n) for n in range(COUNT)}, **said),
            classes=Classes(COUNT, COUNT),
        )
    )


def found_by_us(outputs: list[Any], head: Head) -> NDArray[np.float64]:
    batch = [np.stack([each, each]).astype(np.float32) for each in outputs]
    found = decode(batch, 1, head, (WIDTH, HEIGHT), CONF)
    if head.overlaps:
        found = suppress.suppress(found, IOU, agnostic=False)
    return np.column_stack([suppress.upright(found), found.scores, found.classes])


def are_same(ours: NDArray[Any], rows: Any) -> bool:
    """Whether each row has its like among the others, in whatever order."""
    expected = np.asarray(rows, float).reshape(-1, 6)
    if len(ours) != len(expected) or not len(ours):
        return len(ours) == len(expected)
    apart = np.abs(ours[:, None] - expected[None]).max(axis=2)
    return bool(apart.min(axis=0).max() < 0.05 and apart.min(axis=1).max() < 0.05)


@pytest.mark.parametrize("name", LAYOUTS)
@settings(max_examples=25)
@given(seed=st.integers(0, 1 << 32))
def test_a_layout_is_decoded_as_its_authors_do(name: str, seed: int) -> None:
    make, decode_there, overlaps, task = LAYOUTS[name]
    outputs, names, said = make(np.random.default_rng(seed))
    outputs = [np.asarray(each, np.float32) for each in outputs]
    head = head_of(outputs, names, said)
    assert (head.layout, head.task) == (name.split(",", maxsplit=1)[0], task)
    expected = decode_there(*outputs)
    if overlaps:
        expected, nearest = reference.greedy(expected, IOU)
        assume(nearest > 1e-4)
    ours = found_by_us(outputs, head)
    assert are_same(ours, expected)


@settings(max_examples=25)
@given(seed=st.integers(0, 1 << 32))
def test_turned_boxes_are_told_by_upright_ones(seed: int) -> None:
    outputs, names, said = obb(np.random.default_rng(seed))
    head = head_of(outputs, names, said)
    batch = [np.asarray(outputs[0], np.float32)[None]]
    found = decode(batch, 0, head, (WIDTH, HEIGHT), CONF)
    ours = np.column_stack([suppress.upright(found), found.scores, found.classes])
    expected = reference.turned(batch[0][0], COUNT, CONF)
    assert are_same(ours, expected)
    kept = suppress.suppress(found, IOU, agnostic=False)
    assert 0 < len(kept.boxes) < len(found.boxes)


CROSS = [(32.0, 32.0, 40.0, 4.0), (32.0, 32.0, 40.0, 4.0), (32.0, 32.0, 40.0, 4.0)]


@pytest.mark.parametrize(
    ("angles", "classes", "stay"),
    [
        ((0.0, 0.0, 0.0), (0, 0, 1), 2),
        ((0.0, np.pi / 2, 0.02), (0, 0, 0), 2),
        ((0.0, np.pi, np.pi / 2), (0, 0, 0), 2),
    ],
)
def test_turned_boxes_that_cross_are_two_things(
    angles: tuple[float, ...], classes: tuple[int, ...], stay: int
) -> None:
    output = np.zeros((4 + COUNT + 1, CELLS), np.float32)
    for index, (box, angle, number) in enumerate(zip(CROSS, angles, classes, strict=True)):
        output[:4, index], output[-1, index], output[4 + number, index] = box, angle, 0.9
    head = Head("scores", "obb", COUNT)
    found = decode([output[None]], 0, head, (WIDTH, HEIGHT), CONF)
    assert len(suppress.suppress(found, IOU, agnostic=False).boxes) == stay


@settings(max_examples=25)
@given(seed=st.integers(0, 1 << 32), agnostic=st.booleans())
def test_boxes_beyond_the_edge_suppress_their_own_class_only(seed: int, agnostic: bool) -> None:
    rng = np.random.default_rng(seed)
    boxes = _boxes(rng, 60) - np.array([90, 40, 0, 0])
    dense = np.concatenate([boxes, _scores(rng, 60)], 1).T.astype(np.float32)
    rows, nearest = reference.greedy(reference.yolov8(dense, COUNT, CONF), IOU, agnostic)
    assume(nearest > 1e-4)
    found = decode([dense[None]], 0, Head("scores", "detect", COUNT), (WIDTH, HEIGHT), CONF)
    kept = suppress.suppress(found, IOU, agnostic)
    ours = np.column_stack([kept.boxes, kept.scores, kept.classes])
    assert are_same(ours, rows)


# ---- layouts that keep the pictures of a batch apart by themselves -------------------------------


def test_yolov7_tells_the_picture_of_each_row() -> None:
    rows = np.array([[1, 10, 20, 30, 40, 2, 0.9], [0, 1, 2, 3, 4, 0, 0.8]], np.float32)
    head = recognise(Seen([rows], ("output",), (WIDTH, HEIGHT)))
    assert head.layout == "batched"
    found = decode([rows], 1, head, (WIDTH, HEIGHT), CONF)
    assert found.boxes.tolist() == [[10, 20, 30, 40]]
    assert (found.scores.tolist(), found.classes.tolist()) == ([pytest.approx(0.9)], [2])


def test_keras_yolov3_chooses_its_boxes_by_numbers() -> None:
    """The model of the ONNX zoo: y1, x1, y2, x2; which of them count is picture, class, box."""
    boxes = np.array([[[20, 10, 40, 30], [1, 2, 3, 4], [5, 6, 7, 8]] + [[0] * 4] * 9], np.float32)
    scores = np.zeros((1, 80, 12), np.float32)
    scores[0, 7, 0], scores[0, 3, 2] = 0.9, 0.8
    chosen = np.array([[[0, 7, 0], [0, 3, 2]]], np.int32)
    outputs = [boxes, scores, chosen]
    head = recognise(Seen(outputs, ("a", "b", "c"), (WIDTH, HEIGHT), ("x", "image_shape")))
    found = decode(outputs, 0, head, (WIDTH, HEIGHT), CONF)
    assert found.boxes.tolist() == [[10, 20, 30, 40], [6, 5, 8, 7]]
    assert found.classes.tolist() == [7, 3]


def test_darknet_by_pytorch_yolov4_gives_shares_of_1() -> None:
    boxes = np.zeros((1, 50, 1, 4), np.float32)
    scores = np.zeros((1, 50, COUNT), np.float32)
    boxes[0, 3, 0], scores[0, 3, 2] = (0.25, 0.5, 0.5, 0.75), 0.9
    head = recognise(Seen([boxes, scores], ("boxes", "confs"), (WIDTH, HEIGHT)))
    assert (head.layout, head.place, head.overlaps) == ("darknet", "stretched", True)
    found = decode([boxes, scores], 0, head, (WIDTH, HEIGHT), CONF)
    assert found.boxes.tolist() == [[32, 32, 64, 48]]


def test_the_original_rtdetr_scales_its_boxes_itself() -> None:
    labels, scores = np.array([[3, 1]]), np.array([[0.9, 0.1]], np.float32)
    boxes = np.array([[[10, 20, 30, 40], [0, 0, 1, 1]]], np.float32)
    outputs = [labels, boxes, scores]
    names, inputs = ("labels", "boxes", "scores"), ("images", "orig_target_sizes")
    head = recognise(Seen(outputs, names, (WIDTH, HEIGHT), inputs))
    found = decode(outputs, 0, head, (WIDTH, HEIGHT), CONF)
    assert (found.boxes.tolist(), found.classes.tolist()) == ([[10, 20, 30, 40]], [3])
    assert head.place == "stretched"


def test_the_cells_of_a_grid_are_those_of_its_strides() -> None:
    assert evidence.strides_of(CELLS, (WIDTH, HEIGHT), 1) == (8, 16, 32)
    assert len(evidence.cells((WIDTH, HEIGHT), (8, 16, 32))) == CELLS
    assert evidence.strides_of(8400, (640, 640), 1) == (8, 16, 32)
    assert evidence.strides_of(25200, (640, 640), 3) == (8, 16, 32)
    assert evidence.strides_of(2535, (416, 416), 3) == (16, 32)  # yolov3-tiny
    assert evidence.strides_of(300, (640, 640), 1) == ()
    assert "grid" in layouts.OVERLAPPING
