"""Passwords of cameras: whatever fails, and whoever talks about it, they are seen nowhere."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import psutil
import pytest
import websockets
from camera_runs import SOON, CameraRun, write_config
from fake_camera import FakeCamera, Frames, Garbage, Redirect, Status
from fake_web import Request, WebServer
from faults import sabotage
from runs import Run, framefan
from waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

PASSWORD = "p@ss/w:rd%41 hunter2"
QUOTED = quote(PASSWORD, safe="")
KEY = "k3y0fTheCamera"
BASIC = base64.b64encode(f"admin:{PASSWORD}".encode()).decode()
WORDS = (PASSWORD, QUOTED, "hunter2", KEY, BASIC)
PRINTS = f"""
    import os, sys
    ADDRESS = "rtsp://admin:{QUOTED}@10.0.0.5/live"
    def it():
        print("opening", ADDRESS, flush=True)
        os.write(2, b"no answer from " + ADDRESS.encode())
        raise OSError("cannot open " + ADDRESS)
        yield
    """
LOUD = """
import os
os.environ["OPENCV_LOG_LEVEL"] = "DEBUG"
os.environ["OPENCV_FFMPEG_LOGLEVEL"] = "48"
import cv2, sys
open_ = cv2.VideoCapture
def open_and_tell(url, *rest):
    sys.stderr.write(f"decoder: opening {url!r}\\n")
    return open_(url, *rest)
