"""What a model's own authors make of a file's outputs, on real pictures.

`by_ultralytics` is the package's own prediction from the very same ONNX file. Where a model's
authors have no Python package that installs beside the others, or it reads no ONNX file, their
definition is written down here once more in numpy, without a look at framefan's decoder.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from benchmarks.real.compare import CONF, IOU, Detection, overlaps

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

MOST = 300
_MEANS, _DEVIATIONS = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


# ---- the package's own ---------------------------------------------------------------------------


@lru_cache(maxsize=1)
def _loaded(path: Path, task: str) -> Any:
    from ultralytics import RTDETR, YOLO

    return RTDETR(str(path)) if task == "rtdetr" else YOLO(str(path), task=task)


def by_ultralytics(
    path: Path, picture: Path, *, task: str, side: int | None, iou: float = IOU
) -> Any:
    sizes = {} if side is None else {"imgsz": side}
    (result,) = _loaded(path, task).predict(
        str(picture), conf=CONF, iou=iou, max_det=MOST, verbose=False, device="cpu", **sizes
    )
    return of_result(result)


def of_result(result: Any, *, cut: bool = True) -> Any:
    """Detections of a `Results`, or of a classifier its best five as class and score.

    `cut`: boxes are cut to the picture.
    """
    if result.probs is not None:
        return {"classes": [[n, float(result.probs.data[n])] for n in result.probs.top5]}
    height, width = result.orig_shape
    if result.obb is not None:
        return _turned(result.obb, (width, height) if cut else None)
    most = np.array([width, height] * 2, float)  # the package leaves a DETR's boxes as they are
    found: list[Detection] = [
        {"box": np.clip(row[:4], 0, most).tolist(), "score": row[-2], "class": int(row[-1])}
        for row in result.boxes.data.cpu().numpy().astype(float).tolist()
    ]
    if result.masks is not None:
        for each, bitmap in zip(found, result.masks.data.cpu().numpy(), strict=True):
            each["mask"] = outline(bitmap, (height, width))
    if result.keypoints is not None:
        points = result.keypoints.data.cpu().numpy().astype(float).tolist()
        for each, mine in zip(found, points, strict=True):
            each["points"] = mine
    return found


def _turned(obb: Any, size: tuple[int, int] | None) -> list[Detection]:
    corners = obb.xyxyxyxy.cpu().numpy().astype(float).reshape(-1, 4, 2)
    least, most = (0.0, np.array(size, float)) if size else (-np.inf, np.inf)
    rows = zip(corners, obb.xywhr.tolist(), obb.conf.tolist(), obb.cls.tolist(), strict=True)
    return [
        {
            "box": [*np.clip(four.min(0), least, most), *np.clip(four.max(0), least, most)],
            "score": score,
            "class": int(number),
            "corners": four.tolist(),
            "angle": turned[4],
        }
        for four, turned, score, number in rows
    ]


def outline(bitmap: NDArray[Any], shape: tuple[int, int]) -> list[list[float]]:
    """Of the largest part of a bitmap of the model's input, in pixels of the picture."""
    from ultralytics.utils import ops

    parts, _ = cv2.findContours(bitmap.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    if not parts:
        return []
    largest = max(parts, key=cv2.contourArea).reshape(-1, 2).astype(np.float32)
    mapped: list[list[float]] = ops.scale_coords(bitmap.shape, largest, shape).tolist()
    return mapped


# ---- in numpy ------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def session(path: Path) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def padded(image: Any, width: int, height: int, *, corner: bool = False) -> tuple[Any, Any]:
    """The picture on grey, in the middle or in the corner; and how boxes come back."""
    scale = min(width / image.shape[1], height / image.shape[0])
    across, down = round(image.shape[1] * scale), round(image.shape[0] * scale)
    left, top = (0, 0) if corner else ((width - across) // 2, (height - down) // 2)
    canvas = np.full((height, width, 3), 114, np.uint8)
    canvas[top : top + down, left : left + across] = cv2.resize(image, (across, down))

    def back(boxes: NDArray[Any]) -> NDArray[Any]:
        most = np.tile([image.shape[1], image.shape[0]], 2)
        return np.clip((boxes - np.tile([left, top], 2)) / scale, 0, most)

    return canvas, back


def by_objectness(path: Path, picture: Path, *, yolox: bool = False) -> list[Detection]:
    """YOLOv3, 5 and 7, `[N, 5 + classes]`: the share of a class times the objectness.

    `yolox`: pixels BGR from 0 to 255, the picture in the corner, and boxes as offsets in cells.
    """
    runs = session(path)
    height, width = runs.get_inputs()[0].shape[2:]
    image = cv2.imread(str(picture))
    canvas, back = padded(image, width, height, corner=yolox)
    pixels = canvas.astype(np.float32) if yolox else canvas[..., ::-1].astype(np.float32) / 255
    feed = {runs.get_inputs()[0].name: np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])}
    rows = runs.run(None, feed)[0][0].astype(float)
    if yolox:
        rows = _from_cells(rows, width, height)
    scores = rows[:, 5:] * rows[:, 4:5]
    best = scores.max(1)
    some = best >= CONF
    centres, sizes = rows[some, :2], rows[some, 2:4]
    corners = np.hstack([centres - sizes / 2, centres + sizes / 2])
    kept = greedy(corners, best[some], scores[some].argmax(1))
    boxes, sure, kinds = back(corners), best[some], scores[some].argmax(1)
    return [
        {"box": boxes[n].tolist(), "score": float(sure[n]), "class": int(kinds[n])} for n in kept
    ]


