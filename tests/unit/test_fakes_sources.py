"""The tests' cameras do what the tests believe they do."""

from __future__ import annotations

import socket
import threading
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from fakes_sources import MjpegServer, RtspServer, make_mp4, pictures

from framefan_capture.sources.scene import Scene, read_number

if TYPE_CHECKING:
    from pathlib import Path

SCENE = Scene(320, 240)


def jpegs(url: str, count: int) -> list[bytes]:
    with urllib.request.urlopen(url, timeout=5) as answer:
        assert answer.headers["Content-Type"].startswith("multipart/x-mixed-replace")
        parts = []
        while len(parts) < count:
            assert answer.readline() == b"--frame\r\n"
            answer.readline()
            length = int(answer.readline().split(b":")[1])
            answer.readline()
            parts.append(answer.read(length))
            answer.readline()
        return parts


def number_of(data: bytes) -> int | None:
    return read_number(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR))


def test_pictures_are_the_scene():
    assert [read_number(image) for image in pictures(SCENE, 5)] == [0, 1, 2, 3, 4]


def test_an_mp4_holds_every_frame(tmp_path: Path):
    video = cv2.VideoCapture(str(make_mp4(tmp_path / "a.mp4", SCENE, 12, fps=10)))
    numbers = []
    while (read := video.read())[0]:
        numbers.append(read_number(read[1]))
    assert numbers == list(range(12))
    assert video.get(cv2.CAP_PROP_FPS) == 10


def test_several_clients_get_the_same_pictures_in_order():
    with MjpegServer(SCENE, fps=100) as server:
        seen: list[list[int | None]] = []
        clients = [
            threading.Thread(
                target=lambda: seen.append([number_of(d) for d in jpegs(server.url, 10)])
            )
            for _ in range(3)
        ]
        for client in clients:
            client.start()
        for client in clients:
            client.join(10)
        assert server.served == 3
    assert len(seen) == 3
    for numbers in seen:
        assert None not in numbers
        assert numbers == sorted(set(numbers))


def test_the_http_faults():
    with MjpegServer(SCENE, fps=100, account="user:secret") as server:
        plain = server.url.replace("user:secret@", "")
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(plain, timeout=5)
        assert caught.value.code == 401
        caught.value.close()
        server.account = ""
        with pytest.raises(urllib.error.HTTPError) as caught:
            urllib.request.urlopen(plain.replace("/cam", "/x"), timeout=5)
        assert caught.value.code == 404
        caught.value.close()
        server.is_damaged = lambda number: True
        assert all(len(data) == 200 for data in jpegs(plain, 2))
        server.is_damaged = lambda number: False
        with urllib.request.urlopen(plain, timeout=5) as answer:
            answer.readline()
            server.drop_clients()
            answer.read()  # comes to an end
        server.stalled = True
        with urllib.request.urlopen(plain, timeout=0.3) as answer, pytest.raises(TimeoutError):
            answer.read()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.port), 1)


@pytest.mark.gstreamer
def test_the_rtsp_server_answers_and_ends_with_its_stdin():
    with (
        RtspServer(SCENE, frames=10) as server,
        socket.create_connection(("127.0.0.1", server.port), 5) as sock,
    ):
        sock.sendall(f"DESCRIBE {server.url} RTSP/1.0\r\nCSeq: 1\r\n\r\n".encode())
        sock.settimeout(5)
        assert sock.recv(12) == b"RTSP/1.0 200"
    assert server.returncode == 0
