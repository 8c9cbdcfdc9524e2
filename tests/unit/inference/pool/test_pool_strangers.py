"""Foreign bytes, unknown messages and second comers at the pool's sockets hurt nobody."""

from __future__ import annotations

import os
import pickle
import signal
import socket
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import zmq
from ledger_world import outcome_of
from peers import HEIGHT, WIDTH
from played_run import PlayedRun

from framefan.ipc import bus, links
from framefan.ipc.messages import GatewayReport, HelloCapture, Ready, RingMade
from framefan.ipc.records import GatewayFacts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def heard_nothing_but_the_end(sock: socket.socket) -> bool:
    sock.settimeout(5)
    try:
        return sock.recv(100) == b""
    except ConnectionResetError:
        return True


def test_foreign_bytes_among_the_outcomes_are_counted_and_dropped(sees: str) -> None:
    with PlayedRun(sees) as run, publishing(run.settings.outcomes_endpoint) as send:
        capture = run.capture()
        run.wait_ready()
        foreign = [
            b"",
            b"junk",
            pickle.dumps({"cmd": os.system}),
            msgspec.msgpack.encode([1, "nonsense", 0.0, 0.0, []]),
            msgspec.msgpack.encode([1, "value", 0.0, 0.0]),
            msgspec.msgpack.encode({"lease": 1}),
            b"\xc1" * 100_000,
        ]
        for data in foreign:
            send(data)
        forged = [outcome_of(lease, "value", 1.0) for lease in (0, 1, 2, 10**12)]
        for outcome in forged:
            send(msgspec.msgpack.encode(outcome))
        state = run.state(lambda state: state.stale == len(forged))
        assert state.foreign == len(foreign)
        capture.ready()
        assert run.outcome(0).kind == "value"
        assert run.settled().cameras["cam"].leased == 1


@contextmanager
def publishing(endpoint: str) -> Iterator[Callable[[bytes], None]]:
    sock = bus.context().socket(zmq.XPUB)
    sock.setsockopt(zmq.LINGER, 0)
    sock.connect(endpoint)

    def send(data: bytes) -> None:
        sock.send(data)

    try:
        assert sock.poll(10_000), "the pool never subscribed"
        yield send
    finally:
        sock.close()


def test_strangers_on_the_pools_socket_hurt_nobody(sees: str) -> None:
    hello = HelloCapture("cam", 1, 0)
    strangers: dict[str, list[Any]] = {
        "noise": [b"\xff" * 100],
        "http": [b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"],
        "a message nobody sends": [links.LENGTH.pack(3) + b"abc"],
        "half a message, then the end": [links.LENGTH.pack(50) + b"x"],
        "nothing": [],
        "an unknown camera": [HelloCapture("other", 1, 0)],
        "no hello": [GatewayReport(GatewayFacts(id=9))],
        "a ring without its descriptor": [hello, RingMade(7, 4, 4096)],
        "a frame in no ring": [hello, Ready(9, 0, 5, 0.0, 0.0, WIDTH, HEIGHT, 1, 0, 0)],
        "a hello twice": [hello, hello],
    }
    with PlayedRun(sees) as run:
        run.wait_ready()
        for name, messages in strangers.items():
            for at_once in (True, False):
                greet(run, messages, at_once)
                assert run.child.process.poll() is None, name
        capture = run.capture()
        capture.ready()
        assert run.outcome(0).kind == "value"
        assert capture.welcome is not None
        assert run.stop() == 0


def greet(run: PlayedRun, messages: list[Any], at_once: bool) -> None:
    """Connect, say it, in one piece or in several, and leave; then the pool answers another."""
    sock = links.connect(run.settings.path("pool"))
    data = [each if isinstance(each, bytes) else framed(each) for each in messages]
    try:
        for piece in [b"".join(data)] if at_once else data:
            sock.sendall(piece)
            if not at_once:
                run.pump(0.02)
    except (BrokenPipeError, ConnectionResetError):
        assert not at_once
    sock.close()
    begin = len(run.states)
    run.until(lambda: run.closed or len(run.states) > begin)


def framed(message: msgspec.Struct) -> bytes:
    body = msgspec.msgpack.encode(message)
    return links.LENGTH.pack(len(body)) + body


def test_a_stranger_is_shown_the_door(sees: str) -> None:
    with PlayedRun(sees) as run:
        run.wait_ready()
        for data in (b"\xff" * 100, framed(HelloCapture("other", 1, 0))):
            sock = links.connect(run.settings.path("pool"))
            sock.sendall(data)
            assert heard_nothing_but_the_end(sock)
            sock.close()


def test_a_second_capture_of_a_name_takes_the_place_of_the_first(sees: str) -> None:
    with PlayedRun(sees) as run:
        first = run.capture()
        run.wait_ready()
        first.ready()
        run.outcome(0)
        run.captures.remove(first)
        second = run.capture(ring=2)
        run.until(lambda: not first.hear())
        first.close()
        second.ready()
        assert run.outcome(1).frame == 1
        assert run.settled().cameras["cam"].captured == 2


def test_a_link_whose_number_is_used_again_in_the_same_round(sees: str) -> None:
    """The pool wakes up to a hello, a newcomer and the end of the link that the hello replaced."""
    with PlayedRun(sees) as run:
        first = run.capture()
        run.wait_ready()
        fds = Path(f"/proc/{run.child.pid}/fd")
        before = len(list(fds.iterdir()))
        sock = links.connect(run.settings.path("pool"))
        run.until(lambda: len(list(fds.iterdir())) == before + 1)
        os.kill(run.child.pid, signal.SIGSTOP)
        sock.sendall(framed(HelloCapture("cam", 1, 0)))
        newcomer = links.connect(run.settings.path("pool"))
        run.drop(first)
        os.kill(run.child.pid, signal.SIGCONT)
        capture = run.capture(ring=2)
        run.frame(capture)
        assert run.outcome(0).kind == "value"
        sock.close()
        newcomer.close()
