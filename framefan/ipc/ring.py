"""The ring: one camera's slots in shared memory, written by its capture process alone.

The algorithm, each step with the race it closes:

1. Capture makes the memory without a name and reserves every page. (A name could leak after
   kill -9; an unreserved page would be SIGBUS at first touch.)
2. Capture writes the header, then announces the ring over its Unix socket together with a
   read-only descriptor. (A worker that could map it writable might tear another one's frame; a
   descriptor needs no clean-up by anyone.)
3. Capture alone takes slots from its own list of free ones, and writes a frame only into a slot
   it has taken. (One allocator: two frames never land in one slot.)
4. `ready(slot)` is sent after the frame is whole. The message is the barrier: whoever has received
   it sees the bytes. (No flag in memory is polled, so no memory model is assumed.)
5. From `ready` until `free` the slot belongs to the pool, which lends it to at most one worker at a
   time. The slot goes back only after that worker returned its lease, or after waitpid said that
   the worker is dead. (A worker that is merely silent may still be reading.)
6. A larger frame or more workers make a new ring; the old memory lives until the last process
   that maps it lets go. (Nobody waits for anybody; nothing is resized under a reader.)

So a slot needs no header, flag, counter or lock. The file's header only proves that the
descriptor is what its announcement says.
"""

from __future__ import annotations

import errno
import mmap
import os
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np

from framefan.base import host
from framefan.errors import RingError, RingTooLarge
from framefan.ipc.ring_size import PAGE, SPARE_BYTES, stride

if TYPE_CHECKING:
    from numpy.typing import NDArray

MAGIC = b"FRMFAN\r\n"
LAYOUT = 1
_HEADER = struct.Struct("<8sIIQQ")  # magic, layout, slots, ring id, slot bytes
_CHECKED = struct.Struct("<I")  # CRC-32 of the above
_SMALLER = "use a smaller frame size, fewer workers or fewer cameras"
_UNLIMITED = "`ulimit -f unlimited` before the start: that limit holds for rings too"


def pack_header(ring: int, slots: int, slot_bytes: int) -> bytes:
    head = _HEADER.pack(MAGIC, LAYOUT, slots, ring, slot_bytes)
    return head + _CHECKED.pack(zlib.crc32(head))


def check_header(data: bytes, ring: int, slots: int, slot_bytes: int) -> None:
    """Raises RingError unless `data` is exactly the header of the ring that was announced."""
    if len(data) < _HEADER.size + _CHECKED.size:
        raise RingError("a ring's header is cut short", f"{len(data)} bytes")
    head = data[: _HEADER.size]
    (crc,) = _CHECKED.unpack_from(data, _HEADER.size)
    if zlib.crc32(head) != crc:
        raise RingError("a ring's header is damaged", "its checksum does not match")
    magic, layout, *facts = _HEADER.unpack(head)
    if magic != MAGIC or layout != LAYOUT:
        raise RingError("this memory is no ring of this version", f"{magic!r}, layout {layout}")
    if facts != [slots, ring, slot_bytes]:
        raise RingError(
            "a ring is not the one announced", f"{facts} != {[slots, ring, slot_bytes]}"
        )


class RingWriter:
    """The side of the capture process: makes the memory, takes slots, writes frames."""

    def __init__(self, ring: int, slots: int, frame_bytes: int) -> None:
        """Raises RingTooLarge when the machine has not that much memory to spare."""
        self.ring = ring
        self.slots = slots
        self.slot_bytes = stride(frame_bytes)
        size = PAGE + slots * self.slot_bytes
        available = host.available_bytes()
        if size > available - SPARE_BYTES:
            raise RingTooLarge(
                f"{slots} slots of {frame_bytes:,} bytes need {size:,} bytes of shared memory",
                f"{available:,} bytes are available, and {SPARE_BYTES:,} must stay free",
                _SMALLER,
            )
        self._fd = -1
        try:
            self._fd = host.anonymous_file("framefan-ring", size)
            self._map = mmap.mmap(self._fd, size)
        except OSError as error:
            if self._fd >= 0:
                os.close(self._fd)
            raise RingTooLarge(
                f"no {size:,} bytes of shared memory to be had",
                f"{error.strerror}; {available:,} bytes are said to be available",
                _UNLIMITED if error.errno == errno.EFBIG else _SMALLER,
            ) from error
        header = pack_header(ring, slots, self.slot_bytes)
        self._map[: len(header)] = header
        self._free = list(range(slots))

    def take(self) -> int | None:
        """A free slot, now the caller's to write; None when the pool holds them all."""
        return self._free.pop() if self._free else None

    def give_back(self, slot: int) -> None:
        """The slot is free again: the pool said so, or the frame in it turned out bad."""
        if slot in self._free or not 0 <= slot < self.slots:
            raise RingError(f"slot {slot} of ring {self.ring} came back twice or never was")
        self._free.append(slot)

    @property
    def free(self) -> int:
        return len(self._free)

    def view(self, slot: int, height: int, width: int) -> NDArray[np.uint8]:
        """The slot as a writable `uint8[height, width, 3]` array over the shared memory."""
        size = height * width * 3
        offset = PAGE + slot * self.slot_bytes
        return np.frombuffer(self._map, np.uint8, size, offset).reshape(height, width, 3)

    def share(self) -> int:
        """A new read-only descriptor to hand over; the caller closes it. Raises RingTooLarge."""
        try:
            return host.read_only(self._fd)
        except OSError as error:  # no descriptor left
            raise RingTooLarge("a ring cannot be shared", str(error), "raise ulimit -n") from error

    def close(self) -> None:
        os.close(self._fd)
        # The mapping goes with the last array over it; closing it under one would raise.
        del self._map


class RingReader:
    """The side of a worker: a read-only mapping of a ring whose descriptor came over a link."""

    def __init__(self, fd: int, ring: int, slots: int, slot_bytes: int) -> None:
        """Maps and checks; takes over `fd` and closes it. Raises RingError."""
        try:
            size = PAGE + slots * slot_bytes
            if os.fstat(fd).st_size < size:
                raise RingError("a ring is smaller than announced", f"{os.fstat(fd).st_size} bytes")
            self._map = mmap.mmap(fd, size, access=mmap.ACCESS_READ)
        finally:
            os.close(fd)
        check_header(self._map[:PAGE], ring, slots, slot_bytes)
        self.slot_bytes = slot_bytes

    def base(self, slot: int, size: int) -> NDArray[np.uint8]:
        """`size` bytes of a slot, flat and read-only: the one array all views of a frame rest on.

        Whoever keeps a view of the frame keeps a reference to this array, so its reference count
        tells whether a predictor held on to the image.
        """
        return np.frombuffer(self._map, np.uint8, size, PAGE + slot * self.slot_bytes)
