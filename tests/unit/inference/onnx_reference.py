"""How the authors of each model decode its output, as plain loops over one picture's numbers.

Written from their own definitions, without a look at framefan's. Every function gives rows
x1, y1, x2, y2, score, class in pixels of the input, for all scores from `conf` on, unsorted.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

Row = tuple[float, float, float, float, float, int]


def _corners(x: float, y: float, w: float, h: float) -> tuple[float, float, float, float]:
    return x - w / 2, y - h / 2, x + w / 2, y + h / 2


def yolov8(output: NDArray[Any], classes: int, conf: float) -> list[Row]:
    """`[4 + classes + more, places]`; ultralytics.utils.ops.non_max_suppression."""
    rows = []
    for place in range(output.shape[1]):
        scores = [float(output[4 + number, place]) for number in range(classes)]
        best = max(scores)
        if best >= conf:
            box = _corners(*(float(output[side, place]) for side in range(4)))
            rows.append((*box, best, scores.index(best)))
    return rows


def yolov5(output: NDArray[Any], classes: int, conf: float) -> list[Row]:
    """`[places, 5 + classes + more]`: x[:, 5:] *= x[:, 4:5]; models of YOLOv3, 5 and 7."""
    rows = []
    for place in output.tolist():
        scores = [place[4] * each for each in place[5 : 5 + classes]]
        best = max(scores)
        if best >= conf:
            rows.append((*_corners(*place[:4]), best, scores.index(best)))
    return rows


def yolox(output: NDArray[Any], classes: int, conf: float, width: int, height: int) -> list[Row]:
    """YOLOX' demo_postprocess: grids of the strides 8, 16, 32, then as YOLOv5."""
    decoded = output.astype(float)
    place = 0
    for stride in (8, 16, 32):
        for row in range(height // stride):
            for column in range(width // stride):
                x, y, w, h = decoded[place, :4].tolist()
                decoded[place, 0], decoded[place, 1] = (x + column) * stride, (y + row) * stride
                decoded[place, 2], decoded[place, 3] = math.exp(w) * stride, math.exp(h) * stride
                place += 1
    assert place == len(decoded)
    return yolov5(decoded, classes, conf)


def end_to_end(output: NDArray[Any], conf: float) -> list[Row]:
    """`[rows, 6 + more]`: x1, y1, x2, y2, score, class; Ultralytics' v10, 26 and nms=True."""
    return [
        (row[0], row[1], row[2], row[3], row[4], int(row[5]))
        for row in output.tolist()
        if row[4] >= conf
    ]


def rtdetr(output: NDArray[Any], conf: float, width: int, height: int) -> list[Row]:
    """Ultralytics' RT-DETR, `[rows, 4 + classes]`: xywh2xyxy, max of the scores, times the size."""
    rows = []
    for row in output.tolist():
        best = max(row[4:])
        if best >= conf:
            x1, y1, x2, y2 = _corners(*row[:4])
            box = x1 * width, y1 * height, x2 * width, y2 * height
            rows.append((*box, best, row[4:].index(best)))
    return rows


def rfdetr(
    boxes: NDArray[Any], logits: NDArray[Any], conf: float, width: int, height: int
) -> list[Row]:
    """The post-processor of RF-DETR and RT-DETR: the best pairs of row and class by sigmoid."""
    rows = []
    for box, scores in zip(boxes.tolist(), logits.tolist(), strict=True):
        for number, logit in enumerate(scores):
            score = 1 / (1 + math.exp(-logit))
            if score >= conf:
                x1, y1, x2, y2 = _corners(*box)
                rows.append((x1 * width, y1 * height, x2 * width, y2 * height, score, number))
    return rows


def turned(output: NDArray[Any], classes: int, conf: float) -> list[Row]:
    """Ultralytics' obb, `[4 + classes + 1, places]`: around the corners of xywhr2xyxyxyxy."""
    rows = []
    for place in range(output.shape[1]):
        x, y, w, h, *scores = (float(each) for each in output[:-1, place])
        angle = float(output[-1, place])
        best = max(scores[:classes])
        if best < conf:
            continue
        along = w / 2 * math.cos(angle), w / 2 * math.sin(angle)
        over = -h / 2 * math.sin(angle), h / 2 * math.cos(angle)
        signs = [(1, 1), (1, -1), (-1, -1), (-1, 1)]
        xs = [x + a * along[0] + b * over[0] for a, b in signs]
        ys = [y + a * along[1] + b * over[1] for a, b in signs]
        rows.append((min(xs), min(ys), max(xs), max(ys), best, scores.index(best)))
    return rows


def overlap(one: Row, other: Row) -> float:
    """Intersection over union of two upright boxes."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, across) * max(0.0, down)
    areas = sum((row[2] - row[0]) * (row[3] - row[1]) for row in (one, other))
    return shared / (areas - shared) if areas > shared else 0.0


def greedy(rows: Iterable[Row], iou: float, agnostic: bool = False) -> tuple[list[Row], float]:
    """What stays, best first; and how near an overlap came to the limit, where floats decide."""
    stay: list[Row] = []
    nearest = 1.0
    for row in sorted(rows, key=lambda row: -row[4]):
        rivals = [each for each in stay if agnostic or each[5] == row[5]]
        overlaps = [overlap(each, row) for each in rivals]
        nearest = min([nearest, *(abs(each - iou) for each in overlaps)])
        if all(each <= iou for each in overlaps):
            stay.append(row)
    return stay, nearest


def mask(
    box: Row, coefficients: list[float], prototypes: NDArray[Any], width: int, height: int
) -> NDArray[Any]:
    """Ultralytics' process_mask: weigh, scale up (corners not aligned), above 0, cut to the box.

    Its earlier versions cut the small mask, and then the large one reached over its box.
    """
    count, rows, columns = prototypes.shape
    small = [
        [
            sum(coefficients[n] * float(prototypes[n, row, column]) for n in range(count))
            for column in range(columns)
        ]
        for row in range(rows)
    ]
    large = bilinear(small, width, height) > 0
    for row in range(height):
        for column in range(width):
            large[row, column] &= box[0] <= column < box[2] and box[1] <= row < box[3]
    return large


def classifier_input(image: NDArray[Any], side: int) -> NDArray[Any]:
    """torchvision's Resize and CenterCrop on a picture of PIL: what Ultralytics' classifiers see.

    The shorter side becomes `side`, and the longer one is cut down to a whole number. Each pixel is
    a mean of all that lie within twice its width, weighted by a triangle.
    """
    height, width, _ = image.shape
    shorter = min(height, width)
    rows, columns = side * height // shorter, side * width // shorter
    top, left = round((rows - side) / 2), round((columns - side) / 2)
    made = np.zeros((side, side, 3))
    for y in range(side):
        for x in range(side):
            down = _triangle(top + y, rows, height)
            across = _triangle(left + x, columns, width)
            pairs = [(a * b, image[row, column]) for row, a in down for column, b in across]
            made[y, x] = sum(share * pixel for share, pixel in pairs)
    return made


def _triangle(place: int, count: int, of: int) -> list[tuple[int, float]]:
    """Which pixels of `of` one of `count` is made of, and their shares."""
    scale = of / count
    middle = (place + 0.5) * scale
    shares = [(n, max(0.0, 1 - abs(n + 0.5 - middle) / max(scale, 1))) for n in range(of)]
    total = sum(share for _, share in shares)
    return [(n, share / total) for n, share in shares if share]


def bilinear(small: list[list[float]], width: int, height: int) -> NDArray[Any]:
    """torch's interpolate(mode="bilinear", align_corners=False)."""
    rows, columns = len(small), len(small[0])
    large = np.zeros((height, width))
    for y in range(height):
        from_y = min(max((y + 0.5) * rows / height - 0.5, 0), rows - 1)
        above, below = int(from_y), min(int(from_y) + 1, rows - 1)
        for x in range(width):
            from_x = min(max((x + 0.5) * columns / width - 0.5, 0), columns - 1)
            left, right = int(from_x), min(int(from_x) + 1, columns - 1)
            over = small[above][left] * (1 - from_x + left) + small[above][right] * (from_x - left)
            under = small[below][left] * (1 - from_x + left) + small[below][right] * (from_x - left)
            large[y, x] = over * (1 - from_y + above) + under * (from_y - above)
    return large
