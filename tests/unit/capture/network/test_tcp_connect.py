"""Connections to cameras, and the reasons why there are none."""

from __future__ import annotations

import errno
import os
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest
from waiting import is_within, wait_until

from framefan.base import clock
from framefan.errors import SourceError
from framefan.settings.source_url import SourceUrl, checked
from framefan_capture.network import tcp_connect

if TYPE_CHECKING:
    from collections.abc import Iterator


def failure(url: str, timeout_s: float = 1.0) -> SourceError:
    with pytest.raises(SourceError) as caught:
        tcp_connect.check_reachable(checked(url), timeout_s)
    assert all((caught.value.what, caught.value.why, caught.value.fix))
    return caught.value


def test_a_port_that_takes_a_connection():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        for host in ("127.0.0.1", "localhost"):
            tcp_connect.check_reachable(checked(f"rtsp://{host}:{port}/"), 1)


def test_a_closed_port_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    assert failure(f"http://127.0.0.1:{port}/").reason == "refused"


def test_a_host_that_does_not_take_the_connection_times_out():
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        address = full.getsockname()
        held = []
        for _ in range(4):  # a full backlog drops further connections, as a dead host does
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(address)
            held.append(sock)
        before = clock.now()
        assert failure(f"rtsp://127.0.0.1:{address[1]}/cam", 0.3).reason == "timeout"
        assert is_within(before, 0.3 + 1)
        for sock in held:
            sock.close()


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.EHOSTUNREACH, "timeout"),
        (errno.ENETUNREACH, "timeout"),
        (errno.ETIMEDOUT, "timeout"),
        (errno.EACCES, "unknown"),
    ],
)
def test_what_the_system_says(code: int, reason: str, monkeypatch: pytest.MonkeyPatch):
    def connect(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(tcp_connect, "_connected", connect)
    error = failure("rtsp://127.0.0.1/")
    assert (error.reason, error.why) == (reason, os.strerror(code))


@pytest.mark.parametrize("host", ["camera.invalid", "x" * 70 + ".invalid", "a..b"])
def test_a_host_that_is_not_there_is_dns(host: str):
    assert failure(f"rtsp://{host}/").reason == "dns"


class NameServer:
    """Stands in for the system's resolver: waits until it is told to answer."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.addresses = ["127.0.0.1"]
        self.answers = threading.Event()

    def __call__(self, host: str, port: int, **_: Any) -> list[tuple[Any, ...]]:
        self.asked.append(host)
        assert self.answers.wait(30)
        kind = socket.AF_INET, socket.SOCK_STREAM, 6, ""
        return [(*kind, (address, port)) for address in self.addresses]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[NameServer]:
    server = NameServer()
    monkeypatch.setattr(tcp_connect, "_lookups", {})
    monkeypatch.setattr(tcp_connect.socket, "getaddrinfo", server)
    yield server
    server.answers.set()
    wait_until(lambda: not tcp_connect._lookups)


def test_a_name_server_that_is_silent_costs_no_more_than_the_limit(names: NameServer):
    threads = threading.active_count()
    for _ in range(3):
        before = clock.now()
        error = failure("rtsp://camera/", 0.2)
        assert error.reason == "dns"
        assert "looked up" in error.what
        assert is_within(before, 0.2 + 1)
    assert threading.active_count() == threads + 1  # one lookup, however often it is asked for
    assert names.asked == ["camera"]


def test_each_try_after_an_answer_looks_up_anew(names: NameServer, monkeypatch: pytest.MonkeyPatch):
    names.answers.set()
    monkeypatch.setattr(tcp_connect, "_first_that_answers", lambda *_: socket.socket())
    for _ in range(3):
        tcp_connect.check_reachable(checked("rtsp://camera/"), 1)
    assert names.asked == ["camera"] * 3


def test_nothing_is_left_of_answered_lookups(names: NameServer, monkeypatch: pytest.MonkeyPatch):
    names.answers.set()
    monkeypatch.setattr(tcp_connect, "_first_that_answers", lambda *_: socket.socket())
    for number in range(20):
        tcp_connect.check_reachable(checked(f"rtsp://camera{number}/"), 1)
    assert tcp_connect._lookups == {}


def test_of_silent_name_servers_no_more_than_so_many_are_asked(names: NameServer):
    threads = threading.active_count()
    for number in range(tcp_connect._MOST_LOOKUPS + 5):
        assert failure(f"rtsp://camera{number}/", 0.01).reason == "dns"
    assert "too many" in failure("rtsp://another/", 0.01).why
    assert threading.active_count() == threads + tcp_connect._MOST_LOOKUPS


def test_a_name_that_no_resolver_takes_is_dns():
    with pytest.raises(SourceError) as caught:
        tcp_connect.check_reachable(SourceUrl("rtsp", "", "a\0b", 554, ""), 1)
    assert caught.value.reason == "dns"


def ipv4(host: str, port: int) -> tcp_connect.Address:
    return socket.AF_INET, (host, port)


def test_the_next_address_is_tried_where_one_refuses():
    with socket.create_server(("127.0.0.2", 0)) as server:
        port = server.getsockname()[1]
        good, bad = ipv4("127.0.0.2", port), ipv4("127.0.0.3", port)
        tcp_connect._first_that_answers([bad, good], clock.now() + 1).close()
        with pytest.raises(ConnectionRefusedError):
            tcp_connect._first_that_answers([good, bad][1:], clock.now() + 1)


def test_each_address_of_a_host_gets_its_share_of_the_time(monkeypatch: pytest.MonkeyPatch):
    """None of them answers, so what one is given is passed when the next one is asked."""
    now, shares = 100.0, []

    def silent(address: tcp_connect.Address, until: float) -> socket.socket:
        nonlocal now
        shares.append(round(until - now, 6))
        now = until
        raise TimeoutError

    monkeypatch.setattr(tcp_connect.clock, "now", lambda: now)
    monkeypatch.setattr(tcp_connect, "_connected", silent)
    with pytest.raises(TimeoutError):
        tcp_connect._first_that_answers([ipv4(f"127.0.0.{n}", 1) for n in range(4)], now + 2)
    assert shares == [0.5] * 4


def test_the_zone_of_an_address_is_kept():
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as server:
        tcp_connect.check_reachable(checked(f"http://[::1%251]:{server.getsockname()[1]}/"), 1)
