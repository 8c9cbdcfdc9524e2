"""Whether two decoders saw the same: detections are matched, then boxes and scores are compared.

A detection of one side only is excused in three cases, because there the last bit of a float
decides. Its score is at the least confidence; its overlap with another box is at the suppression's
limit; or, in half precision, two of its classes are equally likely.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Detection = dict[str, Any]
"""`box` x1, y1, x2, y2 in pixels of the picture, `score`, `class`; perhaps `mask` (a polygon),
`points` `[k][2 or 3]`, `angle` in radians."""
CONF, IOU = 0.25, 0.45
LEAST_IOU = 0.99
SCORES = {False: 1e-3, True: 1e-2}
"""The largest difference of two scores, by whether the model is of half precision."""
POINT_PX = {False: 1.0, True: 4.0}
"""Numbers of half precision are a quarter of a pixel apart in an input of 320 pixels, and a picture
of 1,080 is more than three times as large.
"""
MASK_IOU = 0.95
_EDGE_IOU = 0.01
_SAME_PX = 0.1


@dataclass
class Verdict:
    wanted: int = 0
    """Detections of the reference."""
    least_iou: float = 1.0
    score: float = 0.0
    """The largest difference."""
    points_px: float = 0.0
    mask_iou: list[float] = field(default_factory=list)
    angle: float = 0.0
    excused: int = 0
    maskless: int = 0
    """Extra boxes without a mask."""
    wrong: list[str] = field(default_factory=list)

    def add(self, other: Verdict) -> None:
        self.wanted += other.wanted
        self.least_iou = min(self.least_iou, other.least_iou)
        self.score = max(self.score, other.score)
        self.points_px = max(self.points_px, other.points_px)
        self.angle = max(self.angle, other.angle)
        self.mask_iou += other.mask_iou
        self.excused += other.excused
        self.maskless += other.maskless
        self.wrong += other.wrong

    def __str__(self) -> str:
        parts = [f"{self.wanted} boxes, IoU >= {self.least_iou:.4f}, scores +- {self.score:.1g}"]
        if self.mask_iou:
            parts.append(f"masks IoU {np.median(self.mask_iou):.3f}")
        if self.points_px:
            parts.append(f"key points +- {self.points_px:.2f} px")
        if self.angle:
            parts.append(f"angles +- {self.angle:.1g}")
        if self.excused:
            parts.append(f"{self.excused} at a limit")
        if self.maskless:
            parts.append(f"{self.maskless} more boxes without a mask")
        return ", ".join(parts)


def compare(
    wanted: list[Detection], got: list[Detection], *, half: bool = False, iou: float = IOU
) -> Verdict:
    verdict, most = Verdict(wanted=len(wanted)), SCORES[half]
    pairs, alone, extra = _pairs(wanted, got)
    for one, other in pairs:
        _judge(verdict, one, other, half)
    if any(
        "mask" in each for each in wanted
    ):  # they leave out what has no mask, and we send its box
        verdict.maskless += sum("mask" not in each for each in extra)
        extra = [each for each in extra if "mask" in each]
    if half:
        verdict.excused += _take_twins(alone, extra, most)
    for each in (*alone, *extra):
        others = [other for other in wanted + got if other is not each]
        if _is_at_limit(each, others, most, iou):
            verdict.excused += 1
        else:
            side = "missing" if any(each is one for one in alone) else "extra"
            box = [round(side, 1) for side in each["box"]]
            verdict.wrong.append(f"{side}: class {each['class']}, {each['score']:.4f}, {box}")
    return verdict


def overlaps(one: NDArray[Any], other: NDArray[Any]) -> NDArray[np.float64]:
    """IoU `[n, m]` of boxes `[n, 4]` and `[m, 4]`; 1 for flat ones at the same place.

    A box beside the picture, in the grey around it, is flat once it is cut to the picture.
    """
    low = np.maximum(one[:, None, :2], other[None, :, :2])
    high = np.minimum(one[:, None, 2:4], other[None, :, 2:4])
    both = np.clip(high - low, 0, None).prod(2)
    areas = [np.prod(each[:, 2:4] - each[:, :2], axis=1) for each in (one, other)]
    all_of_it = areas[0][:, None] + areas[1] - both
    same = np.abs(one[:, None, :4] - other[None, :, :4]).max(2) < _SAME_PX
    return np.asarray(np.where((all_of_it < 1) & same, 1.0, both / np.maximum(all_of_it, 1e-9)))


def _boxes(found: list[Detection]) -> NDArray[np.float64]:
    return np.array([each["box"] for each in found], float).reshape(-1, 4)


def _pairs(
    wanted: list[Detection], got: list[Detection]
) -> tuple[list[tuple[Detection, Detection]], list[Detection], list[Detection]]:
    """Of the same class, the nearest first; and what is left of both."""
    near = overlaps(_boxes(wanted), _boxes(got))
    classes = [np.array([each["class"] for each in some], int) for some in (wanted, got)]
    near[classes[0][:, None] != classes[1][None, :]] = 0
    apart = np.abs(
        np.array([each["score"] for each in wanted])[:, None]
        - np.array([each["score"] for each in got])[None, :]
    )
    pairs = []
    for i, j in np.dstack(np.unravel_index(np.argsort((apart - near).ravel()), near.shape))[0]:
        if near[i, j] > 0.5:
            pairs.append((int(i), int(j)))
            near[i, :] = near[:, j] = 0
    used = {i for i, _ in pairs}, {j for _, j in pairs}
    left = [
        [each for n, each in enumerate(some) if n not in taken]
        for some, taken in zip((wanted, got), used, strict=True)
    ]
    return [(wanted[i], got[j]) for i, j in pairs], left[0], left[1]


def _judge(verdict: Verdict, one: Detection, other: Detection, half: bool) -> None:
    iou = float(overlaps(_boxes([one]), _boxes([other]))[0, 0])
    apart = abs(one["score"] - other["score"])
    verdict.least_iou, verdict.score = min(verdict.least_iou, iou), max(verdict.score, apart)
    if iou < LEAST_IOU or apart > SCORES[half]:
        verdict.wrong.append(f"IoU {iou:.4f}, scores {one['score']:.4f} {other['score']:.4f}")
    if "points" in one:
        _judge_points(verdict, np.array(one["points"]), np.array(other["points"]), half)
    if "mask" in one:
        verdict.mask_iou.append(mask_iou(one["mask"], other.get("mask") or []))
    if "corners" in one:
        _judge_turned(verdict, one, other)


def _judge_points(verdict: Verdict, one: NDArray[Any], other: NDArray[Any], half: bool) -> None:
    px = float(np.abs(one[:, :2] - other[:, :2]).max())
    verdict.points_px = max(verdict.points_px, px)
    sure = np.abs(one[:, 2:] - other[:, 2 : one.shape[1]]).max(initial=0)
    if px > POINT_PX[half] or sure > SCORES[half]:
        verdict.wrong.append(f"a key point is {px:.2f} px and {sure:.4f} of confidence away")


def _judge_turned(verdict: Verdict, one: Detection, other: Detection) -> None:
    """By the corners: an angle alone has several names."""
    iou = mask_iou(one["corners"], other.get("mask") or [])
    if "angle" in one:
        turn = abs(one["angle"] - other["angle"]) % (np.pi / 2)
        verdict.angle = max(verdict.angle, min(turn, np.pi / 2 - turn))
    if iou < LEAST_IOU - 0.01:  # drawn in pixels, and so a little coarser
        verdict.wrong.append(f"rotated boxes have the IoU {iou:.4f}")


def mask_iou(one: Any, other: Any) -> float:
    """Of two polygons, by their areas: each is drawn in quarters of pixels."""
    polygons = [
        np.round(np.array(each, float).reshape(-1, 2) * 4).astype(int) for each in (one, other)
    ]
    if min(map(len, polygons)) < 3:
        return 1.0 if max(map(len, polygons)) < 3 else 0.0
    both = np.concatenate(polygons)
    low, high = both.min(0), both.max(0)
    drawn = []
    for each in polygons:
        canvas = np.zeros((high[1] - low[1] + 1, high[0] - low[0] + 1), np.uint8)
        cv2.fillPoly(canvas, [(each - low).astype(np.int32)], 1)
        drawn.append(canvas.astype(bool))
    return float((drawn[0] & drawn[1]).sum() / max(1, (drawn[0] | drawn[1]).sum()))


def _take_twins(alone: list[Detection], extra: list[Detection], most: float) -> int:
    """Remove what both have at the same place, with classes that are equally likely; how many."""
    count = 0
    for one in list(alone):
        for other in extra:
            iou = overlaps(_boxes([one]), _boxes([other]))[0, 0]
            if iou >= LEAST_IOU and abs(one["score"] - other["score"]) <= most:
                alone.remove(one)
                extra.remove(other)
                count += 1
                break
    return count


def _is_at_limit(each: Detection, others: list[Detection], most: float, iou: float) -> bool:
    if abs(each["score"] - CONF) <= most:
        return True
    rivals = [one for one in others if one["class"] == each["class"]]
    near = overlaps(_boxes([each]), _boxes(rivals))[0] if rivals else np.zeros(0)
    return bool(np.any(np.abs(near - iou) <= _EDGE_IOU))
