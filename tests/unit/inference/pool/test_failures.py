"""What the log says of a predictor that fails: the first time, then sums, then that it works."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from log_lines import captured

from framefan.ipc.outcomes import WorkerOutcome
from framefan_inference.pool.failures import AGAIN_S, CALM_S, EVERY_S, Failures
from framefan_inference.predictors import results

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def said() -> Iterator[list[str]]:
    with captured() as lines:
        yield lines


def error(kind: str = "ZeroDivisionError", text: str = "division by zero") -> WorkerOutcome:
    told = results.error(kind, f"{text} (p.py, line 1, in predict)")
    return WorkerOutcome(1, "error", 0.0, 0.0, msgspec.Raw(told))


FINE = WorkerOutcome(1, "value", 0.0, 0.0, msgspec.Raw(b"\x01"))


def test_the_first_error_is_told_whole_then_sums_then_that_it_works(said: list[str]) -> None:
    failures = Failures()
    failures.settled("front", error(text="no\nway"), 0.0)
    assert said == [
        "warning: camera front: predict fails  why=ZeroDivisionError: no way"
        " (p.py, line 1, in predict)"
    ]
    for n in range(1, 301):
        failures.settled("front", error(), n / 30)
    assert len(said) == 2
    assert "predict failed on 300 more frames  cameras=front 300  newest=front: Zero" in said[1]
    assert failures.in_row("front")[0] == 301
    failures.settled("front", None, 10.1)  # a lost frame says nothing of it
    failures.settled("front", FINE, 10.2)
    assert failures.in_row("front") == (0, "")
    assert len(said) == 2, "one frame does not make it well"
    failures.settled("front", FINE, 10.0 + CALM_S)
    assert said[2] == "camera front: predict works again  failed=301"
    failures.settled("front", FINE, 99.0)
    assert len(said) == 3


def test_each_camera_is_told_first_and_all_in_one_sum(said: list[str]) -> None:
    failures = Failures()
    for n in range(40):
        failures.settled(f"cam{n}", error(), n / 100)
    assert len(said) == 40
    for n in range(40):
        failures.settled(f"cam{n}", error(), 5 + n / 100)
    assert len(said) == 40
    failures.settled("cam7", error(), 11.0)
    assert "cameras=cam0 1, cam1 1, cam2 1, cam3 1, cam4 1 and 35 more cameras" in said[40]
    assert "on 41 more frames" in said[40]


def test_what_is_no_error_of_ours_is_told_as_such(said: list[str]) -> None:
    Failures().settled("front", WorkerOutcome(1, "error", 0, 0, msgspec.Raw(b"\xc1")), 0.0)
    assert "an error that cannot be decoded" in said[0]


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b"]), st.booleans(), st.floats(0.01, 9)), max_size=99)
)
def test_a_flickering_predictor_fills_no_log(steps: list[tuple[str, bool, float]]) -> None:
    failures, now = Failures(), 0.0
    with captured() as lines:
        for camera, fails, wait in steps:
            now += wait
            failures.settled(camera, error() if fails else FINE, now)
    for camera in "ab":
        warned = sum(f"camera {camera}: predict fails" in line for line in lines)
        assert warned <= 1 + now / AGAIN_S
    sums = [line for line in lines if "more frame" in line]
    assert len(sums) <= 1 + now / EVERY_S
    well = [line for line in lines if "works again" in line]
    assert len(well) <= len(lines) - len(well) + len(sums), "who was not told to fail is not well"
