"""Every script of the fake camera does at a real cv2.VideoCapture what its name says."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from fake_camera import Close, FakeCamera, Frames, Garbage, HalfAnswer, Redirect, Stall, Status
from waiting import SCALE, wait_until

from framefan.base.clock import now
from framefan_capture.sources.scene import read_number

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fake_camera import Step

    Connect = Callable[..., "Client"]

pytestmark = pytest.mark.smoke

OPTIONS = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
LOW_DELAY = "fflags;nobuffer|flags;low_delay|analyzeduration;0|probesize;32"
SILENCE_S = 0.3 * SCALE
"""The limit on opening or reading where a test waits for it."""

both = pytest.mark.parametrize("protocol", ["rtsp", "http"])


class Client:
    """A cv2.VideoCapture as network sources use it: these options drop the first picture."""

    def __init__(self, url: str, open_s: float = 5 * SCALE, read_s: float = 5 * SCALE) -> None:
        limits = {
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC: open_s * 1000,
            cv2.CAP_PROP_READ_TIMEOUT_MSEC: read_s * 1000,
            cv2.CAP_PROP_N_THREADS: 1,
        }
        flat = [int(number) for pair in limits.items() for number in pair]
        began = now()
        self.video = cv2.VideoCapture(url, cv2.CAP_FFMPEG, flat)
        self.took_s = now() - began

    @property
    def opened(self) -> bool:
        return self.video.isOpened()

    def image(self) -> np.ndarray | None:
        return self.video.read()[1]

    def read(self) -> int | None:
        """The next picture's number; None where no read came, or no readable picture."""
        image = self.image()
        return None if image is None else read_number(image)

    def numbers(self, count: int) -> list[int | None]:
        return [self.read() for _ in range(count)]

    def to_the_end(self) -> list[int | None]:
        numbers = []
        while (image := self.image()) is not None:
            numbers.append(read_number(image))
        return numbers


@pytest.fixture
def connect(monkeypatch: pytest.MonkeyPatch) -> Iterator[Connect]:
    """Opens a camera's URL, over UDP where it is said; all are released at the end."""
    clients = []

    def connect(camera: FakeCamera | str, udp: bool = False, **limits: float) -> Client:
        transport = "udp" if udp else "tcp"
        monkeypatch.setenv(OPTIONS, f"rtsp_transport;{transport}|{LOW_DELAY}")
        clients.append(Client(camera if isinstance(camera, str) else camera.url, **limits))
        return clients[-1]

    yield connect
    for client in clients:
        client.video.release()


def request_of(camera: FakeCamera) -> bytes:
    """A first request that has no login."""
    if camera.protocol == "http":
        return b"GET /cam HTTP/1.1\r\nHost: x\r\n\r\n"
    return f"DESCRIBE {camera.url} RTSP/1.0\r\nCSeq: 7\r\n\r\n".encode()


def ask(camera: FakeCamera) -> bytes:
    with socket.create_connection(("127.0.0.1", camera.port), 5) as sock:
        sock.sendall(request_of(camera))
        return sock.recv(4096)


@pytest.mark.parametrize(
    ("protocol", "transport"), [("rtsp", "tcp"), ("rtsp", "udp"), ("http", "")]
)
def test_pictures_come_numbered_and_counted(protocol: str, transport: str, connect: Connect):
    with FakeCamera(protocol) as camera:
        client = connect(camera, udp=transport == "udp")
        assert client.numbers(8) == list(range(1, 9))
        assert (camera.connections, camera.current) == (1, 1)
        assert camera.frames >= 9
        assert list(camera.transports) == ([transport] if transport else [])
        camera.stall()
        wait_until(lambda: _stands_still(camera))  # a send to one who left hides his TEARDOWN
        client.video.release()
        wait_until(lambda: camera.current == 0)
        asked = ["OPTIONS", "DESCRIBE", "SETUP", "PLAY", "TEARDOWN"]
        assert camera.requests == dict.fromkeys(asked if protocol == "rtsp" else ["GET"], 1)


@both
def test_so_many_pictures_then_the_end(protocol: str, connect: Connect):
    with FakeCamera(protocol) as camera:
        camera.play(Frames(6))
        assert connect(camera).to_the_end() == [1, 2, 3, 4, 5]
        assert camera.frames == 6


@both
def test_two_clients_get_pictures_of_different_numbers(protocol: str, connect: Connect):
    with FakeCamera(protocol) as camera:
        first, second = connect(camera), connect(camera)
        seen = first.numbers(5) + second.numbers(5)
        assert None not in seen
        assert len(set(seen)) == 10
        assert camera.current == 2


@both
def test_500_pictures_a_second(protocol: str, connect: Connect):
    with FakeCamera(protocol) as camera:
        camera.play(Frames(fps=500))
        client = connect(camera)
        began = now()
        assert None not in client.numbers(100)
        assert now() - began < 1.5 * SCALE  # 0.2 s; at 30 a second, 3.3 s


