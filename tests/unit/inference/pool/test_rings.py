"""Descriptors of rings: one current per camera, retired ones closed once no frame is in them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from framefan.ipc.messages import Attach
from framefan_inference.pool.rings import Rings

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def rings() -> Iterator[Rings]:
    made = Rings()
    yield made
    made.close()


def make(rings: Rings, camera: str, ring: int, slots: int = 4) -> int:
    reader, writer = os.pipe()
    os.close(writer)
    rings.made(Attach(camera, ring, slots, 4096), reader)
    return reader


def is_open(fd: int) -> bool:
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True


def collect(rings: Rings, *in_use: tuple[str, int]) -> list[tuple[str, int]]:
    return list(rings.collect(lambda camera, ring: (camera, ring) in in_use))


def test_the_newest_ring_is_current(rings: Rings) -> None:
    make(rings, "a", 1, slots=4)
    assert rings.is_current("a", 1)
    assert rings.slots("a") == 4
    make(rings, "a", 2, slots=6)
    assert not rings.is_current("a", 1)
    assert rings.is_current("a", 2)
    assert rings.slots("a") == 6
    assert rings["a", 1].attach.slots == 4
    assert not rings.is_current("b", 2)


def test_a_current_ring_is_never_collected(rings: Rings) -> None:
    fd = make(rings, "a", 1)
    make(rings, "b", 1)
    assert collect(rings) == []
    assert is_open(fd)


def test_a_retired_ring_stays_while_a_frame_stands_in_it(rings: Rings) -> None:
    old, new = make(rings, "a", 1), make(rings, "a", 2)
    assert collect(rings, ("a", 1)) == []
    assert is_open(old)
    assert collect(rings) == [("a", 1)]
    assert not is_open(old)
    assert is_open(new)
    assert collect(rings) == []
    with pytest.raises(KeyError):
        rings["a", 1]


def test_without_its_capture_all_rings_of_a_camera_are_retired(rings: Rings) -> None:
    fds = [make(rings, "a", 1), make(rings, "a", 2)]
    other = make(rings, "b", 1)
    rings.orphan("a")
    rings.orphan("never was")
    assert not rings.is_current("a", 2)
    assert rings.slots("a") == 0
    assert collect(rings, ("a", 2)) == [("a", 1)]
    assert collect(rings) == [("a", 2)]
    assert not any(map(is_open, fds))
    assert is_open(other)


def test_the_same_ring_announced_again_replaces_the_first(rings: Rings) -> None:
    old, new = make(rings, "a", 1), make(rings, "a", 1)
    assert not is_open(old)
    assert rings["a", 1].fd == new


def test_close_closes_all(rings: Rings) -> None:
    fds = [make(rings, name, ring) for name in "ab" for ring in (1, 2)]
    rings.close()
    assert not any(map(is_open, fds))