def _from_cells(rows: NDArray[Any], width: int, height: int) -> NDArray[Any]:
    parts, at = rows.copy(), 0
    for stride in (8, 16, 32):
        for row in range(height // stride):
            for column in range(width // stride):
                parts[at, :2] = (rows[at, :2] + (column, row)) * stride
                parts[at, 2:4] = np.exp(rows[at, 2:4]) * stride
                at += 1
    return parts


def greedy(boxes: NDArray[Any], scores: NDArray[Any], classes: NDArray[Any]) -> list[int]:
    """Which stay, best first: no better one of its class overlaps it by more than IOU."""
    stay: list[int] = []
    for n in np.argsort(-scores, kind="stable").tolist():
        rivals = [m for m in stay if classes[m] == classes[n]]
        if not rivals or overlaps(boxes[[n]], boxes[rivals]).max() <= IOU:
            stay.append(n)
    return stay[:MOST]


def by_logits(path: Path, picture: Path, *, imagenet: bool = False) -> list[Detection]:
    """DETRs: boxes as centre and size in shares of a stretched picture, and logits.

    As their post-processors do, the best pairs of query and class count. `imagenet`: pixels are
    scaled by ImageNet's means and deviations.
    """
    runs = session(path)
    _, _, height, width = runs.get_inputs()[0].shape
    image = cv2.imread(str(picture))
    pixels = cv2.resize(image, (width, height))[..., ::-1].astype(np.float32) / 255
    if imagenet:
        pixels = (pixels - np.float32(_MEANS)) / np.float32(_DEVIATIONS)
    feed = {runs.get_inputs()[0].name: np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])}
    outputs = [each[0].astype(float) for each in runs.run(None, feed)]
    (boxes,) = (each for each in outputs if each.ndim == 2 and each.shape[1] == 4)
    (logits,) = (each for each in outputs if each.ndim == 2 and each.shape[1] != 4)
    scores = 1 / (1 + np.exp(-logits))
    sizes = np.tile([image.shape[1], image.shape[0]], 2)
    found = []
    for flat in np.argsort(-scores.ravel(), kind="stable")[:MOST].tolist():
        query, number = divmod(flat, scores.shape[1])
        if scores[query, number] < CONF:
            break
        x, y, w, h = boxes[query]
        corners = np.array([x - w / 2, y - h / 2, x + w / 2, y + h / 2]) * sizes
        box = np.clip(corners, 0, sizes).tolist()
        found.append({"box": box, "score": float(scores[query, number]), "class": number})
    return found
