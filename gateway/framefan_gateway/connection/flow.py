"""How one client is written to: as fast as its line takes it, or as fast as it is heard of.

    Open      `every` without `ack`: the line alone is the limit
    Paced     `latest` without `ack`: a window of writes, told from pongs; while the client is
              steady, nothing but one ping a look
    Counted   `ack=N`: N messages; `ack=auto`: a window of messages, told from acknowledgements

A ping that comes in the same piece as results is answered by some libraries before their user has
seen these. So where the window is one write and its pong was late, a ping by itself has to come
back before the line is free again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from framefan.base import clock
from framefan_gateway.delivery import frames
from framefan_gateway.delivery.cursor import ALL
from framefan_gateway.delivery.read_window import MOST, Lateness, ReadWindow
from framefan_gateway.delivery.subscribers import Writer

if TYPE_CHECKING:
    from collections.abc import Callable

    from framefan_gateway.delivery.subscription import Ack

_NEVER = -1
"""No number that a ping carries."""


class Port(Protocol):
    """What a flow needs of its connection."""

    def write(self, data: bytes) -> None:
        """Take all of it, and keep what does not fit at once."""

    @property
    def lateness(self) -> Lateness:
        """Of the loop."""

    try_write: Callable[[bytes], int]
    """Takes what fits at once. Raises OSError when nothing does."""

    def next_number(self) -> int:
        """The number of the next ping of this connection."""

    def fill(self) -> None:
        """The line is full: nothing else is written until `free`."""

    def free(self) -> None:
        """The flow has nothing against writing more."""

    def set_writer(self, line: Writer) -> None:
        """Write to the client by this line from here on."""

    def set_try_write(self, try_write: Callable[[bytes], int]) -> None:
        """Offer the next batch to the client in another way, if it is in step."""

    @property
    def held(self) -> int:
        """Rises whenever a result waits for the line, or is replaced by a newer one."""

    @property
    def sent_messages(self) -> int:
        """Messages of any type that were written to it, since the handshake."""


class Open:
    """The line alone is the limit."""

    def __init__(self, port: Port) -> None:
        self.writer = Writer(port.write, port.try_write)

    @property
    def blocks(self) -> bool:
        """Whether nothing may be written now, though the line has room."""
        return False

    def awaits(self, number: int) -> bool:
        """Whether the pong of this number would tell anything."""
        return number == _NEVER

    def pong(self, number: int) -> None:
        """The pong of a number that is awaited."""

    def look(self, now: float) -> None:
        """Called now and then."""


class Paced:
    """A window of writes, told from pongs."""

    def __init__(self, port: Port, now: float) -> None:
        self.window = ReadWindow(now, port.lateness)
        self._port = port
        self._open = Writer(port.write, port.try_write)
        self._limited = Writer(self._write, self._write, self._room, by_write=True)
        self.writer = self._limited
        self._confirms = _NEVER
        """The number of a ping that went alone, while it is on its way."""

    @property
    def blocks(self) -> bool:
        if self.writer is self._open:
            return False
        return self._confirms != _NEVER or not self.window.room(clock.now())

    def _room(self) -> int:
        """One write, of whatever is due."""
        if self.blocks:
            self._port.fill()
            return 0
        return ALL

    def _write(self, data: bytes) -> int:
        """Each write ends with a ping."""
        number = self._port.next_number()
        self._port.write(data + frames.ping(number))
        self.window.record_write(number, clock.now(), self._port.held)
        return len(data)

    def _write_once(self, data: bytes) -> int:
        """Costs least as the end of a write that is made anyway."""
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
        if _NEVER < self._confirms <= number:  # who owes two pongs may answer the last ping only
            self._confirms = _NEVER
        if self.window.awaits(number):
            window = self.window
            timely = window.record_echo(number, clock.now(), self._port.held)
            self._choose_line()
            if not timely and window.size == 1 and not window.outstanding:
                self._confirm()
        self._port.free()

    def _confirm(self) -> None:
        self._confirms = self._port.next_number()
        self._port.write(frames.ping(self._confirms))

    def _choose_line(self) -> None:
        line = self._open if self.window.steady or not self.window.limiting else self._limited
        if line is not self.writer:
            self.writer = line
            self._port.set_writer(line)

    def look(self, now: float) -> None:
        window = self.window
        if window.give_up_if_silent(now):
            self._choose_line()
            self._port.free()
        elif window.end_steady_if_overdue(now):
            self._choose_line()
        elif self.writer is self._open and not window.outstanding:
            self._port.set_try_write(self._write_once)


class Counted:
    """A window of messages, told from acknowledgements."""

    def __init__(self, port: Port, ack: Ack, now: float) -> None:
        self._port = port
        self._most = MOST if ack == "auto" else ack
        self._window = ReadWindow(now, port.lateness) if ack == "auto" else None
        self._sent = self._acked = port.sent_messages
        self.writer = Writer(self._write, self._write, self._room)

    @property
    def blocks(self) -> bool:
        return not self._left()

    def _left(self) -> int:
        """How many messages may be written now."""
        left = max(self._most - (self._port.sent_messages - self._acked), 0)
        return left if self._window is None else min(left, self._window.room(clock.now()))

    def _room(self) -> int:
        left = self._left()
        if not left:
            self._port.fill()
        return left

    def _write(self, data: bytes) -> int:
        self._port.write(data)
        sent, self._sent = self._sent, self._port.sent_messages
        if self._window is not None:
            now, held = clock.now(), self._port.held
            for number in range(sent + 1, self._sent + 1):
                self._window.record_write(number, now, held)
        self._room()
        return len(data)

    def acknowledged(self, count: int) -> bool:
        """The client has handled so many messages; whether that is news.

        Raises ValueError when that is more than it was sent.
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
        """Tells nothing: the client itself does."""

    def look(self, now: float) -> None:
        """There is nothing to look for: every message is counted."""


Flow = Open | Paced | Counted


def flow_for(port: Port, delivery: str, ack: Ack | None, now: float) -> Flow:
    """How a client with these wishes is written to."""
    if ack is not None:
        return Counted(port, ack, now)
    return Paced(port, now) if delivery == "latest" else Open(port)