@both
def test_one_picture_in_10_s(protocol: str, connect: Connect):
    with FakeCamera(protocol) as camera:
        camera.play(Frames(fps=0.1))
        client = connect(camera, read_s=SILENCE_S)
        assert client.opened
        assert client.read() is None
        assert (camera.frames, camera.current) == (1, 1)


@both
def test_a_frozen_picture_is_the_very_same(protocol: str, connect: Connect):
    with FakeCamera(protocol) as camera:
        camera.play(Frames(4), Frames(kind="frozen"))
        client = connect(camera)
        assert client.numbers(6) == [1, 2, 3, 4, 4, 4]
        assert np.array_equal(client.image(), client.image())


def test_grey_jpegs(connect: Connect):
    with FakeCamera("http") as camera:
        camera.play(Frames(kind="grey"))
        blue, green, red = cv2.split(connect(camera).image())
        assert np.array_equal(blue, green)
        assert np.array_equal(green, red)


@both
def test_the_size_changes_in_mid_stream(protocol: str, connect: Connect):
    """FFmpeg tells it over RTSP; over HTTP OpenCV scales it to the first: the cells do not fit."""
    with FakeCamera(protocol) as camera:
        camera.play(Frames(3), Frames(size=(640, 480)))
        client = connect(camera)
        assert client.numbers(2) == [1, 2]
        image = client.image()
        assert image.shape[:2] == (480, 640) or read_number(image) is None


@both
def test_a_slow_start(protocol: str, connect: Connect):
    with FakeCamera(protocol) as camera:
        camera.play(Stall(0.3), Frames())
        client = connect(camera)
        assert client.opened
        assert client.took_s > 0.29


@pytest.mark.parametrize(
    ("protocol", "script", "last"),
    [
        ("rtsp", (Stall(),), "OPTIONS"),
        ("rtsp", (Stall(at="DESCRIBE"),), "DESCRIBE"),
        ("rtsp", (HalfAnswer(), Stall()), "DESCRIBE"),
        ("rtsp", (Stall(at="PLAY"),), "PLAY"),
        ("http", (Stall(),), "GET"),
        ("http", (HalfAnswer(), Stall()), "GET"),
    ],
)
def test_it_stops_answering(protocol: str, script: tuple[Step, ...], last: str, connect: Connect):
    with FakeCamera(protocol) as camera:
        camera.play(*script)
        client = connect(camera, open_s=SILENCE_S)
        assert not client.opened
        assert client.took_s > SILENCE_S * 0.9
        assert list(camera.requests)[-1] == last
        assert camera.frames == 0


@both
@pytest.mark.parametrize(
    "script", [(), (Close("DESCRIBE"),), (Garbage(),), (HalfAnswer(),)], ids=repr
)
def test_it_breaks_off(protocol: str, script: tuple[Step, ...], connect: Connect):
    with FakeCamera(protocol) as camera:
        camera.play(*script)
        client = connect(camera)
        assert not client.opened
        assert client.took_s < 2 * SCALE
        assert camera.connections == 1


@both
@pytest.mark.parametrize("code", [401, 403, 404, 500, 454])
def test_a_status(protocol: str, code: int, connect: Connect):
    with FakeCamera(protocol) as camera:
        camera.play(Status(code))
        assert not connect(camera).opened
        assert ask(camera).split()[1] == str(code).encode()


@both
@pytest.mark.parametrize("auth", ["basic", "digest"])
def test_a_login(protocol: str, auth: str, connect: Connect):
    with FakeCamera(protocol, account="user:secret", auth=auth) as camera:
        assert connect(camera).numbers(3) == [1, 2, 3]
        right = 3 if protocol == "rtsp" else 1  # DESCRIBE, SETUP, PLAY
        assert camera.logins == {"refused": 1, auth: right}
        assert not connect(camera.url.replace("secret", "wrong")).opened
        assert camera.logins[auth] == right
        challenge = f"WWW-Authenticate: {auth.title()} realm=".encode()
        assert challenge in ask(camera)


@both
def test_a_redirect(protocol: str, connect: Connect):
    with FakeCamera(protocol) as other, FakeCamera(protocol) as camera:
        camera.play(Redirect(other.url))
        assert connect(camera).numbers(3) == [1, 2, 3]
        assert camera.frames == 0
        assert other.connections == 1


@both
def test_a_stall_leaves_the_connection_open(protocol: str, connect: Connect):
    with FakeCamera(protocol) as camera:
        camera.play(Frames(4), Stall())
        client = connect(camera, read_s=SILENCE_S)
        assert client.numbers(3) == [1, 2, 3]
        began = now()
        assert client.read() is None
        assert now() - began > SILENCE_S * 0.9
        assert camera.current == 1


