"""The ring: one camera's slots in shared memory, written only by its capture process.

The algorithm, each step with the race it closes:

1. Capture creates the memory without a name and reserves every page. (A name could leak after
   kill -9; the first access to an unreserved page could raise SIGBUS.)
2. Capture writes the header, then announces the ring over its Unix socket together with a
   read-only descriptor. (A worker with a writable mapping could corrupt frames of others; a
   descriptor needs no clean-up.)
3. Only capture takes slots from its list of free slots, and it writes a frame only into a slot
   that it has taken. (With one allocator, two frames never share a slot.)
4. Capture sends `ready(slot)` after the frame is complete. The message is the barrier: a process
   that has received it sees the bytes. (No flag in memory is polled, so no memory model is
   assumed.)
5. From `ready` until `free` the slot belongs to the pool, which leases it to at most one worker at
   a time. The pool returns the slot only after that worker returned its lease, or after waitpid
   reported the worker's end. (A worker that does not answer may still be reading.)
6. Larger frames or more workers need a new ring. The old memory stays until the last process has
   unmapped it. (No process waits for another; no ring is resized while it is read.)

So a slot needs no header, flag, counter or lock. The file's header only proves that the descriptor
matches its announcement.
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
_CHECKED = struct.Struct("<I")  # CRC-32 of the header
_SMALLER = "use a smaller frame size, fewer workers or fewer cameras"
_UNLIMITED = "run `ulimit -f unlimited` before the start: that limit applies to rings too"


def pack_header(ring: int, slots: int, slot_bytes: int) -> bytes:
    head = _HEADER.pack(MAGIC, LAYOUT, slots, ring, slot_bytes)
    return head + _CHECKED.pack(zlib.crc32(head))


def check_header(data: bytes, ring: int, slots: int, slot_bytes: int) -> None:
    """Raises RingError unless `data` begins with the header of the announced ring."""
    if len(data) < _HEADER.size + _CHECKED.size:
        raise RingError("a ring's header is cut short", f"{len(data)} bytes")
    head = data[: _HEADER.size]
    (crc,) = _CHECKED.unpack_from(data, _HEADER.size)
    if zlib.crc32(head) != crc:
        raise RingError("a ring's header is damaged", "its checksum does not match")
    magic, layout, *facts = _HEADER.unpack(head)
    if magic != MAGIC or layout != LAYOUT:
        raise RingError("this memory is not a ring of this version", f"{magic!r}, layout {layout}")
    if facts != [slots, ring, slot_bytes]:
        raise RingError(
            "a ring is not the one announced", f"{facts} != {[slots, ring, slot_bytes]}"
        )


class RingWriter:
    """The capture process's side: creates the memory, takes slots, writes frames."""

    def __init__(self, ring: int, slots: int, frame_bytes: int) -> None:
        """Raises RingTooLarge when too little memory is available."""
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
                f"cannot allocate {size:,} bytes of shared memory",
                f"{error.strerror}; {available:,} bytes are reported as available",
                _UNLIMITED if error.errno == errno.EFBIG else _SMALLER,
            ) from error
        header = pack_header(ring, slots, self.slot_bytes)
        self._map[: len(header)] = header
        self._free = list(range(slots))

    def take(self) -> int | None:
        """Take a free slot to write into; None when the pool holds all slots."""
        return self._free.pop() if self._free else None

    def give_back(self, slot: int) -> None:
        """Free a slot that the pool has returned or whose frame is bad."""
        if slot in self._free or not 0 <= slot < self.slots:
            raise RingError(f"slot {slot} of ring {self.ring} was returned twice or never existed")
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
        """A new read-only descriptor to send; the caller closes it. Raises RingTooLarge."""
        try:
            return host.read_only(self._fd)
        except OSError as error:  # no descriptor left
            raise RingTooLarge("a ring cannot be shared", str(error), "raise ulimit -n") from error

    def close(self) -> None:
        os.close(self._fd)
        # The mapping ends with the last array over it; closing it earlier would raise.
        del self._map


class RingReader:
    """A worker's side: a read-only mapping of a ring whose descriptor came over a link."""

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
        """`size` bytes of a slot, flat and read-only; all views of the frame are based on it.

        A view of the frame keeps a reference to this array, so its reference count shows whether a
        predictor still holds the image.
        """
        return np.frombuffer(self._map, np.uint8, size, PAGE + slot * self.slot_bytes)
