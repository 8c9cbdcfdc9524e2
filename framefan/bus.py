"""The bus: ZeroMQ topics and sockets, with the options that keep them bounded and honest.

| topic            | record        | sent                               | a slow reader loses   |
|------------------|---------------|------------------------------------|-----------------------|
| `result/CAMERA/` | OutcomeRecord | once per seq, in order             | the newest beyond the |
| `status/CAMERA/` | StatusRecord  | when a camera changes state        | HWM; gaps in `n`, and |
| `status/`        | StatusRecord  | when a worker changes state        | in `seq`, tell it     |
| `state/`         | StateRecord   | every second and on subscription   | nothing: see the next |
| `preview/CAMERA/PICTURE/` | PreviewRecord | behind its result, while subscribed | some, untold |

Topics end in `/` because ZeroMQ matches prefixes: `result/cam1` would also receive cam10.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import zmq

if TYPE_CHECKING:
    from framefan.settings import Limits

RESULT = "result/"
STATUS = "status/"
STATE = "state/"
PREVIEW = "preview/"
MESSAGE_BYTES = 4 << 20
"""A larger message is not ours: ZeroMQ drops the connection that sends one."""


def context() -> zmq.Context[zmq.Socket[bytes]]:
    """The one context of this process. It never survives a fork: children are exec'ed."""
    return zmq.Context.instance()


def _socket(kind: int, limits: Limits) -> zmq.Socket[bytes]:
    sock = context().socket(kind)
    sock.setsockopt(zmq.LINGER, 0)  # the default waits for ever at exit
    sock.setsockopt(zmq.SNDHWM, limits.bus_hwm)
    sock.setsockopt(zmq.RCVHWM, limits.bus_hwm)
    sock.setsockopt(zmq.MAXMSGSIZE, MESSAGE_BYTES)
    return sock


def publisher(limits: Limits) -> zmq.Socket[bytes]:
    """An XPUB that reports every subscription, repeated ones too, and never blocks."""
    sock = _socket(zmq.XPUB, limits)
    sock.setsockopt(zmq.XPUB_VERBOSE, 1)
    return sock


def subscriber(limits: Limits, *topics: str | bytes) -> zmq.Socket[bytes]:
    """A SUB to the given topics, not yet bound or connected."""
    sock = _socket(zmq.SUB, limits)
    for topic in topics:
        sock.subscribe(topic)
    return sock