cv2.VideoCapture = open_and_tell
"""
"""What libraries print at their loudest, and a decoder that names the address it opens."""


def with_login(camera: FakeCamera, path: str = "cam") -> str:
    return f"{camera.protocol}://admin:{QUOTED}@127.0.0.1:{camera.port}/{path}"


def a_video(request: Request) -> Iterator[bytes]:
    """After a login, and none that can be played: FFmpeg is asked, and tells what it sends."""
    if "authorization" not in request.fields:
        yield b"HTTP/1.1 401 No\r\nWWW-Authenticate: Basic realm=cam\r\nContent-Length: 0\r\n\r\n"
        return
    yield b"HTTP/1.1 200 OK\r\nContent-Type: video/mp4\r\nContent-Length: 64\r\n\r\n" + bytes(64)


def sources(folder: Path, ends: contextlib.ExitStack) -> dict[str, str]:
    scripts = {
        "unauthorised": ("rtsp", Status(401)),
        "other-login": ("http", Frames()),
        "refused": ("rtsp", Frames()),
        "garbage": ("rtsp", Garbage()),
        "to-a-file": ("http", Redirect(f"file:///etc/passwd?{KEY}")),
        "query": ("http", Status(404)),
        "crashes": ("rtsp", Frames(fps=10)),
    }
    found = {}
    for name, (protocol, step) in scripts.items():
        account = "admin:another" if name == "other-login" else ""
        camera = ends.enter_context(FakeCamera(protocol, (160, 120), account))
        camera.play(step)
        found[name] = with_login(
            camera, f"cam?user=admin&token={KEY}" if name == "query" else "cam"
        )
        if name == "refused":
            camera.kill()
    web = ends.enter_context(WebServer(cam=a_video))
    found["video"] = web.url("cam", f"admin:{QUOTED}@")
    (folder / "prints.py").write_text(textwrap.dedent(PRINTS))
    return found | {"prints": f"py:{folder / 'prints.py'}:it"}


def seen(run: Run) -> Iterator[tuple[str, str]]:
    """Every place where people or programs look, and the text they find there."""
    for path in ("/", "/main.js", "/api/status", "/metrics", "/healthz"):
        yield path, str(run.get(path)[1])
    env = {"XDG_RUNTIME_DIR": str(run.runtime)}
    for flags in ([], ["--json"]):
        done = framefan("status", "--name", run.name, *flags, env=env)
        assert done.returncode == 0, done.stderr
        yield f"status {flags}", done.stdout + done.stderr
    for pid in (run.process.pid, *(each.pid for each in run.descendants())):
        with contextlib.suppress(psutil.NoSuchProcess):
            yield f"cmdline of {pid}", " ".join(psutil.Process(pid).cmdline())
    for child in run.descendants():
        with contextlib.suppress(psutil.NoSuchProcess):
            yield f"environ of {child.pid}", json.dumps(child.environ())
    yield "messages", "\n".join(asyncio.run(messages(run.ws)))
    yield "log", run.log()


async def messages(url: str) -> list[str]:
    """What a client is told at once, and for a moment after that."""
    texts: list[str] = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1.0), websockets.connect(url) as ws:
            while True:
                texts.append(str(await ws.recv()))
    return texts


def assert_kept_inside(places: dict[str, str]) -> None:
    leaks = [(place, word) for place, text in places.items() for word in WORDS if word in text]
    assert not leaks, leaks


@pytest.mark.alone
def test_a_password_is_seen_nowhere_whatever_fails(tmp_path: Path) -> None:
    with contextlib.ExitStack() as ends:
        cameras = sources(tmp_path, ends)
        tables = {name: SOON | {"source": source} for name, source in cameras.items()}
        loud = sabotage(tmp_path, "framefan_capture.main", LOUD)
        run = CameraRun(tmp_path, tables, "--log-level", "debug", env=loud)
        with run:
            psutil.Process(run.camera("crashes").pid).send_signal(6)
            run.wait_for("crashes", "backoff", "decoder_died")
            for name in set(cameras) - {"crashes"}:
                wait_until(lambda n=name: run.statuses(n, "backoff"), 10, f"{name} in vain")
            run.wait_for("crashes", "live")
            places = dict(seen(run))
            places["statuses"] = "".join(str(run.statuses(name)) for name in cameras)
            run.assert_good_is_unharmed()
        assert "Authorization: Basic ***" in run.log()
        assert "cannot open rtsp://***@10.0.0.5/live" in places["statuses"]
        assert "decoder: opening 'rtsp://***@127.0.0.1" in places["log"]
        assert_kept_inside(places | {"log": run.log()})


def test_nor_does_it_matter_how_the_address_was_given(tmp_path: Path) -> None:
    """As an argument, in the environment, or, as here, both."""
    with contextlib.ExitStack() as ends:
        source = sources(tmp_path, ends)["unauthorised"]
        env = {"FRAMEFAN_SOURCES": source}
        with Run(source, "--log-level", "debug", env=env) as run:
            places = dict(seen(run))
        assert_kept_inside(places | {"log": run.log()})


AS_TYPED = (
    "rtsp://admin:hunter2/a@b@127.0.0.1:1/x",
    "http://admin:hunter2#@127.0.0.1:1/x",
    "rtsp://admin:hunter2 a@b@127.0.0.1:1/x",
    "RTSP://hunter2@127.0.0.1:1/x",
)
REFUSED = (
    "rtsp://admin:hunter2@127.0.0.1:port/x",
    "rtsp://admin:1234#hunter2@127.0.0.1:1/x",
    "gopher://admin:hunter2@127.0.0.1/x",
)


def test_a_password_as_people_type_it_is_no_more_seen(tmp_path: Path) -> None:
    """Unescaped; the cameras fail."""
    doors = {f"door{n}": {"source": source} for n, source in enumerate(AS_TYPED)}
    config = str(write_config(tmp_path, doors))
    with Run("--config", config, "-w", "1", "--log-level", "debug") as run:
        for name in doors:
            said = f"camera {name}: backoff  reason=refused"
            wait_until(lambda said=said: said in run.log(), 10, said)
    assert "hunter2" not in run.log()


@pytest.mark.parametrize("source", REFUSED)
def test_nor_is_one_in_an_address_that_is_refused(source: str, tmp_path: Path) -> None:
    config = str(write_config(tmp_path, {"door": {"source": source}}))
    given = ("--config", config, "--port", "0", "--duration", "10", "--log-level", "debug")
    done = framefan("run", *given, env={"XDG_RUNTIME_DIR": str(tmp_path)})
    assert done.returncode == 2, done.stderr
    assert "hunter2" not in done.stdout + done.stderr
