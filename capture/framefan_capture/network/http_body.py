"""Decodes the body of an HTTP response from the bytes after its headers. No I/O."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from framefan_capture.network.request import Answer

_MOST_LINE = 1024
_NUMBER = re.compile(r"\d{1,18}", re.ASCII)
_SIZE = re.compile(rb"[0-9a-fA-F]{1,15}")


class Body:
    """A body with a length, in chunks, or until the connection ends."""

    def __init__(self, answer: Answer, is_endless: bool = False) -> None:
        """`is_endless`: a stream, whose Content-Length is ignored."""
        self._in_chunks = "chunked" in answer.first("transfer-encoding").lower()
        length = answer.first("content-length")
        self.length: int | None = None
        """In bytes; None if there is none or it is ignored."""
        if not (is_endless or self._in_chunks) and _NUMBER.fullmatch(length):
            self.length = int(length)
        self._left = self.length or 0
        self._buffer = bytearray()
        self.is_over = self.length == 0
        """Whether the body is complete; never true if it ends with the connection."""

    def feed(self, data: bytes) -> bytes:
        """Decode received bytes to body bytes. An invalid chunk ends the body."""
        if self._in_chunks:
            self._buffer += data
            pieces = bytearray()
            while not self.is_over and self._chunk(pieces):
                pass
            return bytes(pieces)
        if self.length is None:
            return data
        data = data[: self._left]
        self._left -= len(data)
        self.is_over = not self._left
        return data

    def _chunk(self, pieces: bytearray) -> bool:
        """Decode a part of a chunk, or its size line; False: more bytes are needed."""
        if self._left:
            piece = self._buffer[: self._left]
            del self._buffer[: self._left]
            pieces += piece
            self._left -= len(piece)
            return bool(piece)
        line, end, _ = self._buffer.partition(b"\n")
        if not end:
            self.is_over = len(self._buffer) > _MOST_LINE
            return False
        del self._buffer[: len(line) + 1]
        size = line.partition(b";")[0].strip()
        if size:  # an empty line ends the previous chunk
            self._left = int(size, 16) if _SIZE.fullmatch(size) else 0
            self.is_over = not self._left
        return True
