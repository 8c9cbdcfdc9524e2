"""A scripted IP camera for tests: RTSP or HTTP MJPEG, in threads of the test's process.

    with FakeCamera("rtsp") as camera:
        camera.next(Frames(30), Stall())   # the coming connection: 30 pictures, then silence
        camera.play(Status(404))           # all that come after it
        ...                                # open camera.url
        camera.drop()                      # cut them all, now

Each connection plays one script, step by step, and is closed after the last. It takes its script at
its first request, so one that only looks whether the port is open takes none. Before the stream, a
step acts in place of the answer to one request (`at`, of RTSP's; HTTP has but one), and all others
are answered well.

Pictures show the demo scene. Every picture has a number of its own: how many were sent before it,
over all connections (`camera.frames`), unless a frozen one repeats it.
"""

from __future__ import annotations

import contextlib
import functools
import math
import random
import socket
import threading
from collections import Counter
from typing import TYPE_CHECKING, Literal, Protocol, Self

import cv2
import numpy as np
from fake_http import HttpConnection
from fake_rtsp import RtspConnection
from msgspec import Struct

from framefan.base.clock import now
from framefan_capture.sources.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Callable

    from fake_connection import Connection

_PROTOCOLS: dict[str, type[Connection]] = {"rtsp": RtspConnection, "http": HttpConnection}
_HOLD_LOOK_S = 0.01
_ACCEPT_LOOK_S = 0.01
_JPEG = [
    int(cv2.IMWRITE_JPEG_QUALITY),
    80,
    int(cv2.IMWRITE_JPEG_SAMPLING_FACTOR),
    int(cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420),
]


class Step(Protocol):
    def play(self, connection: Connection) -> None: ...


