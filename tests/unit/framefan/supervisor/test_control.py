"""The control socket: one answer to a good question, and nobody can hang or hurt who answers."""

from __future__ import annotations

import contextlib
import os
import selectors
import socket
import stat
import struct
import threading
import time

import msgspec
import pytest
from waiting import is_within

from framefan.base.clock import now
from framefan.errors import RunError, UsageError
from framefan.ipc import links
from framefan.ipc.messages import FromControl, NotDone, Reload, Reloaded
from framefan.supervisor import control
from framefan.supervisor.control import BUSY, CLIENTS, SILENCE_S, Control, ask
from framefan.supervisor.rundir import RunDir

DONE = Reloaded(["a"], [], [], ["b"], [])


class Served:
    """A Control, its loop turned by the test."""

    def __init__(self, folder) -> None:
        self.path = str(folder / "control")
        self.selector = selectors.DefaultSelector()
        self.requests: list[control.Client] = []
        self.control = Control(self.path, self.selector, self.requests.append)
        self.opened: list[socket.socket] = []

    def turn(self, at: float | None = None) -> None:
        for _ in range(4):
            for key, _ in self.selector.select(0):
                key.data()
        self.control.tick(now() if at is None else at)

    def connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(5)
        self.opened.append(sock)
        sock.connect(self.path)
        return sock

    def request(self) -> socket.socket:
        sock = self.connect()
        sock.sendall(framed(Reload()))
        return sock


def framed(message: msgspec.Struct) -> bytes:
    body = msgspec.msgpack.encode(message)
    return links.LENGTH.pack(len(body)) + body


def answer(sock: socket.socket) -> FromControl:
    data = b""
    while part := sock.recv(4096):
        data += part
    return msgspec.msgpack.decode(data[4:], type=FromControl)


def closed(sock: socket.socket) -> bool:
    sock.settimeout(5)
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


@pytest.fixture
def served(tmp_path):
    made = Served(tmp_path)
    yield made
    made.control.close(BUSY)
    assert not os.path.exists(made.path)
    assert not made.selector.get_map()
    made.selector.close()
    for sock in made.opened:
        sock.close()


def test_only_this_user_may_connect(served) -> None:
    assert stat.S_IMODE(os.stat(served.path).st_mode) == 0o600


def test_one_request_one_answer(served) -> None:
    sock = served.request()
    served.turn()
    (client,) = served.requests
    client.answer(DONE)
    assert answer(sock) == DONE
    client.answer(DONE)  # once is enough
    assert served.control.next_event() == float("inf")


def test_who_says_nothing_is_sent_away(served) -> None:
    sock = served.connect()
    served.turn()
    assert served.control.next_event() <= now() + SILENCE_S
    served.turn(now() + SILENCE_S - 1)
    served.turn(now() + SILENCE_S + 1)
    assert closed(sock)


def test_who_asked_may_wait_longer(served) -> None:
    sock = served.request()
    served.turn()
    served.turn(now() + 1e6)
    served.requests[0].answer(DONE)
    assert answer(sock) == DONE


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        struct.pack("<I", 1 << 30),
        struct.pack("<I", 4) + b"\xc1\xc1\xc1\xc1",
        framed(DONE),
        os.urandom(100_000),
    ],
)
def test_garbage_ends_the_connection_and_nothing_else(served, garbage: bytes) -> None:
    bad = served.connect()
    bad.settimeout(0.1)
    with contextlib.suppress(TimeoutError):  # it is closed with the rest unread
        bad.sendall(garbage)
    good = served.request()
    served.turn()
    assert closed(bad)
    served.requests[0].answer(DONE)
    assert answer(good) == DONE


def test_who_leaves_before_the_answer_is_forgotten(served) -> None:
    served.request().close()
    served.turn()
    for client in served.requests:
        client.answer(DONE)
    assert served.control.next_event() == float("inf")


