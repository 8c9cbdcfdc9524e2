"""Pictures on the bus: by sockets of their own, to bound in bytes what waits for a reader.

libzmq keeps one queue for each connection, bounded by the number of its messages alone. On sockets
that have pictures up to one size only (bus.PICTURE_QUEUES), such a bound is one in bytes; a reader
that stands still fills its own queues, and nobody else's, and no result waits in them.

Readers that ask for pictures at the results endpoint have them and results in one queue. There
all pictures that have not left yet share `picture_bytes`, whoever they wait for, and are few enough
to leave `bus_hwm` messages their room: beyond it none is sent there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import zmq

from framefan.base import clock, logs
from framefan.ipc import bus
from framefan_inference.pool.previews import RESULTS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from framefan.settings.run import Limits, Settings

_NOBLOCK, _SNDMORE = int(zmq.NOBLOCK), int(zmq.SNDMORE)
_AT_RESULTS = 1 << RESULTS
_EVENTS, _POLLIN = int(zmq.EVENTS), int(zmq.POLLIN)
_MOST_SHARED = 32
_SHARE = 8
_STUCK_S = 10.0
_WARN_EVERY_S = 60.0


def most_shared(limits: Limits) -> int:
    """So many pictures wait at the results endpoint at most."""
    return min(max(limits.bus_hwm // _SHARE, 1), _MOST_SHARED)


def room_for_shared(limits: Limits) -> int:
    """What the queue there has to be longer by.

    libzmq hears of what was read by halves of its bound, so as many again may seem to wait.
    """
    return 2 * most_shared(limits)


class PictureBus:
    """The sockets for pictures, and the pictures at the results endpoint."""

    def __init__(self, settings: Settings, results: zmq.Socket[bytes]) -> None:
        """Binds the sockets for pictures; `results` is bound already. Raises zmq.ZMQError."""
        self._results = results
        self._sizes = bus.picture_sizes(settings.limits)
        self.sockets = bus.picture_publishers(settings)
        self._shared = _Shared(settings.limits)

    def send(self, topic: bytes, body: bytes, places: int) -> None:
        """`places`: where somebody subscribes to the topic, as Previews.places has it."""
        if places & _AT_RESULTS and self._shared.has_room(len(body)):
            self._results.send(topic, _SNDMORE)
            self._shared.sent(self._results, body)
        if not places & ~_AT_RESULTS:
            return
        for sock, size in zip(self.sockets, self._sizes, strict=True):
            if len(body) <= size:
                sock.getsockopt(_EVENTS)  # sending alone may hear a millisecond late what was read
                sock.send(topic, _SNDMORE)
                sock.send(body, 0)
                return

    def close(self) -> None:
        for sock in self.sockets:
            sock.close(linger=0)


def subscriptions(sock: zmq.Socket[bytes]) -> Iterator[tuple[bool, str]]:
    """What has begun (True) or ended at an XPUB since the last call, and its topic."""
    while int(sock.getsockopt(_EVENTS)) & _POLLIN:  # an Again costs far more
        said = sock.recv(_NOBLOCK)
        yield said[:1] == b"\x01", said[1:].decode(errors="replace")


class _Shared:
    """Which pictures libzmq still holds of those that were sent at the results endpoint."""

    def __init__(self, limits: Limits) -> None:
        self._most, self._most_bytes = most_shared(limits), limits.picture_bytes
        self._waiting: list[tuple[zmq.MessageTracker, int]] = []
        self._full_since: float | None = None
        self._warn_at = 0.0

    def has_room(self, size: int) -> bool:
        self._waiting = [each for each in self._waiting if not each[0].done]
        taken = sum(bytes_ for _, bytes_ in self._waiting)
        if len(self._waiting) < self._most and taken + size <= self._most_bytes:
            self._full_since = None
            return True
        self._warn(clock.now())
        return False

    def sent(self, sock: zmq.Socket[bytes], body: bytes) -> None:
        frame = zmq.Frame(body, track=True, copy=False, copy_threshold=0)
        sock.send(frame, copy=False)
        assert frame.tracker is not None
        self._waiting.append((frame.tracker, len(body)))

    def _warn(self, now: float) -> None:
        if self._full_since is None:
            self._full_since = now
        elif now - self._full_since > _STUCK_S and now >= self._warn_at:
            self._warn_at = now + _WARN_EVERY_S
            logs.warning(
                "a reader of pictures at the results endpoint stands still: nobody gets any there",
                do="stop it, or read pictures at the endpoints that are for them alone",
            )
