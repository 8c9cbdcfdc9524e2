"""`make prove-real` must see a wrong decode: its comparison is tried on answers that are wrong."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.real.compare import compare, mask_iou

BOX = [10.0, 20.0, 60.0, 120.0]
SQUARE = [[0, 0], [10, 0], [10, 10], [0, 10]]
POINTS = [[20.0, 30.0, 0.9], [40.0, 50.0, 0.1]]


def seen(**changed: Any) -> dict[str, Any]:
    return {"box": BOX, "score": 0.8, "class": 1, "mask": SQUARE, "points": POINTS} | changed


WRONG: dict[str, tuple[list[dict[str, Any]], str]] = {
    "nothing": ([], "missing: class 1"),
    "another class": ([seen(**{"class": 2})], "missing: class 1"),
    "one more": ([seen(), seen(box=[200, 20, 260, 90])], "extra: class 1"),
    "one twice": ([seen(), seen(score=0.5)], "extra: class 1"),
    "moved by a pixel": ([seen(box=[11.0, 20.0, 61.0, 120.0])], "IoU 0.9"),
    "another score": ([seen(score=0.802)], "scores 0.8000 0.8020"),
    "a key point": ([seen(points=[[20.0, 32.0, 0.9], POINTS[1]])], "2.00 px"),
    "its confidence": ([seen(points=[[20.0, 30.0, 0.5], POINTS[1]])], "0.4000 of confidence"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_answer_is_seen(name: str) -> None:
    answer, words = WRONG[name]
    (wrong, *_) = compare([seen()], answer).wrong
    assert words in wrong


def test_the_same_answer_is_right_in_any_order() -> None:
    far = seen(box=[200, 20, 260, 90], score=0.3)
    verdict = compare([seen(), far], [far, seen(score=0.8005)])
    assert (verdict.wrong, verdict.wanted, verdict.mask_iou) == ([], 2, [1.0, 1.0])


@pytest.mark.parametrize(
    "each",
    [
        seen(score=0.2505, box=[200, 20, 260, 90]),  # by the least confidence
        seen(score=0.5, box=[10.0, 20.0, 60.0, 65.3]),  # overlaps by 0.453, and 0.45 is the limit
    ],
)
def test_what_is_at_a_limit_may_be_on_one_side_only(each: dict[str, Any]) -> None:
    verdict = compare([seen()], [seen(), each])
    assert (verdict.wrong, verdict.excused) == ([], 1)


def test_masks_are_compared_by_their_areas() -> None:
    half = [[0, 0], [10, 0], [10, 5], [0, 5]]
    assert mask_iou(SQUARE, SQUARE[::-1]) == 1
    assert mask_iou(SQUARE, half) == pytest.approx(0.5, abs=0.03)
    assert mask_iou(SQUARE, []) == 0
