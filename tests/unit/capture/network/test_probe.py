"""What a camera says to a plain request, and what is made of it."""

from __future__ import annotations

import ssl
import subprocess
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from fake_camera import Close, FakeCamera, Garbage, Redirect, Stall, Status
from hypothesis import given
from hypothesis import strategies as st
from waiting import is_within

from framefan.base import clock
from framefan.settings.source_url import checked
from framefan_capture.network import probe, request
from framefan_capture.network.request import Answer, parse_answer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

both = pytest.mark.parametrize("protocol", ["rtsp", "http"])


def reason(url: str, timeout_s: float = 1.0) -> str:
    error = probe.explain(checked(url), timeout_s)
    assert all((error.what, error.why, error.fix))
    assert not any("s3cr3t" in line for line in error.lines())
    return error.reason


@both
@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ((Status(401),), "unauthorised"),
        ((Status(403),), "unauthorised"),
        ((Status(404),), "not_found"),
        ((Status(410),), "not_found"),
        ((Status(500),), "unreadable"),
        ((Status(503),), "unreadable"),
        ((Garbage(),), "unreadable"),
        ((Close(),), "closed"),
        ((Stall(),), "timeout"),
        ((Redirect("file:///etc/passwd"),), "unreadable"),
        ((Redirect("http://["),), "unreadable"),
        ((Redirect("ftp://127.0.0.1/x"),), "unreadable"),
        ((Redirect(""),), "unreadable"),
    ],
    ids=repr,
)
def test_reasons(protocol: str, script: tuple, expected: str):
    with FakeCamera(protocol) as camera:
        camera.play(*script)
        assert reason(camera.url) == expected


@both
@pytest.mark.parametrize("auth", ["basic", "digest"])
def test_behind_a_login(protocol: str, auth: str):
    with FakeCamera(protocol, account="user:s3cr3t", auth=auth) as camera:
        camera.play(Status(404))
        assert reason(camera.url) == "not_found"
        assert camera.logins[auth]
        assert reason(camera.url.replace("s3cr3t", "s3cr3t2")) == "unauthorised"
        assert reason(camera.url.replace("user:s3cr3t@", "")) == "unauthorised"


@both
def test_a_login_is_not_taken_along_by_a_redirect(protocol: str):
    with (
        FakeCamera(protocol, account="user:s3cr3t") as other,
        FakeCamera(protocol, account="user:s3cr3t") as camera,
    ):
        camera.play(Redirect(other.url.replace("user:s3cr3t@", "")))
        assert reason(camera.url) == "unauthorised"
        assert not other.logins["basic"]
        other.play(Status(404))
        camera.play(Redirect(other.url))
        assert reason(camera.url) == "not_found"


@both
def test_redirects_in_a_circle_end(protocol: str):
    with FakeCamera(protocol) as camera:
        camera.play(Redirect(camera.url))
        assert reason(camera.url) == "unreadable"
        assert camera.connections < 10


def test_a_camera_that_dribbles_is_a_silent_one():
    with FakeCamera("http") as camera:
        camera.play(*[Garbage(2), Stall(0.05)] * 200)
        before = clock.now()
        assert reason(camera.url, 0.5) == "timeout"
        assert is_within(before, 0.5 + 1)


@both
def test_one_that_is_slow_to_ask_for_a_login_is_a_silent_one(
    protocol: str, monkeypatch: pytest.MonkeyPatch
):
    """The time is over between two requests."""
    now = [100.0]
    clock = SimpleNamespace(now=lambda: now[0])
    monkeypatch.setattr(probe, "clock", clock)
    monkeypatch.setattr(request, "clock", clock)
    parse = request.parse_answer

    def slowly(head: bytes) -> Answer | None:
        now[0] += 3
        return parse(head)

    monkeypatch.setattr(request, "parse_answer", slowly)
    with FakeCamera(protocol, account="user:s3cr3t") as camera:
        error = probe.explain(checked(camera.url), 1)
    assert (error.reason, error.why) == ("timeout", "it takes the connection and stays silent")


@given(st.binary())
def test_no_bytes_break_the_parser(head: bytes):
    parse_answer(head)
    parse_answer(b"HTTP/1.1 401 " + head)


def test_an_answer_is_parsed():
    head = (
        b'RTSP/1.0 401 Unauthorized\r\nCSeq: 1\r\nWWW-Authenticate: Basic realm="a"\r\n'
        b"www-authenticate: Digest nonce=1\r\nLocation: rtsp://a/b\r\n\r\nbody"
    )
    answer = parse_answer(head)
    assert answer is not None
    assert answer.status == 401
    assert answer.all("www-authenticate") == ['Basic realm="a"', "Digest nonce=1"]
    assert (answer.first("location"), answer.first("other")) == ("rtsp://a/b", "")
    assert parse_answer(b"") is None
    assert parse_answer(b"SSH-2.0-OpenSSH\r\n") is None
    assert parse_answer(b"HTTP/1.1 99\r\n") is None


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """Signed by nobody, for another name."""
    path = tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
        + ["-subj", "/CN=elsewhere", "-keyout", str(path), "-out", str(tmp_path / "c")],
        check=True,
        capture_output=True,
    )
    path.write_bytes(path.read_bytes() + (tmp_path / "c").read_bytes())
    return path


@pytest.fixture
def https(certificate: Path) -> Iterator[str]:
    """The URL of a server that answers 404 to all, over TLS."""
    import http.server

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            pass

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"https://127.0.0.1:{server.server_address[1]}/cam"
        server.shutdown()
        thread.join()


def test_a_certificate_of_nobody_hides_no_reason(https: str):
    """FFmpeg takes any, too: cameras sign their own."""
    assert reason(https) == "not_found"


@pytest.mark.parametrize("scheme", ["https", "rtsps"])
def test_tls_where_none_is_spoken(scheme: str):
    with FakeCamera("http") as camera:
        assert reason(camera.url.replace("http", scheme)) in ("unreadable", "timeout")