class Frames(Struct, frozen=True):
    """Pictures, the first at once, until `count` were sent or `seconds` are over."""

    count: float = math.inf
    fps: float = 30.0
    seconds: float = math.inf
    size: tuple[int, int] | None = None
    """Width and height in pixels, for these; RTSP takes multiples of 8. None: the camera's."""
    kind: Literal["scene", "frozen", "grey", "cut", "noise"] = "scene"
    """`frozen` the very same one again and again; `grey` of one channel (HTTP only); `cut` without
    its second half; `noise` bytes that are no JPEG."""
    claimed: int = 0
    """HTTP: added to each picture's Content-Length, as a lie."""

    def play(self, connection: Connection) -> None:
        connection.start_stream()
        camera = connection.camera
        due = began = now()
        first, sent = camera.frames, 0
        while sent < self.count and now() - began < self.seconds:
            while camera.stalled:
                connection.pause(_HOLD_LOOK_S)
            number = camera.count_frame()
            shown = first if self.kind == "frozen" else number
            connection.send_picture(self._picture(camera, shown), self.claimed)
            sent += 1
            due = max(due + 1 / self.fps, now())
            connection.pause(min(due, began + self.seconds) - now())

    def _picture(self, camera: FakeCamera, number: int) -> bytes:
        jpeg = camera.jpeg(number, self.size, grey=self.kind == "grey")
        if self.kind == "noise":
            return _noise(len(jpeg))
        return jpeg[: len(jpeg) // 2] if self.kind == "cut" else jpeg


class Stall(Struct, frozen=True):
    """Nothing for so long: a slow start, a camera that never answers, or a pause in the stream."""

    seconds: float = math.inf
    at: str = ""

    def play(self, connection: Connection) -> None:
        connection.reach(self.at)
        connection.pause(self.seconds)


class HalfAnswer(Struct, frozen=True):
    """The first half of a good answer."""

    at: str = "DESCRIBE"

    def play(self, connection: Connection) -> None:
        connection.reach(self.at)
        answer = connection.answer()
        connection.reply(answer[: len(answer) // 2])


class Status(Struct, frozen=True):
    """Refused with this code, whoever asks."""

    code: int
    at: str = "DESCRIBE"

    def play(self, connection: Connection) -> None:
        connection.reach(self.at)
        connection.reply(connection.status(self.code, "Content-Length: 0"))


class Redirect(Struct, frozen=True):
    url: str
    code: int = 302
    at: str = "DESCRIBE"

    def play(self, connection: Connection) -> None:
        connection.reach(self.at)
        headers = f"Location: {self.url}", "Content-Length: 0"
        connection.reply(connection.status(self.code, *headers))


class Garbage(Struct, frozen=True):
    """Bytes without a meaning, in place of an answer or among the pictures."""

    size: int = 4096
    at: str = ""

    def play(self, connection: Connection) -> None:
        connection.reach(self.at)
        connection.send(_noise(self.size))


class Close(Struct, frozen=True):
    """The end, as a step where a request is waited for first."""

    at: str = ""

    def play(self, connection: Connection) -> None:
        connection.reach(self.at)
        connection.cut()


class FakeCamera:
    """One camera at one port of 127.0.0.1, for any number of clients."""

    def __init__(
        self,
        protocol: Literal["rtsp", "http"],
        size: tuple[int, int] = (320, 240),
        account: str = "",
        auth: Literal["basic", "digest"] = "basic",
    ) -> None:
        """`size` is width and height of the scene; `account` `user:password`, or none demanded."""
        self.protocol = protocol
        self.size = size
        self.account = account
        self.auth = auth
        self.stalled = False
        """No stream sends a picture; connections stand."""
        self.connections = 0
        """Taken since the beginning."""
        self.scripts = 0
        """Begun since the beginning: connections that asked for something."""
        self.frames = 0
        """Pictures sent, or about to be."""
        self.requests: Counter[str] = Counter()
        """By method."""
        self.logins: Counter[str] = Counter()
        """By scheme where they were right, else under `refused`; while an account is demanded."""
        self.transports: Counter[str] = Counter()
        """RTSP: `tcp` or `udp`, as granted."""
        self.port = 0
        self._scene = functools.cache(Scene)
        self._always: tuple[Step, ...] = (Frames(),)
        self._next: list[tuple[Step, ...]] = []
        self._lock = threading.Lock()
        self._open: set[Connection] = set()
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()
        self._reserved: socket.socket | None = None

    @property
    def url(self) -> str:
        login = f"{self.account}@" if self.account else ""
        return f"{self.protocol}://{login}127.0.0.1:{self.port}/cam"

    @property
    def current(self) -> int:
        """Connections that are open."""
        return len(self._open)

    def play(self, *steps: Step) -> None:
        """The script of all connections to come, but for those that `next` says."""
        self._always = steps

    def next(self, *steps: Step, times: int = 1) -> None:
        """The script of the coming connection, or of so many; calls queue up."""
        self._next += [steps] * times

    def drop(self) -> None:
        """Close every connection."""
        for connection in list(self._open):
            connection.cut()

    def stall(self) -> None:
        self.stalled = True

    def go_on(self) -> None:
        self.stalled = False

    def start(self) -> Self:
        """Listen; after `kill` or `stop`, at the same port again."""
        if self._reserved is None:
            self._reserved = _bound(self.port)
            self.port = self._reserved.getsockname()[1]
        self._stopping.clear()
        listener = _bound(self.port)
        listener.listen()
        listener.settimeout(_ACCEPT_LOOK_S)
        self._begin(self._accept, listener)
        return self

    def kill(self) -> None:
        """Cut all connections and refuse new ones. The port stays ours, for another `start`."""
        self._stopping.set()
        while self._threads:
            self.drop()
            self._threads.pop(0).join()  # the listener's first: after it, no connection comes

    def stop(self) -> None:
        """The end: no thread and no socket is left."""
        self.kill()
        if self._reserved is not None:
            self._reserved.close()
            self._reserved = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _begin(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self, listener: socket.socket) -> None:
        with listener:
            while not self._stopping.is_set():
                with contextlib.suppress(TimeoutError):
                    sock, _ = listener.accept()
                    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self.connections += 1
                    connection = _PROTOCOLS[self.protocol](sock, self)
                    self._open.add(connection)
                    self._begin(self._serve, connection)

    def _serve(self, connection: Connection) -> None:
        try:
            connection.serve()
        finally:
            self._open.remove(connection)

    # What the connections ask for and report, each in its own thread.

    def take_script(self) -> tuple[Step, ...]:
        with self._lock:
            self.scripts += 1
            return self._next.pop(0) if self._next else self._always

    def count(self, counter: Counter[str], key: str) -> None:
        with self._lock:
            counter[key] += 1

    def count_frame(self) -> int:
        """The number of the picture to send now."""
        with self._lock:
            self.frames += 1
            return self.frames - 1

    def jpeg(self, number: int, size: tuple[int, int] | None, *, grey: bool) -> bytes:
        """Picture `number` of the scene of that size; None: of the camera's."""
        with self._lock:  # a scene draws one picture at a time
            scene = self._scene(*(size or self.size))
            image = np.empty((scene.height, scene.width, 3), np.uint8)
            scene.draw(number, image)
        shown = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY) if grey else image
        return cv2.imencode(".jpg", shown, _JPEG)[1].tobytes()


def _noise(size: int) -> bytes:
    """The same bytes for the same size, so that a test does the same every time."""
    return b"\0" + random.Random(size).randbytes(size - 1)


def _bound(port: int) -> socket.socket:
    """Two sockets may be bound to one port as long as at most one of them listens."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    return sock
