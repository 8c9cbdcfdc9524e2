"""Shared memory in which the gateways of a run exchange their counts.

The supervisor creates it and every gateway inherits it. A gateway writes its own row and reads the
rows of the others without a lock: each cell is one aligned word with one writer, and a value that
is slightly old does no harm. From the rows a gateway knows

- whether it has clearly more connections than the mean. It then leaves new connections to the other
  gateways for a moment. (The pool's table is a second old, which is too late in a burst.)
- how many clients the whole run has and, if `clients_per_address` is set, how many connections an
  address has at other gateways. Addresses are counted by four keyed hashes in tables of 16,384:
  the smallest of the four counts is never too low, and rarely too high.

A row counts while its gateway lives: the gateway writes the current time into it, and the
supervisor clears the row of a gateway that has died.

After the rows, each gateway has two places for a text of up to a megabyte: its counts, so that any
gateway can report the counts of all. A gateway writes each new text into the place that is not in
use, then the number of the text, whose last bit (0 or 1) says which place is valid. So a gateway
may be killed at any moment: its last complete text stays, and the next gateway with its number
continues from that text.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import os
import struct
import zlib
from typing import NamedTuple

from framefan.base import clock, host
from framefan.settings.options import OPTIONS

MOST_GATEWAYS = int(OPTIONS["gateways"].most)
BEAT_S = 0.25
_TRIES = 5
STALE_S = 1.0
"""A gateway whose time stamp is older does not respond: no connections are left to it."""
_HEAD = 8
_ROW = 8
_GATEWAYS, _KEY, _ADDRESSES = 0, 1, 3
_CONNECTIONS, _CLIENTS, _STAMP, _TEXT = 0, 1, 2, 3
_CLEARED = 3
"""Cells at the start of a row that are cleared when the gateway dies."""
_HASHES, _BUCKETS = 4, 1 << 14
_KEY_BYTES = 16
_WORD, _COUNT = 8, 4
_BASE_BYTES = _WORD * (_HEAD + _ROW * (MOST_GATEWAYS + 1))
_TABLE = _HASHES * _BUCKETS
_PLACE_BYTES = 1 << 20
_TEXT_HEAD = struct.Struct("<QII")
"""Its number, its length and its CRC-32."""


class Row(NamedTuple):
    connections: int
    clients: int


def is_crowded(own: int, others: list[Row]) -> bool:
    """Whether a gateway with `own` connections has clearly more than the mean of all."""
    mean = (own + sum(row.connections for row in others)) / (len(others) + 1)
    return own > 1.05 * mean + 4


class GatewayCounts:
    """The shared numbers, as gateway `own` (1 and up) sees them, or as the supervisor does (0)."""

    def __init__(self, fd: int = -1, own: int = 0, addresses: bool = False) -> None:
        """`fd`: of `make`, to be kept open; -1: nobody else has these numbers."""
        self._fd = fd
        if fd >= 0:
            addresses = os.pread(fd, 1, _ADDRESSES * _WORD) == b"\1"
        size = _size(addresses)
        self._texts_at = -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        self._alone = b""
        self._memory = memoryview(mmap.mmap(fd, size))
        self._words = self._memory[:_BASE_BYTES].cast("Q")
        rest = self._memory[_BASE_BYTES:]
        self._tables = rest.cast("I") if rest else None
        self._own = own
        self._key = bytes(self._memory[_KEY * _WORD : _KEY * _WORD + _KEY_BYTES])
        if fd < 0:
            self.gateways = 1

    @staticmethod
    def make(gateways: int, addresses: bool) -> int:
        """A descriptor of empty numbers. Raises OSError where there is no memory."""
        fd = host.anonymous_file("framefan-gateways", _size(addresses), grows=True)
        os.pwrite(fd, os.urandom(_KEY_BYTES), _KEY * _WORD)
        os.pwrite(fd, bytes([addresses]), _ADDRESSES * _WORD)
        GatewayCounts(fd).gateways = gateways
        return fd

    # ---- the supervisor ---------------------------------------------------------------------

    @property
    def gateways(self) -> int:
        """How many there should be."""
        return max(1, self._words[_GATEWAYS])

    @gateways.setter
    def gateways(self, number: int) -> None:
        self._words[_GATEWAYS] = number

    def clear(self, gateway: int) -> None:
        """Clear the row of a gateway that has died. Its text stays."""
        at = self._at(gateway)
        self._words[at : at + _CLEARED] = memoryview(bytes(_CLEARED * _WORD)).cast("Q")
        if self._tables is not None:
            first = (gateway - 1) * _TABLE
            empty = memoryview(bytes(_TABLE * _COUNT)).cast("I")
            self._tables[first : first + _TABLE] = empty

    # ---- a gateway --------------------------------------------------------------------------

    def write(self, connections: int, clients: int) -> None:
        at = self._at(self._own)
        self._words[at + _CONNECTIONS] = connections
        self._words[at + _CLIENTS] = clients

    def beat(self, now: float) -> None:
        """Record that this gateway is alive; `now` is from clock.now, which all processes share."""
        self._words[self._at(self._own) + _STAMP] = int(now * 1000)

    def others(self, now: float | None = None) -> list[Row]:
        """The rows of the other live gateways."""
        since = ((clock.now() if now is None else now) - STALE_S) * 1000
        words, own = self._words, self._own
        return [
            Row(words[at + _CONNECTIONS], words[at + _CLIENTS])
            for number in range(1, self.gateways + 1)  # others are leaving
            if number != own and words[(at := self._at(number)) + _STAMP] > max(since, 0)
        ]

    def clients_elsewhere(self) -> int:
        """Clients of the other gateways, including unresponsive ones, which keep their clients."""
        words, own = self._words, self._own
        return sum(
            words[self._at(number) + _CLIENTS]
            for number in range(1, self.gateways + 1)
            if number != own and self.lives(number)
        )

    def clients(self, gateway: int) -> int:
        """How many clients it has now."""
        return self._words[self._at(gateway) + _CLIENTS]

    def lives(self, gateway: int) -> bool:
        """Whether it has begun to accept, and is not known to have died."""
        return self._words[self._at(gateway) + _STAMP] > 0

    # ---- texts ------------------------------------------------------------------------------

    def publish(self, text: bytes) -> bool:
        """Set this gateway's text. False if there is no room; then the previous text stays."""
        if self._fd < 0:
            self._alone = text
            return True
        if len(text) + _TEXT_HEAD.size > _PLACE_BYTES:
            return False
        cell = self._at(self._own) + _TEXT
        number = self._words[cell] + 1
        head = _TEXT_HEAD.pack(number, len(text), zlib.crc32(text))
        with contextlib.suppress(OSError):  # no memory, or ulimit -f
            os.pwrite(self._fd, head + text, self._place(self._own, number))
            self._words[cell] = number
            return True
        return False

    def published(self, gateway: int) -> bytes:
        """The gateway's last complete text, maybe from an earlier process; empty if none."""
        if self._fd < 0:
            return self._alone if gateway == self._own else b""
        for _ in range(_TRIES):  # it may write two more while we read one
            number = self._words[self._at(gateway) + _TEXT]
            at = self._place(gateway, number)
            with contextlib.suppress(OSError, struct.error):
                found, length, crc = _TEXT_HEAD.unpack(os.pread(self._fd, _TEXT_HEAD.size, at))
                text = os.pread(self._fd, min(length, _PLACE_BYTES), at + _TEXT_HEAD.size)
                if found == number and zlib.crc32(text) == crc:
                    return text
        return b""

    def _place(self, gateway: int, number: int) -> int:
        return self._texts_at + (2 * gateway + number % 2) * _PLACE_BYTES

    # ---- addresses --------------------------------------------------------------------------

    def count_address(self, address: str, change: int) -> None:
        """Count a new (1) or closed (-1) connection of the address at this gateway."""
        if self._tables is not None:
            first = (self._own - 1) * _TABLE
            for bucket in self._buckets(address):
                self._tables[first + bucket] += change

    def elsewhere(self, address: str) -> int:
        """How many connections of the address the other gateways have, at most."""
        if self._tables is None:
            return 0
        buckets = self._buckets(address)
        return sum(
            min(self._tables[(number - 1) * _TABLE + bucket] for bucket in buckets)
            for number in range(1, self.gateways + 1)
            if number != self._own
        )

    def _buckets(self, address: str) -> list[int]:
        size = 4 * _HASHES
        digest = hashlib.blake2b(address.encode(), digest_size=size, key=self._key).digest()
        return [
            row * _BUCKETS + int.from_bytes(digest[4 * row : 4 * row + 4]) % _BUCKETS
            for row in range(_HASHES)
        ]

    @staticmethod
    def _at(gateway: int) -> int:
        return _HEAD + _ROW * gateway


def _size(addresses: bool) -> int:
    return _BASE_BYTES + (MOST_GATEWAYS * _TABLE * _COUNT if addresses else 0)
