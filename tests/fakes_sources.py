"""Cameras for tests: video files, an HTTP MJPEG server and a real H.264 RTSP server.

All of them show the demo scene, so a test can read the frame number out of any picture and knows
what must be in it.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import http.server
import subprocess
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Self

import cv2
import numpy as np

from framefan_capture.sources.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

SYSTEM_PYTHON = "/usr/bin/python3"  # the GStreamer bindings belong to the system's own Python
_RTSP_SCRIPT = Path(__file__).with_name("gst_rtsp_server.py")


def pictures(scene: Scene, frames: int) -> Iterator[NDArray[np.uint8]]:
    """Frames 0, 1, ... of the scene; each is overwritten by the next."""
    image = np.empty((scene.height, scene.width, 3), np.uint8)
    for number in range(frames):
        scene.draw(number, image)
        yield image


def make_mp4(path: Path, scene: Scene, frames: int, fps: float = 30.0) -> Path:
    return make_video(path, scene, frames, fps, "mp4v")


def make_video(path: Path, scene: Scene, frames: int, fps: float, codec: str) -> Path:
    """A video file; `codec` is one that the wheel can write: mp4v, MJPG, FFV1, VP80, ..."""
    fourcc = cv2.VideoWriter.fourcc(*codec)
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, fourcc, fps, (scene.width, scene.height))
    assert writer.isOpened(), codec
    for image in pictures(scene, frames):
        writer.write(image)
    writer.release()
    return path


class MjpegServer:
    """An IP camera that speaks multipart MJPEG over HTTP, at http://127.0.0.1:PORT/cam.

    It runs in threads of the test's process and serves any number of clients. Every picture is
    drawn and encoded once. Its faults are switched by attributes, at any time.
    """

    def __init__(self, scene: Scene, fps: float = 30.0, account: str = "") -> None:
        """`account` is `user:password`, demanded by HTTP Basic when it is not empty."""
        self.fps = fps
        self.account = account
        self.served = 0
        """Connections that were answered with a stream."""
        self.is_damaged: Callable[[int], bool] = lambda number: False
        """Whether this picture goes out with its data cut off."""
        self.stalled = False
        """Connections stay open, pictures do not come."""
        self.status = 200
        self._stopping = threading.Event()
        self._dropped = 0
        self._start = time.monotonic()
        self._draw_lock = threading.Lock()
        self._jpeg = functools.lru_cache(maxsize=16)(functools.partial(_jpeg, scene))
        self._server = _HttpServer(("127.0.0.1", 0), _MjpegHandler)
        self._server.camera = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        login = f"{self.account}@" if self.account else ""
        return f"http://{login}127.0.0.1:{self.port}/cam"

    def start(self) -> Self:
        self._thread.start()
        return self

    def stop(self) -> None:
        self._stopping.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def drop_clients(self) -> None:
        """Close every open stream, as a camera does that restarts."""
        self._dropped += 1

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def number_now(self) -> int:
        return int((time.monotonic() - self._start) * self.fps)

    def parts(self) -> Iterator[bytes]:
        """JPEG after JPEG, each at its time, until the server stops or drops its clients."""
        self.served += 1
        generation = self._dropped
        number = self.number_now()
        while not self._stopping.is_set() and self._dropped == generation:
            due = self._start + number / self.fps
            if self._stopping.wait(max(0.0, due - time.monotonic())):
                return
            if not self.stalled:
                with self._draw_lock:
                    data = self._jpeg(number)
                yield data[:200] if self.is_damaged(number) else data
            number = max(number + 1, self.number_now())


def _jpeg(scene: Scene, number: int) -> bytes:
    image = np.empty((scene.height, scene.width, 3), np.uint8)
    scene.draw(number, image)
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 80])[1].tobytes()


class _HttpServer(http.server.ThreadingHTTPServer):
    camera: MjpegServer
    daemon_threads = True


class _MjpegHandler(http.server.BaseHTTPRequestHandler):
    server: _HttpServer

    def do_GET(self) -> None:
        camera = self.server.camera
        wanted = base64.b64encode(camera.account.encode()).decode()
        if camera.account and self.headers.get("Authorization") != f"Basic {wanted}":
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.end_headers()
            return
        if camera.status != 200 or self.path != "/cam":
            self.send_error(camera.status if camera.status != 200 else 404)
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        with contextlib.suppress(OSError):  # the client went away
            for data in camera.parts():
                head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                self.wfile.write(head.encode() + data + b"\r\n")

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        pass


@functools.cache
def gstreamer_available() -> bool:
    """Whether a real RTSP server can be run here."""
    check = (
        "import gi\n"
        "gi.require_version('Gst', '1.0')\n"
        "gi.require_version('GstApp', '1.0')\n"
        "gi.require_version('GstRtspServer', '1.0')\n"
        "from gi.repository import Gst, GstApp, GstRtspServer\n"
        "Gst.init(None)\n"
        "names = ('appsrc', 'x264enc', 'h264parse', 'rtph264pay')\n"
        "raise SystemExit(not all(Gst.ElementFactory.find(name) for name in names))\n"
    )
    if not Path(SYSTEM_PYTHON).exists():
        return False
    ended = subprocess.run(
        [SYSTEM_PYTHON, "-c", check], capture_output=True, check=False, timeout=30
    )
    return ended.returncode == 0


class RtspServer:
    """An IP camera that speaks RTSP with real H.264, at rtsp://127.0.0.1:PORT/cam.

    The scene's first `frames` pictures are encoded at the start and then shown again and again.
    """

    def __init__(self, scene: Scene, fps: int = 30, frames: int = 300, account: str = "") -> None:
        self._scene = scene
        self._arguments = [scene.width, scene.height, fps, frames, account]
        self._frames = frames
        self.account = account
        self.port = 0

    @property
    def url(self) -> str:
        login = f"{self.account}@" if self.account else ""
        return f"rtsp://{login}127.0.0.1:{self.port}/cam"

    def start(self) -> Self:
        self._process = subprocess.Popen(
            [SYSTEM_PYTHON, str(_RTSP_SCRIPT), *(str(part) for part in self._arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        for image in pictures(self._scene, self._frames):
            self._stdin.write(np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2YUV_I420)).data)
        self._stdin.flush()
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())
        return self

    @property
    def _stdin(self) -> IO[bytes]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def returncode(self) -> int | None:
        return self._process.returncode

    def kill(self) -> None:
        """End it as a power cut does: connections are reset."""
        self._process.kill()
        self.stop()

    def stop(self) -> None:
        """End it, by the end of its stdin."""
        with contextlib.suppress(BrokenPipeError):
            self._stdin.close()
        self._process.wait(10)
        assert self._process.stdout is not None
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()
