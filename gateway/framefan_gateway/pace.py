"""Pace: how far a client has read, which no socket option tells.

What the kernel has delivered may lie unread in the client's own receive buffer, a hundred kilobytes
of it: seconds of old results for a slow reader. But a ping travels in the order of the stream, and
whoever implements WebSocket answers it on coming to it. So its pong says: all before it is read.

0. Young: a newcomer is probed at each flush, until it has read `MATURE_BYTES` or has been here for
   `YOUNG_S`. More than `WINDOW_BYTES` that it is not known to have read make it lag. One that
   answers no ping within `GIVE_UP_S` is never judged.
1. Steady: now and then a ping goes out behind the results.
2. A ping that stays unanswered for `PATIENCE_S`, and for three of the network's own round trips,
   while more than `SLACK_BYTES` were sent behind it, means that the client lags.
3. Lagging: each write carries a ping, and until its pong has come the line counts as full. So no
   more than one batch lies unread, and what comes meanwhile is conflated in the outbox.
4. After `CALM_S` in which nothing had to be conflated, the client is steady again.
5. A lagging client that does not get through one batch within the stall deadline is as good as
   gone: `waited` tells for how long it has not answered.

Pure: times, in seconds, and counts come in as arguments.
"""

from __future__ import annotations

import math
import struct

PATIENCE_S = 0.09
"""A little less than the time between two looks at a client."""
SLACK_BYTES = 4096
CALM_S = 1.0
STEP_BYTES = 2048
"""Results worth a ping. The first ping goes out behind whatever comes first."""
WINDOW_BYTES = 12 * 1024
MATURE_BYTES = 24 * 1024
GIVE_UP_S = 0.3
YOUNG_S = 10.0
"""Who is sent little takes long to read `MATURE_BYTES`, and each flush has to look at the young."""

_PREFIX = b"pace"
_PING = 0x89
"""The first byte of a ping."""
_NUMBER = struct.Struct("!Q")
_PONG = bytes((0x8A, 0x80 | (len(_PREFIX) + _NUMBER.size)))
"""How a masked pong of this size begins."""
_PONG_BYTES = 2 + 4 + len(_PREFIX) + _NUMBER.size


def ping(number: int) -> bytes:
    """The bytes of a ping that carries this number."""
    payload = _PREFIX + _NUMBER.pack(number)
    return bytes((_PING, len(payload))) + payload


def number_of(payload: bytes) -> int | None:
    """The number a pong brings back; None when the ping was not one of these."""
    if len(payload) != len(_PREFIX) + _NUMBER.size or not payload.startswith(_PREFIX):
        return None
    return int(_NUMBER.unpack_from(payload, len(_PREFIX))[0])


def pong_in(data: bytes) -> int | None:
    """The number that comes back, when `data` is one whole pong of ours and nothing else."""
    if len(data) != _PONG_BYTES or data[:2] != _PONG:
        return None
    mask = int.from_bytes(data[2:6] * 3, "big")
    return number_of((int.from_bytes(data[6:], "big") ^ mask).to_bytes(12, "big"))


def whole(data: bytes) -> bool:
    """Whether what begins with a frame from a client ends with one (RFC 6455, section 5.2)."""
    at, end = 0, len(data)
    while at + 1 < end:
        short = data[at + 1] & 0x7F
        wide = {126: 2, 127: 8}.get(short, 0)
        size = int.from_bytes(data[at + 2 : at + 2 + wide], "big") if wide else short
        at += 2 + wide + 4 + size
    return at == end


