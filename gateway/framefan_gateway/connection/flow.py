"""Flow control of one client: how much may be written to it before it answers.

    Open      `every` without `ack`: only the connection's own buffers limit it
    Paced     `latest` without `ack`: a window of writes, sized by pongs; while the client is steady
              only one ping per check
    Counted   `ack=N`: N messages; `ack=auto`: a window of messages, sized by acknowledgements

Some libraries answer a ping that arrives together with results before their user has seen the
results. So when the window is one write and its pong was late, a separate ping has to be answered
before the client is unblocked.

While a crowd joins, `Paced` and `Counted` also limit a newcomer with `latest`: see crowd.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from framefan.base import clock
from framefan_gateway.connection.crowd import Newcomer
from framefan_gateway.delivery import frames
from framefan_gateway.delivery.cursor import ALL
from framefan_gateway.delivery.read_window import MOST, Lateness, ReadWindow
from framefan_gateway.delivery.subscribers import Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from framefan_gateway.connection.crowd import Crowd
    from framefan_gateway.delivery.subscription import Ack

_NEVER = -1
"""A number that no ping carries."""


class Port(Protocol):
    """What a flow needs of its connection."""

    joined_at: float
    """When the client joined the hub, on clock.now."""

    @property
    def crowd(self) -> Crowd:
        """Whether many clients are joining now."""

    def write(self, data: bytes) -> None:
        """Take all bytes, and buffer what cannot be written at once."""

    @property
    def lateness(self) -> Lateness:
        """How late the event loop runs."""

    try_write: Callable[[bytes], int]
    """Writes what can be written at once, returns how much. Raises OSError if that is nothing."""

    def next_number(self) -> int:
        """The number of the next ping of this connection."""

    def fill(self) -> None:
        """Block the client: nothing else is written until `free`."""

    def free(self) -> None:
        """The flow allows more writes."""

    def set_writer(self, writer: Writer) -> None:
        """Replace the client's writer."""

    def set_try_write(self, try_write: Callable[[bytes], int]) -> None:
        """Replace the function that writes the next batch, if the client is live."""

    @property
    def held(self) -> int:
        """A number that grows whenever a result waits or is replaced by a newer one."""

    @property
    def sent_messages(self) -> int:
        """How many messages of any type were sent since the handshake."""


class Open:
    """No limit besides the connection's own buffers."""

    def __init__(self, port: Port) -> None:
        self.writer = Writer(port.write, port.try_write)

    @property
    def blocks(self) -> bool:
        """Whether the flow forbids writing now."""
        return False

    def awaits(self, number: int) -> bool:
        """Whether the pong with this number is new information."""
        return number == _NEVER

    def pong(self, number: int) -> None:
        """Record the pong of an awaited number."""

    def check(self, now: float) -> None:
        """Check the window; called periodically."""


