"""Cameras and files over HTTPS, with certificates as cameras have them."""

from __future__ import annotations

import socketserver
import subprocess
import threading
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from fake_web import WebServer, whole
from fakes_sources import make_mp4
from network_words import refusal

from framefan_capture.sources.scene import Scene, read_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from fake_web import Request
    from network_words import Open

JPEG = cv2.imencode(".jpg", np.full((48, 64, 3), 90, np.uint8))[1].tobytes()
SCENE = Scene(160, 120)


def stream(_: Request) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=frame\r\n\r\n"
    for _ in range(20):
        yield b"--frame\r\nContent-Type: image/jpeg\r\n\r\n" + JPEG + b"\r\n"


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A camera signs its own certificate, for a name that nobody uses."""
    folder = tmp_path_factory.mktemp("tls")
    key, cert, both = (folder / name for name in ("key", "cert", "both.pem"))
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=camera.local", "-keyout", str(key), "-out", str(cert)]
    subprocess.run(command, check=True, capture_output=True)
    both.write_bytes(key.read_bytes() + cert.read_bytes())
    return both


@pytest.mark.parametrize("name", ["stream", "picture"])
def test_pictures_play_whoever_signed_the_certificate(name: str, pem: Path, opened: Open):
    def picture(_: Request) -> Iterable[bytes]:
        return [whole(JPEG, "image/jpeg")]

    with WebServer(pem=pem, stream=stream, picture=picture) as camera:
        source = opened(camera.url(name))
        for frame in range(3):
            assert source.grab(frame)
            assert abs(int(source.retrieve(None).mean()) - 90) < 3


def test_a_film_plays_whoever_signed_the_certificate(pem: Path, tmp_path: Path, opened: Open):
    film = make_mp4(tmp_path / "a.mp4", SCENE, 10, 25).read_bytes()
    with WebServer(pem=pem, film=lambda _: [whole(film, "video/mp4")]) as web:
        source = opened(web.url("film.mp4"))
        assert source.grab(0)
        assert read_number(source.retrieve(None)) == 0


class _Plain(socketserver.BaseRequestHandler):
    """As servers of plain HTTP answer to TLS."""

    def handle(self) -> None:
        self.request.recv(1)
        self.request.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")


def test_https_where_no_tls_is_spoken_says_so():
    with socketserver.TCPServer(("127.0.0.1", 0), _Plain) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        error = refusal(f"https://127.0.0.1:{server.server_address[1]}/stream")
        server.shutdown()
        thread.join()
    assert error.reason == "unreadable"
    assert "TLS" in error.what
    assert "wrong version number" in error.why
    assert "http:" in error.fix
