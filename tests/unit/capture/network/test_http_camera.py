"""Cameras over HTTP, whatever they answer with: streams of JPEG, snapshots, video with an end."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from fake_camera import FakeCamera, Frames, Stall
from fake_web import WebServer, whole
from network_words import SECRET, SILENCE_S, grab_until_it_fails, refusal
from waiting import is_within, pause

from framefan.base import clock
from framefan.errors import SourceError
from framefan_capture.network.http_camera import SNAPSHOT_FPS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from fake_web import Request
    from network_words import Open

    from framefan_capture.source import Source

MULTIPART = "multipart/x-mixed-replace"
USUAL = f"{MULTIPART}; boundary=frame"


def jpeg(shade: int, size: tuple[int, int] = (64, 48)) -> bytes:
    return cv2.imencode(".jpg", np.full((size[1], size[0], 3), shade, np.uint8))[1].tobytes()


JPEGS = [jpeg(shade) for shade in range(10, 250, 10)]


def shades(source: Source, frames: int) -> list[int]:
    seen = []
    for frame in range(frames):
        while source.due > clock.now():
            pause(0.005)
        assert source.grab(frame)
        seen.append(round(float(source.retrieve(None).mean()) / 10))
    return seen


def stream(
    kind: str = USUAL,
    before: str = "--frame",
    told: str = "image/jpeg",
    length: bool = True,
    eol: str = "\r\n",
    head: str = "HTTP/1.1 200 OK",
    first: bool = True,
    chunked: bool = False,
) -> Callable[[Request], Iterator[bytes]]:
    def pieces(_: Request) -> Iterator[bytes]:
        lines = [head, f"Content-Type: {kind}", *(["Transfer-Encoding: chunked"] * chunked)]
        yield eol.join([*lines, "", ""]).encode()
        for number, data in enumerate(JPEGS * 10):
            lines = [before] if before and (number or first) else []
            lines += [f"Content-Type: {told}"] if told else []
            lines += [f"Content-Length: {len(data)}"] if length else []
            part = eol.join([*lines, "", ""]).encode() + data + eol.encode()
            yield b"%x\r\n%b\r\n" % (len(part), part) if chunked else part
            pause(0.01)

    return pieces


def bare(_: Request) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Type: video/x-motion-jpeg\r\n\r\n"
    for data in JPEGS * 10:
        yield data
        pause(0.01)


HABITS = {
    "plain": stream(),
    "quoted": stream(f'{MULTIPART}; boundary="frame"'),
    "dashes": stream(f"{MULTIPART};boundary=--frame"),
    "noboundary": stream(MULTIPART),
    "nofirst": stream(first=False),
    "nodashes": stream(before="frame"),
    "jpg": stream(told="image/jpg"),
    "notype": stream(told=""),
    "nolength": stream(length=False),
    "lf": stream(eol="\n"),
    "http10": stream(head="HTTP/1.0 200 OK"),
    "chunked": stream(chunked=True),
    "other": stream("image/jpeg"),
    "bare": bare,
}


@pytest.mark.parametrize("habit", HABITS)
def test_every_variant_plays_from_one_request(habit: str, opened: Open):
    with WebServer(**HABITS) as camera:
        source = opened(camera.url(habit))
        seen = shades(source, 12)
        assert seen == list(range(1, 13))
        assert (source.skipped, source.pts) == (0, None)
        assert len(camera.requests) == camera.connections == 1


def challenged(challenge: str) -> Callable[[Request], Iterable[bytes]]:
    def answer(request: Request) -> Iterable[bytes]:
        said = request.fields.get("authorization", "")
        if SECRET in said or not said:
            lines = ["HTTP/1.1 401 Unauthorized", f"WWW-Authenticate: {challenge}"]
            return ["\r\n".join([*lines, "Content-Length: 0", "", ""]).encode()]
        return [whole(JPEGS[1], "image/jpeg", "Connection: close")]

    return answer


def test_a_known_login_is_sent_at_once_and_a_digest_is_counted(opened: Open):
    """Else each snapshot would cost two connections, or look like a replay."""
    digest = 'Digest realm="r", nonce="n", algorithm=SHA-256, qop="auth,auth-int"'
    with WebServer(basic=challenged('Basic realm="r"'), digest=challenged(digest)) as camera:
        for name in ("basic", "digest"):
            camera.requests.clear()
            source = opened(camera.url(name, f"user:{SECRET}@"), max_fps=100)
            assert shades(source, 3) == [2, 2, 2]
            assert len(camera.requests) == 4
            logins = [each.fields.get("authorization", "") for each in camera.requests[1:]]
            assert all(login.lower().startswith(name) for login in logins)
        numbers = [re.search(r"nc=(\d+)", login)[1] for login in logins]
        assert numbers == ["00000001", "00000002", "00000003"]


def test_each_picture_has_the_size_that_it_has(opened: Open):
    with FakeCamera("http") as camera:
        sizes = [(320, 240), (643, 483), (160, 120), (320, 240)]
        camera.play(*[Frames(3, fps=100, size=size) for size in sizes], Stall())
        source = opened(camera.url)
        seen = [source.retrieve(None).shape[1::-1] for frame in range(12) if source.grab(frame)]
        assert seen == [size for size in sizes for _ in range(3)]
        assert camera.requests["GET"] == 1


def test_a_drip_is_a_silence(opened: Open):
    def drip(_: Request) -> Iterator[bytes]:
        yield f"HTTP/1.1 200 OK\r\nContent-Type: {USUAL}\r\n\r\n--frame\r\n\r\n".encode()
        for byte in JPEGS[0] * 100:
            yield bytes([byte])
            pause(0.02)

    with WebServer(drip=drip, head=lambda _: drip_head()) as camera:
        source = opened(camera.url("drip"), read_timeout_s=SILENCE_S)
        before = clock.now()
        assert grab_until_it_fails(source).reason == "timeout"
        assert is_within(before, SILENCE_S + 1)
        before = clock.now()
        assert refusal(camera.url("head"), open_timeout_s=SILENCE_S).reason == "timeout"
        assert is_within(before, SILENCE_S + 1)


def drip_head() -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n"
    while True:
        yield b"X: y\r\n"
        pause(0.02)


# ---- snapshots -----------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [(), ("Connection: close",)], ids=["kept", "closed"])
@pytest.mark.parametrize("max_fps", [0, 20])
def test_a_snapshot_is_asked_for_at_a_pace(max_fps: float, more: tuple[str, ...], opened: Open):
    def picture(request: Request) -> Iterable[bytes]:
        return [whole(JPEGS[request.number], "image/jpeg", *more)]

    with WebServer(snapshot=picture) as camera:
        source = opened(camera.url("snapshot.cgi?user=x"), max_fps=max_fps)
        began = clock.now()
        assert shades(source, 5) == [1, 2, 3, 4, 5]
        assert clock.now() - began > 0.95 * 4 / (max_fps or SNAPSHOT_FPS)
        assert is_within(began, 4 / (max_fps or SNAPSHOT_FPS) + 1)
        assert len(camera.requests) == 5
        assert camera.connections == (5 if more else 1)


@pytest.mark.parametrize(
    ("answer", "good"),
    [
        (whole(JPEGS[2], "image/jpeg"), True),
        (
            whole(cv2.imencode(".png", np.full((4, 4, 3), 30, np.uint8))[1].tobytes(), "image/png"),
            True,
        ),
        (whole(JPEGS[2], "")[:-4], False),
        (b"HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\n\r\n" + JPEGS[2], True),
        (b"HTTP/1.0 200 OK\r\nContent-Type: image/jpeg\r\n\r\n" + JPEGS[2][:-4], False),
        (whole(b"no picture", "image/jpeg"), False),
        (whole(b"", "image/jpeg"), False),
    ],
    ids=["jpeg", "png", "cut", "old", "old, cut", "text", "nothing"],
)
def test_a_snapshot_is_whole_or_bad(answer: bytes, good: bool, opened: Open):
    def pieces(_: Request) -> Iterable[bytes]:
        # What is cut off ends with its connection.
        return [answer.replace(b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK\r\nConnection: close")]

    with WebServer(snapshot=pieces) as camera:
        source = opened(camera.url("snapshot"), max_fps=100)
        for frame in range(3):
            assert source.grab(frame)
            if good:
                assert round(source.retrieve(None).mean()) == 30
            else:
                with pytest.raises(SourceError, match="no image"):
                    source.retrieve(None)
        assert len(camera.requests) == 3


def test_a_snapshot_that_is_refused_later_says_why(opened: Open):
    with WebServer(snapshot=lambda _: [whole(JPEGS[0], "image/jpeg")]) as camera:
        source = opened(camera.url("snapshot", f"user:{SECRET}@"), max_fps=50)
        assert shades(source, 2) == [1, 1]
        camera.answers.clear()
        assert grab_until_it_fails(source).reason == "not_found"


def always(sent: bytes, _: Request) -> list[bytes]:
    return [sent]


def test_the_same_picture_is_the_same_by_whatever_reader(opened: Open, tmp_path: Path):
    """Also one that its camera says to turn."""
    plain = cv2.imencode(".jpg", np.random.default_rng(3).integers(0, 255, (40, 60, 3), np.uint8))[
        1
    ]
    turn = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    turned = b"\xff\xd8\xff\xe1" + (len(turn) + 2).to_bytes(2, "big") + turn + plain.tobytes()[2:]
    grey = cv2.imencode(".jpg", np.arange(64 * 64, dtype=np.uint8).reshape(64, 64))[1].tobytes()
    for name, data, shape in (("t", turned, (60, 40, 3)), ("g", grey, (64, 64, 3))):
        path = tmp_path / f"{name}.jpg"
        path.write_bytes(data)
        parts = b"".join(b"--frame\r\n\r\n" + each for each in [data] * 3)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {USUAL}\r\n\r\n".encode()
        answers = {"parts": head + parts, "one": whole(data, "image/jpeg")}
        with WebServer(**{key: partial(always, sent) for key, sent in answers.items()}) as camera:
            pictures = []
            for text in (
                str(tmp_path / f"{name}*.jpg"),
                path,
                camera.url("parts"),
                camera.url("one"),
            ):
                source = opened(str(text))
                assert source.grab(0)
                pictures.append(source.retrieve(None))
        assert pictures[0].shape == shape
        assert all(np.array_equal(pictures[0], other) for other in pictures[1:]), name