class Paced:
    """A window of writes, sized by pongs."""

    def __init__(self, port: Port, now: float) -> None:
        self._newcomer = Newcomer(port.crowd, port.joined_at)
        self.window = ReadWindow(now, port.lateness)
        self._port = port
        self._open = Writer(port.write, port.try_write)
        self._limited = Writer(self._write, self._write, self._room, by_write=True)
        self.writer = self._limited
        self._confirms = _NEVER
        """The number of a separate ping that is not answered yet."""

    @property
    def blocks(self) -> bool:
        if self.writer is self._open:
            return False
        now = clock.now()
        return (
            self._confirms != _NEVER or not self.window.room(now) or self._newcomer.must_wait(now)
        )

    def _room(self) -> int:
        """One write with any number of messages."""
        if self.blocks:
            self._port.fill()
            return 0
        return ALL

    def _write(self, data: bytes) -> int:
        """Write, and append a ping."""
        number, now = self._port.next_number(), clock.now()
        self._port.write(data + frames.ping(number))
        self.window.record_write(number, now, self._port.held)
        self._newcomer.record_write(now)
        return len(data)

    def _write_once(self, data: bytes) -> int:
        """Append one ping to a batch that is written anyway, which costs least."""
        self._port.set_try_write(self._open.try_write)
        number = self._port.next_number()
        ping = frames.ping(number)
        taken = self._port.try_write(data + ping)
        self.window.record_write(number, clock.now(), self._port.held)
        if taken >= len(data):
            if taken < len(data) + len(ping):
                self._port.write(ping[taken - len(data) :])
            return len(data)
        self._port.write(data[taken:] + ping)
        return len(data)

    def awaits(self, number: int) -> bool:
        return _NEVER < self._confirms <= number or self.window.awaits(number)

    def pong(self, number: int) -> None:
        if _NEVER < self._confirms <= number:  # RFC 6455: only the latest ping must be answered
            self._confirms = _NEVER
        if self.window.awaits(number):
            window = self.window
            timely = window.record_echo(number, clock.now(), self._port.held)
            self._choose_writer()
            if not timely and window.size == 1 and not window.outstanding:
                self._confirm()
        self._port.free()

    def _confirm(self) -> None:
        self._confirms = self._port.next_number()
        self._port.write(frames.ping(self._confirms))

    def _choose_writer(self) -> None:
        writer = self._open if self.window.steady or not self.window.limiting else self._limited
        if writer is not self.writer:
            self.writer = writer
            self._port.set_writer(writer)

    def check(self, now: float) -> None:
        window = self.window
        if window.give_up_if_silent(now):
            self._choose_writer()
            self._port.free()
        elif window.end_steady_if_overdue(now):
            self._choose_writer()
        elif self.writer is self._open and not window.outstanding:
            self._port.set_try_write(self._write_once)
        elif self.writer is self._limited:
            self._port.free()  # the crowd may have joined


class Counted:
    """A window of messages, sized by acknowledgements."""

    def __init__(self, port: Port, ack: Ack, now: float, *, waits_for_crowd: bool) -> None:
        self._port = port
        self._newcomer = Newcomer(port.crowd, port.joined_at)
        self._waits_for_crowd = waits_for_crowd
        self._most = MOST if ack == "auto" else ack
        self._window = ReadWindow(now, port.lateness) if ack == "auto" else None
        self._sent = self._acked = port.sent_messages
        self.writer = Writer(self._write, self._write, self._room)

    @property
    def blocks(self) -> bool:
        return not self._left()

    def _left(self) -> int:
        """How many messages may be written now."""
        if self._waits_for_crowd and self._newcomer.must_wait(clock.now()):
            return 0
        left = max(self._most - (self._port.sent_messages - self._acked), 0)
        return left if self._window is None else min(left, self._window.room(clock.now()))

    def _room(self) -> int:
        left = self._left()
        if not left:
            self._port.fill()
        return left

    def _write(self, data: bytes) -> int:
        self._port.write(data)
        self._newcomer.record_write(clock.now())
        sent, self._sent = self._sent, self._port.sent_messages
        if self._window is not None:
            now, held = clock.now(), self._port.held
            for number in range(sent + 1, self._sent + 1):
                self._window.record_write(number, now, held)
        self._room()
        return len(data)

    def acknowledge(self, count: int) -> bool:
        """Record that the client has handled `count` messages; return whether that is new.

        Raises ValueError if `count` exceeds what was sent.
        """
        if count > self._port.sent_messages:
            raise ValueError(count)
        if count <= self._acked:
            return False
        self._acked = count
        if self._window is not None and self._window.awaits(count):
            self._window.record_echo(count, clock.now(), self._port.held)
        self._port.free()
        return True

    def awaits(self, number: int) -> bool:
        return number == _NEVER

    def pong(self, number: int) -> None:
        """Nothing: acknowledgements size the window."""

    def check(self, now: float) -> None:  # noqa: ARG002 - as in the others
        self._port.free()  # the crowd may have joined


Flow = Open | Paced | Counted


def flow_for(port: Port, delivery: str, ack: Ack | None, now: float) -> Flow:
    """The flow for a client with this delivery and `ack`."""
    if ack is not None:
        return Counted(port, ack, now, waits_for_crowd=delivery == "latest")
    return Paced(port, now) if delivery == "latest" else Open(port)
