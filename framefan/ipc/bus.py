"""The bus: ZeroMQ topics and sockets, with the options that keep them bounded and honest.

| topic            | record        | sent                               | a slow reader loses   |
|------------------|---------------|------------------------------------|-----------------------|
| `result/CAMERA/` | OutcomeRecord | once per seq, in order             | the newest beyond the |
| `status/CAMERA/` | StatusRecord  | when a camera changes state        | HWM; gaps in `n`, and |
| `status/`        | StatusRecord  | when a worker changes state        | in `seq`, tell it     |
| `state/`         | StateRecord   | every second and on subscription   | nothing: see the next |
| `preview/CAMERA/PICTURE/` | PreviewRecord | behind its result, while subscribed | some, untold |

Pictures leave by sockets of their own, and at the results endpoint only for those who ask for them
there. ZeroMQ bounds what waits for a reader by the number of messages, so each of those sockets has
pictures up to one size, and as many may wait as fit its share of `picture_bytes`.

Topics end in `/` because ZeroMQ matches prefixes: `result/cam1` would also receive cam10.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import zmq

if TYPE_CHECKING:
    from framefan.settings.run import Limits, Settings

RESULT = "result/"
STATUS = "status/"
STATE = "state/"
PREVIEW = "preview/"
MESSAGE_BYTES = 4 << 20
"""A larger message is not ours: ZeroMQ drops the connection that sends one."""
HEAD_BYTES = 4096
"""More than a picture's record has beside the JPEG."""
_PICTURES_AHEAD = 8
"""Of each size, so many may wait in a reader of ours."""


class PictureQueue(NamedTuple):
    """One socket for pictures: those that are not larger than `1 / part` of `picture_bytes`."""

    part: int
    hwm: int
    """One more than these lies in libzmq's encoder, whatever the reader does."""


PICTURE_QUEUES = (PictureQueue(256, 63), PictureQueue(32, 7), PictureQueue(4, 1))
"""In the order of `Settings.picture_endpoints`: a quarter of the bytes, a quarter, and half."""


def picture_sizes(limits: Limits) -> tuple[int, ...]:
    """The most bytes of a message on each of the sockets for pictures, smallest first."""
    return tuple(limits.picture_bytes // queue.part for queue in PICTURE_QUEUES)


def most_jpeg_bytes(limits: Limits) -> int:
    """A picture has to be made smaller than this, or the bus does not carry it."""
    return min(picture_sizes(limits)[-1], MESSAGE_BYTES) - HEAD_BYTES


def context() -> zmq.Context[zmq.Socket[bytes]]:
    """The one context of this process. It never survives a fork: children are exec'ed."""
    return zmq.Context.instance()


def _socket(kind: int, hwm: int) -> zmq.Socket[bytes]:
    sock = context().socket(kind)
    sock.setsockopt(zmq.LINGER, 0)  # the default waits for ever at exit
    sock.setsockopt(zmq.SNDHWM, hwm)
    sock.setsockopt(zmq.RCVHWM, hwm)
    sock.setsockopt(zmq.MAXMSGSIZE, MESSAGE_BYTES)
    return sock


def publisher(limits: Limits, extra: int = 0) -> zmq.Socket[bytes]:
    """An XPUB that reports every subscription, repeated ones too, and never blocks.

    `extra`: so many messages more than `bus_hwm` may wait for each reader.
    """
    return _publisher(limits.bus_hwm + extra)


def picture_publishers(settings: Settings) -> list[zmq.Socket[bytes]]:
    """Those of PICTURE_QUEUES, bound. Raises zmq.ZMQError."""
    sockets = [_publisher(queue.hwm) for queue in PICTURE_QUEUES]
    for sock, endpoint in zip(sockets, settings.picture_endpoints, strict=True):
        sock.bind(endpoint)
    return sockets


def _publisher(hwm: int) -> zmq.Socket[bytes]:
    sock = _socket(zmq.XPUB, hwm)
    sock.setsockopt(zmq.XPUB_VERBOSE, 1)
    return sock


def picture_subscriber(settings: Settings) -> zmq.Socket[bytes]:
    """A SUB connected to all sockets for pictures, to no topic yet."""
    sock = _socket(zmq.SUB, _PICTURES_AHEAD)
    sock.setsockopt(zmq.SNDHWM, 0)  # subscriptions beyond it would be dropped without a word
    for endpoint in settings.picture_endpoints:
        sock.connect(endpoint)
    return sock


def subscriber(limits: Limits, *topics: str | bytes) -> zmq.Socket[bytes]:
    """A SUB to the given topics, not yet bound or connected."""
    sock = _socket(zmq.SUB, limits.bus_hwm)
    for topic in topics:
        sock.subscribe(topic)
    return sock