class Pace:
    """One client's pace, from the pings sent to it and the pongs that came back."""

    __slots__ = (
        "_answers",
        "_born_at",
        "_bytes_then",
        "_calm_since",
        "_conflated",
        "_first_at",
        "_from",
        "_read",
        "_sent_at",
        "_waiting",
        "young",
    )

    def __init__(self, now: float, sent_bytes: int = 0) -> None:
        """`sent_bytes`: what was sent before `now`, of which nothing is known."""
        self._born_at = now
        self._waiting = 0
        """The number of the newest ping, while it is unanswered; else 0."""
        self._sent_at = 0.0
        self._bytes_then = sent_bytes
        self._from = sent_bytes
        self._answers = False
        """Whether it has ever answered one."""
        self._read = sent_bytes
        """Bytes of results that it is known to have read."""
        self._first_at = math.inf
        """When the first ping went out."""
        self.young = True
        self._calm_since: float | None = None
        self._conflated = 0

    @property
    def lagging(self) -> bool:
        return self._calm_since is not None

    @property
    def waits(self) -> bool:
        """Whether a ping is on its way, whenever it was sent."""
        return self._waiting != 0

    def waited(self, now: float) -> float:
        """For how long the newest ping has been unanswered, in seconds."""
        return now - self._sent_at if self._waiting else 0.0

    def wants_ping(self, sent_bytes: int) -> bool:
        """Whether a ping would tell something: none is on its way, and there was enough since."""
        since = sent_bytes - self._bytes_then
        return not self._waiting and since >= (STEP_BYTES if self._sent_at else 1)

    def pinged(self, number: int, sent_bytes: int, now: float) -> None:
        """A ping went out behind the first `sent_bytes` of results."""
        self._waiting = number
        self._sent_at = now
        self._first_at = min(self._first_at, now)
        self._bytes_then = sent_bytes

    def exceeds_window(self, sent_bytes: int, conflated: int, now: float) -> bool:
        """Whether a young client lags from now on: too much is not known to have been read."""
        if sent_bytes - self._read <= WINDOW_BYTES:
            return False
        self._lag(conflated, now)
        return True

    def gives_up(self, now: float) -> bool:
        """Whether this client is no more judged: it answers no pings. Asked while it is young."""
        if self._answers or now - self._first_at <= GIVE_UP_S:
            return False
        self.young = False
        self._calm_since = None
        self._waiting = 0
        return True

    def grown(self, now: float) -> bool:
        """Whether it has been here for long enough to be no newcomer. Asked while it is young.

        Not one that still owes its first answer: `gives_up` is about those.
        """
        if now - self._born_at <= YOUNG_S or (self._waiting and not self._answers):
            return False
        self.young = False
        return True

    def _lag(self, conflated: int, now: float) -> None:
        self._calm_since = now
        self._conflated = conflated

    def late(self, sent_bytes: int, now: float) -> bool:
        """Whether the newest ping's answer is late, on a network that takes no time."""
        if not self._waiting or not self._answers:
            return False
        return now - self._sent_at > PATIENCE_S and sent_bytes - self._bytes_then > SLACK_BYTES

    def falls_behind(self, round_trip_s: float, conflated: int, now: float) -> bool:
        """Whether the client lags from now on; asked when it is late, with what the network takes.

        That is the kernel's measure, from acknowledgements, which no slow reader delays.
        """
        if now - self._sent_at <= 3 * round_trip_s:
            return False
        self._lag(conflated, now)
        return True

    def awaits(self, number: int) -> bool:
        """Whether a pong of this number would answer the ping that is on its way."""
        return self._waiting != 0 and number == self._waiting

    def ponged(self, number: int) -> bool:
        """A pong came; whether it is the newest ping's, so that all sent before that is read."""
        if not self.awaits(number):
            return False
        self._answers = True
        self._waiting = 0
        self._read = self._bytes_then
        self.young = self.young and self._read - self._from < MATURE_BYTES
        return True

    def recovers(self, conflated: int, now: float) -> bool:
        """Whether the client is steady from now on; asked at a pong while it lags."""
        assert self._calm_since is not None
        if conflated != self._conflated:
            self._conflated = conflated
            self._calm_since = now
            return False
        if now - self._calm_since < CALM_S:
            return False
        self._calm_since = None
        return True
