"""Positions, over random streams with random repetitions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from msgspec import convert
from scripted_gateway import result

from framefan.client import position
from framefan.client.position import Position, Positions
from framefan.ipc.protocol import Gap, Result, Status

CAMERAS = st.sampled_from(["a", "b"])


def outcome(seq: int, camera: str = "cam", epoch: str = "e1", **more: object) -> Result:
    return convert(result(seq, camera, epoch, **more), Result)


def gap(first: int, last: int, epoch: str = "e1") -> Gap:
    count = last - first + 1
    return Gap(
        camera="cam",
        epoch=epoch,
        first_seq=first,
        last_seq=last,
        missed=count,
        missed_by={"lost": count},
    )


@given(
    rises=st.lists(st.tuples(CAMERAS, st.integers(0, 2), st.booleans()), max_size=60),
    repeats=st.lists(st.integers(0, 10), min_size=60, max_size=60),
)
def test_whatever_is_repeated_is_taken_once(
    rises: list[tuple[str, int, bool]], repeats: list[int]
) -> None:
    stream, last, epochs = [], {"a": 0, "b": 0}, {"a": 0, "b": 0}
    for camera, holes, restart in rises:
        if restart:
            epochs[camera], last[camera] = epochs[camera] + 1, 0
        last[camera] += 1 + holes
        stream.append((camera, f"e{epochs[camera]}", last[camera]))
    positions, taken = Positions(), []
    for end, back in zip(range(1, len(stream) + 1), repeats, strict=False):
        for camera, epoch, seq in stream[max(0, end - 1 - back) : end]:
            if positions.take(outcome(seq, camera, epoch)):
                taken.append((camera, epoch, seq))
    assert taken == stream
    for camera, at in positions.of(None).items():
        assert (camera, *at) == [each for each in stream if each[0] == camera][-1]


def test_an_epoch_that_was_left_does_not_come_back() -> None:
    positions = Positions()
    assert positions.take(outcome(5, epoch="old"))
    assert positions.take(outcome(1, epoch="new"))
    assert not positions.take(outcome(6, epoch="old"))
    assert positions.of(None) == {"cam": Position("new", 1)}


def test_of_a_camera_that_was_removed_there_is_no_position() -> None:
    positions = Positions()
    for camera in ("cam", "other"):
        assert positions.take(outcome(5, camera))
    told = {"ts": 1.0, "epoch": "e1", "subject": "camera", "camera": "cam"}
    assert positions.take(Status(state="ended", **told))
    assert set(positions.of(None)) == {"cam", "other"}
    assert positions.take(Status(state="ended", reason="removed", **told))
    assert set(positions.of(None)) == {"other"}
    assert positions.take(outcome(3))


def test_a_gap_moves_the_position_and_counts_once() -> None:
    positions = Positions()
    assert positions.take(outcome(1))
    assert positions.take(gap(2, 4))
    assert not positions.take(gap(2, 4))
    assert not positions.take(outcome(4))
    assert positions.of(None) == {"cam": Position("e1", 4)}
    assert positions.missed == {"cam": {"lost": 3}}


def test_missed_is_summed_by_camera_and_cause_and_repetitions_do_not_count() -> None:
    positions = Positions()
    for _ in range(2):
        positions.take(outcome(9, missed_by={"conflated": 2, "lost": 1}))
    positions.take(outcome(12, missed_by={"conflated": 2}))
    positions.take(outcome(1, "other"))
    assert positions.missed == {"cam": {"conflated": 4, "lost": 1}}


def test_only_cameras_that_are_asked_for_are_told_and_only_as_many_as_fit() -> None:
    positions = Positions()
    for camera in ("a", "b", "c"):
        positions.take(outcome(7, camera))
    assert set(positions.of(["b", "x"])) == {"b"}
    assert set(positions.of([])) == set()
    known = positions.of(None)
    assert position.told("a", known["a"]) == "a:e1:7"
    assert set(position.fitting(known, 14)) == {"a", "b"}
    assert position.fitting(known, 21) == known


def test_what_is_of_no_camera_that_was_asked_for_is_not_taken() -> None:
    positions = Positions()
    assert not positions.take(outcome(1, "b"), ["a"])
    assert not positions.take(outcome(1, "b"), [])
    assert positions.take(outcome(1, "a"), ["a"])
    assert set(positions.of(None)) == {"a"}
