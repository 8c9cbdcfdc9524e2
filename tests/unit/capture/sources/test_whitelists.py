"""What a source may open in turn: playlists and redirects stay on their own side.

Each trap is shown to spring, too, where FFmpeg's whitelist is opened for it.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest
from fake_camera import FakeCamera, Redirect
from fakes_sources import make_mp4, make_video
from waiting import wait_until

from framefan.errors import SourceError, UsageError
from framefan.settings.run import CameraSettings
from framefan.settings.secret import SourceText
from framefan_capture import kinds
from framefan_capture.network import opencv_stream as network
from framefan_capture.sources import video
from framefan_capture.sources.opencv import OPTIONS
from framefan_capture.sources.scene import Scene

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCENE = Scene(320, 240)
EVERYTHING = "file,http,https,tcp,udp,rtp,crypto,data,concat,subfile,pipe"


class Listener:
    """Notes what connects or is sent to it, over TCP; answers each request with `answer`."""

    def __init__(self, answer: bytes = b"") -> None:
        self.requests: list[bytes] = []
        self._answer = answer
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/x.ts"

    def _serve(self) -> None:
        """Whoever only looks whether the port is open has asked nothing."""
        while True:
            sock, _ = self._server.accept()
            with sock:
                request = sock.recv(4096)
                if request == b"stop":
                    return
                if request:
                    self.requests.append(request)
                    sock.sendall(self._answer)

    def stop(self) -> None:
        with socket.create_connection(("127.0.0.1", self.port)) as sock:
            sock.sendall(b"stop")
        self._thread.join()
        self._server.close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    one = Listener()
    yield one
    one.stop()


def serves(body: bytes, kind: str) -> Listener:
    head = f"HTTP/1.0 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    return Listener(head.encode() + body)


def playlists(folder: Path, entry: str) -> list[Path]:
    """The ways that a file can name another source."""
    texts = {
        "a.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\n{entry}\n#EXT-X-ENDLIST\n",
        "a.ffconcat": f"ffconcat version 1.0\nfile '{entry}'\n",
    }
    paths = []
    for name, text in texts.items():
        paths.append(folder / name)
        paths[-1].write_text(text)
    return paths


def pictures(text: object, **options: float) -> int:
    """How many come until it ends or fails."""
    made = kinds.make(CameraSettings(name="c", source=SourceText(str(text)), fast=True, **options))
    seen = 0
    with contextlib.suppress(SourceError), contextlib.closing(made):
        made.open()
        while seen < 50 and made.grab(seen):
            seen += 1
    return seen


@pytest.mark.parametrize("opens", [False, True])
def test_a_playlist_on_disk_connects_to_nobody(
    opens: bool, listener: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    if opens:
        monkeypatch.setattr(video, "FILE_WHITELIST", EVERYTHING)
    for playlist in playlists(tmp_path, listener.url):
        assert pictures(playlist) == 0
    assert bool(listener.requests) == opens


def sdp(folder: Path, port: int) -> Path:
    path = folder / "a.sdp"
    path.write_text(
        "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        f"m=video {port} RTP/AVP 26\na=rtpmap:26 JPEG/90000\n"
    )
    return path


def is_bound(port: int) -> bool:
    with open("/proc/net/udp") as file:
        return any(
            f"0100007F:{port:04X}" in line or f"00000000:{port:04X}" in line for line in file
        )


@pytest.mark.parametrize("opens", [False, True])
def test_a_session_description_on_disk_opens_no_port(opens: bool, tmp_path: Path):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1] & ~1
    path = sdp(tmp_path, port)
    assert pictures(path) == 0
    # A process of its own: where the port opens, FFmpeg waits there for ever.
    command = [sys.executable, "-c", f"import cv2; cv2.VideoCapture({str(path)!r})"]
    options = f"protocol_whitelist;{EVERYTHING if opens else video.FILE_WHITELIST}"
    with subprocess.Popen(command, env=os.environ | {OPTIONS: options}) as reader:
        wait_until(lambda: is_bound(port) or reader.poll() is not None, 20)
        assert is_bound(port) == opens
        reader.kill()


@pytest.mark.parametrize("opens", [False, True])
def test_a_camera_that_answers_with_a_playlist_of_files_shows_none(
    opens: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    if opens:
        monkeypatch.setitem(network.WHITELISTS, "http", EVERYTHING)
    secret = make_video(tmp_path / "secret.ts", SCENE, 10, 30, "mp4v")
    playlist = playlists(tmp_path, f"file://{secret}")[0]
    server = serves(playlist.read_bytes(), "application/vnd.apple.mpegurl")
    shown = pictures(f"http://127.0.0.1:{server.port}/a.m3u8", open_timeout_s=1)
    server.stop()
    assert server.requests
    assert bool(shown) == opens


def test_a_redirect_to_a_file_shows_nothing(tmp_path: Path):
    secret = make_mp4(tmp_path / "secret.mp4", SCENE, 5)
    for protocol in ("http", "rtsp"):
        with FakeCamera(protocol) as camera:
            camera.play(Redirect(f"file://{secret}"))
            assert pictures(camera.url, open_timeout_s=1) == 0
            assert camera.requests


@pytest.mark.parametrize(
    "name", ["concat:b.avi|c.avi", "subfile,,start,0,end,99,,:b.avi", "file:b.avi", "http:b.avi"]
)
def test_a_name_that_looks_like_a_protocol_is_a_name(name: str, tmp_path: Path):
    """On the command line it is refused; by its path it is the file that is called so."""
    with pytest.raises(UsageError) if "," not in name else pytest.raises(SourceError):
        kinds.make(CameraSettings(name="c", source=SourceText(name))).open()
    make_video(tmp_path / "a.avi", SCENE, 3, 30, "MJPG").rename(tmp_path / name)
    make_video(tmp_path / "b.avi", SCENE, 7, 30, "MJPG")
    assert pictures(tmp_path / name) == 3


def test_a_playlist_shows_no_text_of_other_files(tmp_path: Path):
    """It may name files, and what is no video has no pictures; nor is it told in any error."""
    passwd = tmp_path / "passwd"
    passwd.write_text("root:s3cr3t:0:0\n" * 100)
    for playlist in playlists(tmp_path, str(passwd)):
        made = kinds.make(CameraSettings(name="c", source=SourceText(str(playlist))))
        with pytest.raises(SourceError) as caught:
            made.open()
        assert "s3cr3t" not in "".join(map(str, (*caught.value.lines(), caught.value.__context__)))


def test_an_image_that_names_another_is_an_image_only(listener: Listener, tmp_path: Path):
    for name in ("a.png", "http:a.png", "concat:a.png|b.png"):
        (tmp_path / name).write_text(listener.url)
    made = kinds.make(CameraSettings(name="c", source=SourceText(str(tmp_path / "*.png"))))
    made.open()
    for frame in range(3):
        assert made.grab(frame)
        with pytest.raises(SourceError):
            made.retrieve(None)
    assert listener.requests == []
