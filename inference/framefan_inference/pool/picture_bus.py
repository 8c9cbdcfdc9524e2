"""Pictures on the bus have their own sockets, so that each reader's queue is bounded in bytes.

libzmq keeps one queue per connection and bounds it by the number of messages only. A socket that
carries pictures up to one size (bus.PICTURE_QUEUES) is thereby bounded in bytes too. A reader that
has stopped reading fills only its own queues, and no result waits in them.

At the results endpoint a reader has pictures and results in one queue. There all pictures that have
not left yet share `picture_bytes`, for all readers together. Their number is limited too, so that
`bus_hwm` messages keep their room. A picture beyond these limits is not sent there.
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
    """Most pictures that may wait at the results endpoint."""
    return min(max(limits.bus_hwm // _SHARE, 1), _MOST_SHARED)


def room_for_shared(limits: Limits) -> int:
    """By how many messages the queue there must be longer.

    libzmq learns what was read only after half of its bound, so twice as many may seem to wait.
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
        """Send a picture. `places`: where its topic is subscribed to (Previews.places)."""
        if places & _AT_RESULTS and self._shared.has_room(len(body)):
            self._results.send(topic, _SNDMORE)
            self._shared.sent(self._results, body)
        if not places & ~_AT_RESULTS:
            return
        for sock, size in zip(self.sockets, self._sizes, strict=True):
            if len(body) <= size:
                sock.getsockopt(_EVENTS)  # makes libzmq notice at once what was read
                sock.send(topic, _SNDMORE)
                sock.send(body, 0)
                return

    def close(self) -> None:
        for sock in self.sockets:
            sock.close(linger=0)


def subscriptions(sock: zmq.Socket[bytes]) -> Iterator[tuple[bool, str]]:
    """Subscriptions that began (True) or ended at an XPUB since the last call, with their topic."""
    while int(sock.getsockopt(_EVENTS)) & _POLLIN:  # far cheaper than a zmq.Again
        said = sock.recv(_NOBLOCK)
        yield said[:1] == b"\x01", said[1:].decode(errors="replace")


class _Shared:
    """The pictures sent at the results endpoint that libzmq still holds."""

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
                "a reader of pictures at the results endpoint has stopped reading: "
                "no reader gets pictures there",
                do="stop that reader, or read pictures at the picture endpoints",
            )
