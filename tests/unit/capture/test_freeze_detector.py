"""When the same picture is `frozen`: times are passed in, nothing waits."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from framefan_capture.freeze_detector import LOOK_S, LOOKS, FreezeDetector, fingerprint

FROZEN_S = 10.0


def looked(still: FreezeDetector, *looks: tuple[float, int]) -> list[bool]:
    states = []
    for now, of_picture in looks:
        still.look(now, of_picture)
        states.append(still.is_frozen)
    return states


# ---- the fingerprint -----------------------------------------------------------------------------


def test_noise_or_a_moving_thing_changes_the_fingerprint():
    picture = np.full((240, 320, 3), 90, np.uint8)
    before = fingerprint(picture)
    assert fingerprint(picture.copy()) == before
    for row in range(200):
        moved = picture.copy()
        moved[row : row + 8, 100] = 91  # eight rows, one grey level
        assert fingerprint(moved) != before


def test_another_size_is_another_picture():
    flat = np.zeros(16 * 30 * 3, np.uint8)
    assert fingerprint(flat.reshape(16, 30, 3)) != fingerprint(flat.reshape(8, 60, 3))


def test_the_smallest_picture_has_one():
    assert fingerprint(np.zeros((1, 1, 3), np.uint8)) != fingerprint(np.ones((1, 1, 3), np.uint8))


# ---- the state -----------------------------------------------------------------------------------


def test_the_same_picture_for_long_enough_is_frozen_and_another_one_ends_it():
    still = FreezeDetector(FROZEN_S)
    looks = [(100 + n * 0.5, 7) for n in range(21)]
    assert looked(still, *looks) == [False] * 20 + [True]
    assert still.since == 100
    assert still.still_s == 10
    assert looked(still, (110.5, 7), (111, 8), (111.5, 7)) == [True, False, False]


def test_one_repetition_after_a_long_silence_proves_nothing():
    assert looked(FreezeDetector(FROZEN_S), (100, 7), (160, 7), (160.2, 8)) == [False] * 3
    assert looked(FreezeDetector(FROZEN_S), (100, 7), (160, 7), (220, 7)) == [False, False, True]


def test_pictures_are_looked_at_a_few_times_a_second():
    still = FreezeDetector(FROZEN_S)
    looks = 0
    for frame in range(300):
        now = 100 + frame / 30
        if still.is_due(now):
            still.look(now, 7)
            looks += 1
    assert 40 <= looks <= 51


def test_zero_switches_it_off():
    still = FreezeDetector(0)
    assert not still.is_due(100)
    assert looked(still, *((100.0 + n, 7) for n in range(50))) == [False] * 50


def test_what_was_seen_before_a_new_start_is_forgotten():
    still = FreezeDetector(FROZEN_S)
    looked(still, *((100.0 + n, 7) for n in range(30)))
    assert still.is_frozen
    still.forget()
    assert not still.is_frozen
    assert still.still_s == 0
    assert still.is_due(129)
    assert looked(still, (130, 7), (131, 7), (139, 7), (140, 7)) == [False, False, False, True]


STEPS = st.lists(st.tuples(st.floats(0.2, 20), st.integers(0, 2)), min_size=1, max_size=60)


@given(STEPS, st.floats(0.1, 30))
def test_frozen_is_what_has_not_changed_for_so_long(steps: list[tuple[float, int]], limit: float):
    """Against the whole history, which the core does not keep."""
    still = FreezeDetector(limit)
    now = 1000.0
    seen: list[tuple[float, int]] = []
    for step, of_picture in steps:
        now += step
        still.look(now, of_picture)
        seen.append((now, of_picture))
        same = []
        for at, each in reversed(seen):
            if each != of_picture:
                break
            same.append(at)
        assert still.since == same[-1]
        assert still.is_frozen == (len(same) >= LOOKS and now - same[-1] >= limit)
        assert not still.is_due(now + LOOK_S * 0.9)
        assert still.is_due(now + LOOK_S * 1.1)