def test_news_of_a_turn_in_which_it_was_closed(served) -> None:
    served.connect()
    served.turn()
    (client,) = served.control._clients
    served.opened[-1].sendall(framed(Reload()))
    ((key, _),) = served.selector.select(0)
    client.close()
    key.data()
    assert not served.requests


def test_a_second_request_on_the_same_line_ends_it(served) -> None:
    sock = served.request()
    served.turn()
    sock.sendall(framed(Reload()) * 3)
    served.turn()
    assert closed(sock)
    served.requests[0].answer(DONE)
    assert len(served.requests) == 1


def test_too_many_are_told_so_and_the_first_are_served(served) -> None:
    first = served.request()
    served.turn()
    others = [served.connect() for _ in range(200)]
    for _ in range(5):
        served.turn()
    assert answer(others[-1]) == BUSY
    assert len(served.control._clients) == CLIENTS
    served.requests[0].answer(DONE)
    assert answer(first) == DONE


def test_out_of_descriptors_it_rests_and_comes_back(served, monkeypatch) -> None:
    class Poor:
        def accept(self) -> None:
            raise OSError(24, "Too many open files")

    rich = served.control._listener
    poor = Poor()
    sock = served.request()
    monkeypatch.setattr(served.control, "_listener", poor)
    served.selector.modify(rich, selectors.EVENT_READ, served.control._on_connect)
    poor.fileno = rich.fileno
    served.turn()
    assert not served.requests
    assert served.control.next_event() <= now() + 1.1, "it tries again"
    assert not served.selector.select(0), "and is not busy until then"
    monkeypatch.setattr(served.control, "_listener", rich)
    served.turn(now() + 2)
    served.turn()
    served.requests[0].answer(DONE)
    assert answer(sock) == DONE


def test_the_end_answers_all_who_wait(served) -> None:
    waiting, silent = served.request(), served.connect()
    served.turn()
    last = NotDone(1, "the run is stopping")
    served.control.close(last)
    assert answer(waiting) == answer(silent) == last
    with pytest.raises(OSError):
        served.connect()
    served.control = Control(served.path, served.selector, served.requests.append)


# ---- the command's side ------------------------------------------------------------------------


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with RunDir("played") as made:
        yield made


def play(place, *replies: bytes) -> threading.Thread:
    """A run that answers the first who connects with these bytes, and leaves."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(place.path / "control"))
    listener.listen()

    def serve() -> None:
        with listener, listener.accept()[0] as sock:
            sock.recv(100)
            for reply in replies:
                sock.sendall(reply)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread


def test_the_answer_comes_back(place) -> None:
    whole = framed(DONE)
    thread = play(place, whole[:3], whole[3:])
    assert ask("played", Reload(), 5) == DONE
    thread.join(5)


def test_an_error_of_the_run_is_the_commands_own(place) -> None:
    thread = play(place, framed(NotDone(2, "wrokers is unknown", "known: workers", "mend it")))
    with pytest.raises(UsageError) as raised:
        ask("played", Reload(), 5)
    assert raised.value.lines() == [
        "framefan: wrokers is unknown",
        "  why: known: workers",
        "  do:  mend it",
    ]
    thread.join(5)


@pytest.mark.parametrize("replies", [(), (framed(DONE)[:5],), (b"\xff" * 9,)])
def test_no_answer_or_a_strange_one(place, replies: tuple[bytes, ...]) -> None:
    thread = play(place, *replies)
    with pytest.raises(RunError) as raised:
        ask("played", Reload(), 5)
    assert len(raised.value.lines()) == 3
    thread.join(5)


def test_a_run_that_hangs_is_given_up(place) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(place.path / "control"))
        listener.listen()
        began = time.monotonic()
        with pytest.raises(RunError, match="does not answer"):
            ask("played", Reload(), 0.2)
    assert is_within(began, 3)


def test_no_run_and_a_run_without_a_socket(place) -> None:
    with pytest.raises(RunError, match="does not answer"):
        ask("played", Reload(), 1)
    with pytest.raises(RunError, match='no run is named "other"'):
        ask("other", Reload(), 1)
