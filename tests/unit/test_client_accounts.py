"""What the benchmark of ordinary clients concludes from their notes."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.clients_accounts import age, back_after, wrong_accounts
from benchmarks.clients_hoards import hoards

FPS = 10


def note(seq: int, at: float, missed: int = 0, old: float = 0.01, **more: Any) -> dict[str, Any]:
    facts = {"camera": "c0", "epoch": "e", "seq": seq, "missed": missed, "at": at}
    return facts | {"wall": 1000 + at, "ts": 1000 + at - old} | more


def opened(at: float = 0.0) -> dict[str, Any]:
    return {"event": "opened", "at": at}


GAP = {"event": "gap", "camera": "c0", "epoch": "e", "missed": 2, "at": 0.2}


@pytest.mark.parametrize(
    ("notes", "wrong", "across"),
    [
        ([note(1, 0.1), note(2, 0.2)], 0, 0),
        ([note(1, 0.1), note(5, 0.2, missed=3)], 0, 0),
        ([note(1, 0.1), note(5, 0.2, missed=2)], 1, 1),
        ([note(1, 0.1), note(1, 0.2)], 1, 1),
        ([note(1, 0.1), GAP, note(4, 0.3)], 0, 0),
        ([note(1, 0.1), GAP, note(4, 0.3), note(7, 0.4)], 1, 1),
        ([note(5, 0.1), note(0, 0.2, epoch="f")], 0, 0),
        # What lies between two connections is told only to one that came with `since`.
        ([note(1, 0.1), opened(0.2), note(9, 0.3)], 0, 1),
        ([note(1, 0.1), opened(0.2), note(2, 0.3)], 0, 0),
    ],
)
def test_each_hole_that_is_not_told_is_found(
    notes: list[dict[str, Any]], wrong: int, across: int
) -> None:
    assert len(wrong_accounts(notes)) == wrong
    assert len(wrong_accounts(notes, resumes=True)) == across


def at_rate(begin: float, seconds: float, rate: float, old: float = 0.01) -> list[dict[str, Any]]:
    return [note(number, begin + number / rate, old=old) for number in range(round(seconds * rate))]


def test_back_is_when_the_first_whole_second_has_all_and_nothing_old() -> None:
    slow = at_rate(0.0, 4.0, 2)
    assert back_after([*slow, *at_rate(4.0, 3.0, FPS)], 0.0, FPS) == pytest.approx(4.0, abs=0.3)
    assert back_after(at_rate(0.0, 3.0, FPS), 0.0, FPS) == pytest.approx(0.0, abs=0.1)
    assert back_after(slow, 0.0, FPS) is None
    stale = at_rate(0.0, 3.0, FPS, old=2.0)
    assert back_after([*stale, *at_rate(3.0, 2.0, FPS)], 0.0, FPS) == pytest.approx(2.0, abs=0.1)


def test_an_age_is_from_the_grab_to_the_handler() -> None:
    assert age(note(1, 5.0, old=0.25)) == pytest.approx(0.25)


def test_a_hoard_is_what_was_answered_and_not_handled() -> None:
    notes = [note(0, 1.0), note(1, 2.0), note(2, 3.0)]
    answered = [(0.9, 0), (1.5, 1), (1.6, 2), (1.7, 3), (2.5, 4)]
    assert [behind for _, behind in hoards(notes, answered, 0.0)] == [0, 2, 2]
