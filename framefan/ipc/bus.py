"""The bus: ZeroMQ topics and sockets, with options that bound their queues and expose losses.

| topic            | record        | sent                               | a slow reader loses   |
|------------------|---------------|------------------------------------|-----------------------|
| `result/CAMERA/` | OutcomeRecord | once per seq, in order             | the newest beyond the |
| `status/CAMERA/` | StatusRecord  | when a camera changes state        | HWM; gaps in `n`, and |
| `status/`        | StatusRecord  | when a worker changes state        | in `seq`, tell it     |
| `state/`         | StateRecord   | every second and on subscription   | nothing: see the next |
| `preview/CAMERA/PICTURE/` | PreviewRecord | after its result, while subscribed | some, silently |

Pictures have sockets of their own; the results endpoint carries them only for readers that
subscribe there. ZeroMQ limits a reader's queue by the number of messages, not of bytes. So each
picture socket has a maximum picture size, and its queue is as long as its share of `picture_bytes`
allows.

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
"""No message of ours is larger; ZeroMQ drops a connection that sends a larger one."""
HEAD_BYTES = 4096
"""More than the size of a picture's record without the JPEG."""
_PICTURES_AHEAD = 8
"""How many pictures of each size may wait in a reader of ours."""


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
    """The size limit of a JPEG; the bus does not carry larger ones."""
    return min(picture_sizes(limits)[-1], MESSAGE_BYTES) - HEAD_BYTES


def context() -> zmq.Context[zmq.Socket[bytes]]:
    """The one context of this process. It never survives a fork: children are exec'ed."""
    return zmq.Context.instance()


def _socket(kind: int, hwm: int) -> zmq.Socket[bytes]:
    sock = context().socket(kind)
    sock.setsockopt(zmq.LINGER, 0)  # the default may wait forever at exit
    sock.setsockopt(zmq.SNDHWM, hwm)
    sock.setsockopt(zmq.RCVHWM, hwm)
    sock.setsockopt(zmq.MAXMSGSIZE, MESSAGE_BYTES)
    return sock


def publisher(limits: Limits, extra: int = 0) -> zmq.Socket[bytes]:
    """An XPUB that reports every subscription, repeated ones too, and never blocks.

    `extra`: how many messages beyond `bus_hwm` may wait for each reader.
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
    """A SUB connected to all picture sockets, without subscriptions."""
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
