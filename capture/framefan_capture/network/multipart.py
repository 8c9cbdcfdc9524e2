"""Finds JPEG pictures in the bytes that a camera sends over HTTP. No I/O.

Cameras disagree about everything between two pictures: boundaries without dashes, without the first
one or never announced, parts without a type or a length, and wrong lengths. A JPEG itself has an
end. So:

1. A picture begins with SOI and a further marker (ff d8 ff). Bytes before it are skipped.
2. Its segments have lengths. The data of a scan ends at the next marker that is neither stuffing
   (ff 00) nor a restart (ff d0 to ff d7). EOI (ff d9) ends the picture.
3. A missing marker, SOI within a picture, or too many bytes mean that the picture was cut off; it
   counts as damaged. The search continues after its last valid marker, or, if parts have headers,
   after the next header, because the cut-off picture may contain a thumbnail.
4. Each picture belongs to one part header. A further header without a picture counts as damaged.

The pictures do not depend on how the bytes are split. At most the `most` bytes of a picture, and
those of one call, are kept.
"""

from __future__ import annotations

import re
from typing import NamedTuple

MOST_BYTES = 64 << 20
"""The greatest size of one picture."""
_MOST_BOUNDARY = 70
"""The greatest length of a boundary in RFC 2046."""
_SOI = b"\xff\xd8\xff"
_IN_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_FIRST, _RESTARTS, _AGAIN, _EOI, _SOS, _FILL = 0xC0, range(0xD0, 0xD8), 0xD8, 0xD9, 0xDA, 0xFF
"""The second byte of a marker; below `_FIRST` it is not a marker."""


class Part(NamedTuple):
    picture: bytes
    damaged: int
    """How many pictures were lost between the previous one and this one."""


class JpegStream:
    def __init__(self, boundary: str = "", most: int = MOST_BYTES) -> None:
        """`boundary`: as the camera announces it, with or without dashes."""
        mark = boundary.strip("-").lower().encode("latin-1", "replace")[:_MOST_BOUNDARY]
        words = [b"content-length:", b"content-type:", *([b"--" + mark] if mark else [])]
        self._event = re.compile(_SOI + b"|(?i:" + b"|".join(map(re.escape, words)) + b")")
        self._longest = max(map(len, words))
        self._most = most
        self._buffer = bytearray()
        self._at = 0
        """Up to here the buffer has been parsed."""
        self._good = 0
        """Where the search continues if the picture turns out to be cut off."""
        self._in_picture = self._in_scan = False
        """Whether a picture begins at the buffer's first byte, and whether its scan has begun."""
        self._heads = dict.fromkeys(words, 0)
        """How often each header line has come since the last picture."""
        self._has_heads = self._needs_head = False
        self._damaged = 0

    @property
    def damaged(self) -> int:
        """How many pictures were lost since the last complete one."""
        return self._damaged + max(0, max(self._heads.values()) - 1)

    def feed(self, data: bytes) -> list[Part]:
        """Add bytes; return the pictures that are now complete."""
        self._buffer += data
        parts: list[Part] = []
        while self._follow(parts) if self._in_picture else self._search():
            pass
        return parts

    def _search(self) -> bool:
        """Search for the begin of a picture; return whether one was found."""
        last = len(self._buffer) - self._longest
        while (found := self._event.search(self._buffer, self._at)) and found.start() <= last:
            self._at = found.end()
            if found[0] != _SOI:
                self._heads[found[0].lower()] += 1
                self._has_heads, self._needs_head = True, False
            elif not self._needs_head:
                self._begin(found.start())
                return True
        self._drop(max(self._at, last + 1))
        return False

    def _begin(self, start: int) -> None:
        self._damaged = self.damaged
        self._heads = dict.fromkeys(self._heads, 0)
        self._drop(start)
        self._at = self._good = len(_SOI) - 1
        self._in_picture, self._in_scan = True, False

    def _follow(self, parts: list[Part]) -> bool:
        """Parse up to the next marker; False: more bytes are needed."""
        buffer = self._buffer
        if self._in_scan:
            found = _IN_SCAN.search(buffer, self._at)
            self._at = found.start() if found else max(self._at, len(buffer) - 1)
        at = self._at
        if at > self._most:
            return self._cut_off()
        if len(buffer) < at + 2:
            return False
        marker = buffer[at + 1]
        if buffer[at] != _FILL or marker < _FIRST or marker == _AGAIN:
            return self._cut_off()
        if marker == _EOI:
            return self._whole(at + 2, parts)
        return self._pass(at, marker)

    def _pass(self, at: int, marker: int) -> bool:
        """Skip a marker and its segment; False: more bytes are needed."""
        if marker == _FILL:
            self._at = at + 1
        elif marker in _RESTARTS:
            self._at = at + 2
        elif len(self._buffer) < at + 4:
            return False
        else:
            length = int.from_bytes(self._buffer[at + 2 : at + 4], "big")
            self._good = at + 2
            self._at = self._good + max(2, length)
            self._in_scan = marker == _SOS
        return True

    def _whole(self, end: int, parts: list[Part]) -> bool:
        parts.append(Part(bytes(self._buffer[:end]), self._damaged))
        self._in_picture, self._damaged = False, 0
        self._drop(end)
        return True

    def _cut_off(self) -> bool:
        self._damaged += 1
        self._in_picture, self._needs_head = False, self._has_heads
        self._drop(self._good)
        return True

    def _drop(self, count: int) -> None:
        del self._buffer[:count]
        self._at = 0
