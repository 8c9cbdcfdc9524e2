"""Events a second, of fast and of slow ones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framefan.base.rates import SILENT_S, in_words, per_second


@pytest.mark.parametrize("each", [0.001, 0.04, 1.0, 5.0, 60.0])
def test_the_rate_holds_until_the_next_is_overdue_and_then_falls_to_none(each: float) -> None:
    first, last = 100.0, 100.0 + 3 * each
    rates = [per_second(3, first, last, last + late * each) for late in (0, 0.5, 1)]
    assert rates == pytest.approx([1 / each] * 3)
    assert per_second(3, first, last, last + 1.9 * each) < 0.9 / each
    assert per_second(3, first, last, last + max(2 * each, SILENT_S) + 0.01) == 0


@given(st.integers(0, 99), *[st.floats(0, 99)] * 3)
def test_it_is_never_more_than_what_came(
    count: int, first: float, span: float, late: float
) -> None:
    last = first + span
    rate = per_second(count, first, last, last + late)
    assert 0 <= rate * (last - first) <= count + 1e-6


@pytest.mark.parametrize(
    ("rate", "words"),
    [
        (0.0, "0.0"),
        (0.2, "0.2"),
        (1 / 30, "0.033"),
        (0.25, "0.25"),
        (0.999, "1.0"),
        (29.97, "30.0"),
    ],
)
def test_a_slow_rate_is_not_told_as_none(rate: float, words: str) -> None:
    assert in_words(rate) == words