@both
def test_a_stall_from_the_test_and_on_again(protocol: str, connect: Connect):
    with FakeCamera(protocol) as camera:
        camera.play(Frames(fps=100))
        client = connect(camera)
        assert client.read() == 1
        camera.stall()
        wait_until(lambda: _stands_still(camera), 1)  # before the buffers would be full
        seen = client.numbers(camera.frames - 2)  # what was under way
        camera.go_on()
        seen += client.numbers(3)
        assert seen == list(range(2, 2 + len(seen)))


@both
@pytest.mark.parametrize("kind", ["cut", "noise"])
def test_one_damaged_picture(protocol: str, kind: str, connect: Connect):
    """RTSP: left out. HTTP: a cut one has the lower half, and so the number, of the one before."""
    with FakeCamera(protocol) as camera:
        camera.play(Frames(3), Frames(1, kind=kind), Frames())
        numbers = connect(camera).numbers(6)
        shown = {"cut": [2], "noise": [None]}[kind] if protocol == "http" else []
        assert numbers == [1, 2, *shown, 4, 5, 6, 7][:6]


@both
def test_nothing_but_noise(protocol: str, connect: Connect):
    with FakeCamera(protocol) as camera:
        camera.play(Frames(kind="noise"))
        assert connect(camera, open_s=SILENCE_S, read_s=SILENCE_S).read() is None
        assert camera.current == 1


@both
def test_garbage_among_the_pictures(protocol: str, connect: Connect):
    """FFmpeg does not find back."""
    with FakeCamera(protocol) as camera:
        camera.play(Frames(4), Garbage(), Frames())
        assert connect(camera, read_s=SILENCE_S).to_the_end() in ([1, 2], [1, 2, 3])


@pytest.mark.parametrize("claimed", [-500, 500, 10**9])
def test_a_lying_content_length(claimed: int, connect: Connect):
    """FFmpeg takes it at its word and ends at once."""
    with FakeCamera("http") as camera:
        camera.play(Frames(4), Frames(claimed=claimed))
        assert len(connect(camera, open_s=SILENCE_S, read_s=SILENCE_S).to_the_end()) <= 4
        assert camera.frames > 4


@both
def test_flapping(protocol: str, connect: Connect):
    with FakeCamera(protocol) as camera:
        camera.play(Frames(seconds=0.2))
        for times in (1, 2, 3):
            assert len(connect(camera).to_the_end()) >= 2
            assert camera.connections == times
        wait_until(lambda: camera.current == 0)


@both
def test_scripts_are_taken_in_order(protocol: str, connect: Connect):
    with FakeCamera(protocol) as camera:
        camera.play(Frames(5))
        camera.next(Status(404))
        camera.next(Frames(2), times=2)
        socket.create_connection(("127.0.0.1", camera.port)).close()  # a look takes none
        assert not connect(camera).opened
        assert [len(connect(camera).to_the_end()) for _ in range(4)] == [1, 1, 4, 4]


@both
def test_drop_cuts_every_connection(protocol: str, connect: Connect):
    with FakeCamera(protocol) as camera:
        client = connect(camera)
        assert client.read() == 1
        camera.drop()
        client.to_the_end()
        wait_until(lambda: camera.current == 0)
        assert connect(camera).read() is not None


@both
def test_killed_and_started_at_the_same_port(protocol: str, connect: Connect):
    with FakeCamera(protocol) as camera:
        client = connect(camera)
        assert client.read() == 1
        url = camera.url
        camera.kill()
        client.to_the_end()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", camera.port), 1)
        shown = camera.frames
        camera.start()
        assert camera.url == url
        assert connect(camera).read() == shown + 1
        camera.stop()
        camera.start()
        assert camera.url == url


@both
@pytest.mark.parametrize(
    "script", [(Frames(fps=500, size=(640, 480)),), (Stall(),), (HalfAnswer(), Stall())], ids=repr
)
def test_stop_leaves_nothing_whatever_is_under_way(protocol: str, script: tuple[Step, ...]):
    """Clients that do not read, ask nothing or wait: each stands in another call."""
    threads, files = threading.active_count(), len(os.listdir("/dev/fd"))
    with contextlib.ExitStack() as clients, FakeCamera(protocol) as camera:
        camera.play(*script)
        for _ in range(3):
            sock = clients.enter_context(socket.create_connection(("127.0.0.1", camera.port)))
            sock.sendall(request_of(camera))
        clients.enter_context(socket.create_connection(("127.0.0.1", camera.port)))
        wait_until(lambda: camera.current == 4 and camera.requests.total() == 3)
        if protocol == "http" and isinstance(script[0], Frames):
            wait_until(lambda: _stands_still(camera), 30)
        camera.stop()
        assert threading.active_count() == threads
        assert camera.current == 0
    assert len(os.listdir("/dev/fd")) == files
    socket.create_server(("127.0.0.1", camera.port)).close()


def _stands_still(camera: FakeCamera) -> bool:
    """No picture for 0.1 s, where they come each 10 ms or faster."""
    before, since = camera.frames, now()
    wait_until(lambda: now() - since > 0.1)
    return 0 < before == camera.frames
