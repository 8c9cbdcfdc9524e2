"""The motion gate on made-up scenes: times are passed in, nothing waits."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framefan_capture.motion_gate import HOLD_S, SIDE, MotionGate, reduced

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    Field = NDArray[np.float32]
    Change = Callable[[Field, float], Field]

NEVER_S = 1e6
SETTLED_S = 6.0
few = settings(max_examples=6, deadline=None)
seeds = st.integers(0, 1000)
rates = st.sampled_from([2.0, 5.0, 12.5])


def place(seed: int, width: int = SIDE, height: int = 180) -> Field:
    """A room: flat things with edges, and a texture on them; `float32`, 20 to 200."""
    chance = np.random.default_rng(seed)
    picture = np.full((height, width), 90, np.float32)
    for _ in range(30):
        x, y = chance.integers(0, (width, height))
        w, h = chance.integers(5, 90, 2)
        picture[y : y + h, x : x + w] = chance.uniform(20, 200)
    texture = cv2.GaussianBlur(chance.normal(0, 20, picture.shape).astype(np.float32), (0, 0), 1.5)
    return np.clip(picture + texture, 20, 200).astype(np.float32)


def frames(
    seed: int, rate: float, seconds: float, noise: float, *changes: Change
) -> Iterator[tuple[NDArray[np.uint8], float]]:
    """Pictures of a place and their times; each is changed in turn, then gets sensor noise."""
    still, chance = place(seed), np.random.default_rng(seed)
    for n in range(round(seconds * rate)):
        picture, now = still, n / rate
        for change in changes:
            picture = change(picture.copy(), now)
        picture = picture + chance.normal(0, noise, still.shape)
        yield np.clip(np.rint(picture), 0, 255).astype(np.uint8), now


def passed(
    pictures: Iterator[tuple[NDArray[np.uint8], float]], keep_s: float = NEVER_S
) -> list[float]:
    """The times of the frames that pass."""
    gate = MotionGate(keep_s)
    return [now for picture, now in pictures if gate.passes(picture, now)]


def mover(
    top: float, speed: float, contrast: float, since: float, size: tuple[int, int] = (3, 7)
) -> Change:
    """Something of `size` that walks from the left edge to the right, as long as it is there."""

    def walk(picture: Field, now: float) -> Field:
        x, y = (now - since) * speed - size[0], round(top * (picture.shape[0] - size[1]))
        left = math.floor(x)
        if now >= since:
            picture[y : y + size[1], max(left, 0) : max(left + size[0], 0)] += contrast
        return picture

    return walk


# ---- what does not open it -----------------------------------------------------------------------


@few
@given(seed=seeds, rate=rates, noise=st.floats(0, 20))
def test_noise_does_not_open_it(seed: int, rate: float, noise: float):
    assert max(passed(frames(seed, rate, 30, noise))) < SETTLED_S


@few
@given(seed=seeds, rate=rates, per_s=st.floats(0.02, 0.1), down=st.booleans())
def test_light_that_changes_slowly_does_not_open_it(
    seed: int, rate: float, per_s: float, down: bool
):
    def dusk(picture: Field, now: float) -> Field:
        dark = max(0.3, math.exp(-per_s * max(0.0, now - SETTLED_S)))
        return picture * (dark if down else 1.3 - dark)

    assert max(passed(frames(seed, rate, 30, 1.0, dusk))) < SETTLED_S


@few
@given(seed=seeds, rate=rates, depth=st.floats(0.01, 0.15), often=st.floats(0.2, 60))
def test_flicker_of_the_light_does_not_open_it(seed: int, rate: float, depth: float, often: float):
    def flicker(picture: Field, now: float) -> Field:
        return picture * (1 + depth * math.sin(2 * math.pi * often * now))

    assert max(passed(frames(seed, rate, 30, 1.0, flicker))) < SETTLED_S


def clock_face(picture: Field, now: float) -> Field:
    """Digits of the seconds, in white on black, as cameras write them into the picture."""
    picture[4:14, 4:34] = 0
    for digit, x in ((int(now) // 10 % 6, 6), (int(now) % 10, 12)):
        for bit in range(10):
            if (digit * 37 + 11) >> bit & 1:
                y, column = divmod(bit, 2)
                picture[5 + y, x + 2 * column : x + 2 * column + 2] = 235
    return picture


@pytest.mark.parametrize("rate", [5.0, 12.5])
def test_a_clock_in_the_picture_is_left_out_and_a_person_elsewhere_is_not(rate: float):
    person = mover(0.6, 12, 40, since=60)
    times = passed(frames(3, rate, 75, 1.0, clock_face, person))
    assert not [now for now in times if 35 < now < 60]
    assert len([now for now in times if 60.5 < now < 75]) == pytest.approx(14.5 * rate, abs=2)


# ---- what opens it -------------------------------------------------------------------------------


@few
@given(
    seed=seeds,
    rate=st.sampled_from([5.0, 12.5]),
    noise=st.floats(0, 2),
    top=st.floats(0.05, 0.95),
    speed=st.floats(2, 40),
    contrast=st.one_of(st.floats(20, 55), st.floats(-55, -20)),
)
def test_a_small_person_far_away_opens_it_until_a_while_after_the_way(
    seed: int, rate: float, noise: float, top: float, speed: float, contrast: float
):
    since = 10.0
    lasts_s = min(SIDE / speed, 20.0)

    def until_stopped(picture: Field, now: float) -> Field:
        return mover(top, speed, contrast, since)(picture, min(now, since + lasts_s))

    times = passed(frames(seed, rate, since + lasts_s + 15, noise, until_stopped))
    assert not [now for now in times if SETTLED_S < now < since]
    way = [now for now in times if since + 7 / speed + 2 / rate <= now <= since + lasts_s]
    assert len(way) >= (lasts_s - 7 / speed - 2 / rate) * rate * 0.98 - 2
    assert since + lasts_s + HOLD_S - 2 / rate <= max(times) < since + lasts_s + HOLD_S + 8


def crowd() -> list[Change]:
    """People everywhere, all the time."""
    chance = np.random.default_rng(5)
    return [
        mover(top, speed, contrast, since=-delay, size=(8, 16))
        for top, speed, contrast, delay in zip(
            chance.uniform(0, 1, 1000),
            chance.uniform(6, 14, 1000),
            chance.choice([-60, -45, 45, 60], 1000),
            chance.uniform(-60, 30, 1000),
            strict=True,
        )
    ]


@few
@given(seed=seeds, rate=rates, gain=st.one_of(st.floats(0.3, 0.7), st.floats(1.2, 2.5)))
def test_a_light_that_is_switched_opens_it_for_a_moment_at_most(
    seed: int, rate: float, gain: float
):
    def switched(picture: Field, now: float) -> Field:
        return picture * gain if now >= 10 else picture

    times = passed(frames(seed, rate, 40, 1.0, switched))
    assert not [now for now in times if SETTLED_S < now < 10 or now > 10 + HOLD_S + 8]


# ---- which frames pass ---------------------------------------------------------------------------


@few
@given(keep_s=st.floats(0.5, 12), rate=st.sampled_from([0.5, 3.0, 10.0]))
def test_the_first_frame_passes_and_then_one_at_least_in_each_keep_s(keep_s: float, rate: float):
    times = passed(frames(1, rate, 40, 0.0), keep_s)
    assert times[0] == 0
    gaps = np.diff([*times, 40.0])
    assert max(gaps) <= max(keep_s, 1 / rate) + 1e-5
    later = [now for now in times if now > SETTLED_S]
    assert len(later) <= (40 - SETTLED_S) / max(keep_s - 1 / rate, 1 / rate) + 2


def test_a_frame_that_is_asked_for_passes_once():
    gate = MotionGate(NEVER_S)
    for picture, now in frames(1, 5.0, 20, 1.0):
        is_asked = now == 10
        if is_asked:
            gate.demand()
        assert gate.passes(picture, now) == is_asked or now < SETTLED_S
    assert not gate.is_open


def test_a_clock_that_stumbles_is_no_new_beginning():
    gate = MotionGate(NEVER_S)
    assert gate.is_open
    times = []
    for n, (picture, now) in enumerate(frames(1, 5.0, 20, 1.0)):
        if gate.passes(picture, now - (0.5 if n % 3 == 0 else 0.0)):
            times.append(now)
    assert max(times) < SETTLED_S


@pytest.mark.parametrize("what", ["time", "size", "source"])
def test_a_new_beginning_is_a_first_frame(what: str):
    gate = MotionGate(NEVER_S)
    first = [(picture, now) for picture, now in frames(1, 5.0, 12, 1.0)]
    assert [gate.passes(*each) for each in first][-10:] == [False] * 10
    picture, now = first[-1]
    if what == "source":
        gate.forget()
    again = picture[:, :100] if what == "size" else picture
    assert gate.passes(again, 0.0 if what == "time" else now + 0.2)


OFF: dict[str, tuple[str, Any]] = {
    "noise": ("MOST", 6.0),
    "exposure": ("_DARK", 1e6),
    "clock": ("AREA", 0.0),
    "crowd": ("AREA", 1.0),
    "still thing": ("LEARN_S", 1e6),
}
"""What each scene needs, and what it is set to so that it does nothing."""


def scene(what: str) -> list[float]:
    """The times of frames that pass and should not, or do not and should."""

    def exposed(picture: Field, now: float) -> Field:
        return picture * (0.85 if int(now / 5) % 2 else 1)

    def put_down(picture: Field, now: float) -> Field:
        if now >= 10:
            picture[80:100, 100:130] += 50
        return picture

    match what:
        case "noise":
            return [now for now in passed(frames(1, 5.0, 30, 20.0)) if now > SETTLED_S]
        case "exposure":
            return [now for now in passed(frames(1, 5.0, 30, 1.0, exposed)) if now > SETTLED_S]
        case "clock":
            return [now for now in passed(frames(3, 5.0, 60, 1.0, clock_face)) if now > 35]
        case "still thing":
            return [now for now in passed(frames(1, 5.0, 40, 1.0, put_down)) if now > 20]
        case _:
            there = passed(frames(1, 5.0, 60, 1.0, *crowd()))
            return sorted({n / 5 for n in range(300)} - set(there))


@pytest.mark.parametrize("is_on", [True, False])
@pytest.mark.parametrize("what", OFF)
def test_each_scene_needs_its_part_of_the_algorithm(
    what: str, is_on: bool, monkeypatch: pytest.MonkeyPatch
):
    name, off = OFF[what]
    if not is_on:
        monkeypatch.setattr(f"framefan_capture.motion_gate.{name}", off)
    assert bool(scene(what)) is not is_on


# ---- the small picture ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "small"),
    [
        ((1920, 1080), (320, 180)),
        ((768, 576), (320, 240)),
        ((480, 640), (240, 320)),
        ((320, 240), (320, 240)),
        ((32, 24), (32, 24)),
        ((4000, 3), (320, 1)),
        ((1, 1), (1, 1)),
    ],
)
def test_the_small_picture_is_grey_and_has_the_shape_of_the_large_one(
    size: tuple[int, int], small: tuple[int, int]
):
    picture: Any = np.full((size[1], size[0], 3), 77, np.uint8)
    assert np.array_equal(reduced(picture), np.full(small[::-1], 77, np.uint8))
    gate = MotionGate(NEVER_S)
    assert [gate.passes(reduced(picture), float(now)) for now in range(5)][3:] == [False, False]
