"""The ring: its header admits no damage, its memory no second writer, its slots no double use."""

from __future__ import annotations

import errno
import mmap
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framefan.base import host
from framefan.errors import RingError, RingTooLarge
from framefan.ipc import ring
from framefan.ipc.ring import RingReader, RingWriter, check_header, pack_header
from framefan.ipc.ring_size import PAGE, stride

HEADER = pack_header(7, 5, 8192)


def test_a_header_is_what_was_announced() -> None:
    check_header(HEADER, 7, 5, 8192)


@given(position=st.integers(0, len(HEADER) - 1), change=st.integers(1, 255))
def test_one_changed_byte_is_refused(position: int, change: int) -> None:
    damaged = bytearray(HEADER)
    damaged[position] ^= change
    with pytest.raises(RingError):
        check_header(bytes(damaged), 7, 5, 8192)


@pytest.mark.parametrize("facts", [(8, 5, 8192), (7, 4, 8192), (7, 5, 4096)])
def test_another_ring_is_refused(facts: tuple[int, int, int]) -> None:
    with pytest.raises(RingError, match="not the one announced"):
        check_header(HEADER, *facts)


def test_another_layout_is_refused(monkeypatch) -> None:
    monkeypatch.setattr(ring, "LAYOUT", ring.LAYOUT + 1)
    other = pack_header(7, 5, 8192)
    monkeypatch.undo()
    with pytest.raises(RingError, match="not a ring of this version"):
        check_header(other, 7, 5, 8192)


@given(st.integers(0, len(HEADER) - 1))
def test_a_header_cut_short_is_refused(size: int) -> None:
    with pytest.raises(RingError):
        check_header(HEADER[:size], 7, 5, 8192)


@given(st.integers(1, 1 << 28))
def test_slots_are_whole_pages_and_hold_a_frame(size: int) -> None:
    assert stride(size) % PAGE == 0
    assert 0 <= stride(size) - size < PAGE


def test_a_frame_written_is_the_frame_read_and_others_stay() -> None:
    writer = RingWriter(1, 3, 4 * 6 * 3)
    reader = RingReader(writer.share(), 1, 3, writer.slot_bytes)
    for slot in range(3):
        writer.view(slot, 4, 6)[:] = slot + 1
    for slot in range(3):
        base = reader.base(slot, 72)
        assert base.min() == base.max() == slot + 1
        assert not base.flags.writeable
    writer.close()


def test_a_reader_cannot_write_the_memory_in_any_way() -> None:
    writer = RingWriter(1, 1, 100)
    fd = writer.share()
    with pytest.raises(PermissionError):
        mmap.mmap(fd, PAGE)
    with pytest.raises(OSError):
        os.write(fd, b"x")
    reader = RingReader(fd, 1, 1, writer.slot_bytes)
    with pytest.raises(ValueError):
        reader.base(0, 100)[0] = 1
    with pytest.raises(ValueError):
        reader.base(0, 100).setflags(write=True)
    writer.close()


@pytest.mark.skipif(not host.LINUX, reason="seals are Linux's")
def test_nobody_can_shrink_the_memory_under_a_reader() -> None:
    fd = host.anonymous_file("framefan-test", PAGE)
    with pytest.raises(PermissionError):
        os.ftruncate(fd, 1)
    os.close(fd)


def test_a_frame_outlives_the_ring_it_was_in() -> None:
    writer = RingWriter(1, 1, 100)
    writer.view(0, 1, 30)[:] = 9
    reader = RingReader(writer.share(), 1, 1, writer.slot_bytes)
    kept = reader.base(0, 90)
    del reader
    writer.close()
    assert kept.max() == 9


def test_attach_refuses_a_memory_smaller_than_announced_and_closes_it() -> None:
    writer = RingWriter(1, 2, 100)
    fd = writer.share()
    with pytest.raises(RingError, match="smaller"):
        RingReader(fd, 1, 3, writer.slot_bytes)
    with pytest.raises(OSError):
        os.fstat(fd)
    writer.close()


def test_attach_refuses_foreign_memory() -> None:
    fd = host.anonymous_file("framefan-test", 2 * PAGE)
    with pytest.raises(RingError):
        RingReader(fd, 1, 1, PAGE)


def test_a_ring_that_does_not_fit_names_both_numbers(monkeypatch) -> None:
    monkeypatch.setattr(host, "available_bytes", lambda: ring.SPARE_BYTES + 10_000_000)
    with pytest.raises(RingTooLarge) as raised:
        RingWriter(1, 5, 6_220_800)
    text = " ".join(raised.value.lines())
    assert f"{PAGE + 5 * stride(6_220_800):,}" in text
    assert f"{ring.SPARE_BYTES + 10_000_000:,}" in text
    assert raised.value.exit_code == 3


def test_memory_the_kernel_refuses_is_too_large_too(monkeypatch) -> None:
    def refuse(name: str, size: int) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(host, "anonymous_file", refuse)
    with pytest.raises(RingTooLarge, match="bytes of shared memory"):
        RingWriter(1, 1, 100)


def test_a_limit_on_the_size_of_files_is_named(monkeypatch) -> None:
    def refuse(name: str, size: int) -> int:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))

    monkeypatch.setattr(host, "anonymous_file", refuse)
    with pytest.raises(RingTooLarge) as raised:
        RingWriter(1, 1, 100)
    assert "ulimit -f unlimited" in raised.value.fix


@given(st.lists(st.integers(0, 3), max_size=60))
def test_no_slot_is_taken_twice_or_lost(choices: list[int]) -> None:
    writer = RingWriter(1, 4, 100)
    taken: list[int] = []
    for choice in choices:
        if choice and taken:
            writer.give_back(taken.pop(choice % len(taken)))
        else:
            slot = writer.take()
            assert (slot is None) == (len(taken) == 4)
            if slot is not None:
                assert slot not in taken
                taken.append(slot)
        assert writer.free == 4 - len(taken)
    writer.close()


@pytest.mark.parametrize("slot", [0, -1, 4])
def test_a_slot_that_comes_back_twice_is_an_error_of_ours(slot: int) -> None:
    writer = RingWriter(1, 4, 100)
    with pytest.raises(RingError):
        writer.give_back(slot)
    writer.close()


def test_a_view_is_the_shape_asked_for() -> None:
    writer = RingWriter(1, 1, 2 * 3 * 3)
    view = writer.view(0, 2, 3)
    assert view.shape == (2, 3, 3)
    assert view.dtype == np.uint8
    writer.close()
