"""What a SOURCE means, and that no form of it shows a password."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from waiting import is_within

from framefan.errors import UsageError
from framefan.settings.source_spec import (
    SourceSpec,
    mask,
    mask_source,
    parse,
    parse_size,
    resolve,
    split_name,
    target,
)
from framefan.settings.source_url import checked


@pytest.mark.parametrize(
    ("text", "kind", "waits", "live"),
    [
        ("demo", "demo", True, False),
        ("demo?fps=5", "demo", True, False),
        ("0", "webcam", False, True),
        ("a.mp4", "file", True, False),
        ("/tmp/x y.avi", "file", True, False),
        ("img_%04d.png", "pattern", True, False),
        ("frames/*.jpg", "pattern", True, False),
        ("./123", "file", True, False),
        ("./demo", "file", True, False),
        ("./img_%d.png", "pattern", True, False),
        ("/dev/video7", "webcam", False, True),
        ("/dev/v4l/by-id/usb-046d_C920-video-index0", "webcam", False, True),
        ("rtsp://host/a", "rtsp", False, True),
        ("RTSPS://host/a", "rtsp", False, True),
        ("http://host/a.mjpg", "http", False, True),
        ("https://host/a", "http", False, True),
    ],
)
def test_kinds(text: str, kind: str, waits: bool, live: bool) -> None:
    spec = parse(text)
    assert (spec.kind, spec.value) == (kind, text)
    assert (spec.can_wait, spec.is_live) == (waits, live)


@pytest.mark.parametrize(
    "text", ["-", "/dev/stdin", "/dev/stdout", "/dev/fd/63", "/proc/self/fd/0"]
)
def test_what_only_its_own_process_can_read_is_refused_by_name(text: str) -> None:
    with pytest.raises(UsageError, match=text) as raised:
        resolve(text)
    assert "mkfifo" in raised.value.fix


@pytest.mark.parametrize(
    "name",
    [
        "123",
        "demo",
        "front-12:30:05.mp4",
        "100%d.mp4",
        "a*b.mp4",
        "py:a.py:b",
        "~x",
        " a ",
        "\udce9",
    ],
)
def test_a_file_of_exactly_that_name_takes_precedence(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = _kind(name)
    Path(name).mkdir()
    assert _kind(name) == before, "no folder is a source"
    Path(name).rmdir()
    Path(name).write_text("x")
    for written in (name, f"./{name}", str(tmp_path / name)):
        assert resolve(written) == SourceSpec("file", written)


def _kind(text: str) -> str:
    try:
        return resolve(text).kind
    except UsageError:
        return "none"


def test_a_link_to_a_device_is_a_webcam(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "realpath", lambda path: "/dev/video3")
    assert resolve("/dev/null").kind == "webcam"


def test_a_function_of_the_users_is_pulled_and_still_a_camera() -> None:
    spec = parse("py:my folder/cam.py:frames")
    assert (spec.kind, spec.value) == ("callable", "my folder/cam.py:frames")
    assert (spec.can_wait, spec.is_live) == (True, True)
    assert target("py:a:b.py:it") == ("a:b.py", "it")


@pytest.mark.parametrize(
    "text", ["py:", "py:cam.py", "py:cam.py:", "py::frames", "py:cam:frames", "py:cam.py:a.b"]
)
def test_what_names_no_function_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="names no function") as raised:
        parse(text)
    assert "py:my_camera.py:frames" in raised.value.fix


# ---- sizes ---------------------------------------------------------------------------------------


@given(st.integers(1, 65535), st.integers(1, 65535), st.sampled_from("xX"))
def test_sizes(width: int, height: int, by: str) -> None:
    assert parse_size(f"{width}{by}{height}") == (width, height)


def test_no_size_is_no_limit() -> None:
    assert parse_size("") is None


@pytest.mark.parametrize(
    "text",
    [
        "720p",
        "1280",
        "1280x",
        "x720",
        "0x720",
        "1280x0",
        "-1x5",
        "1.5x2",
        " 1x1",
        "1x1x1",
        "999999x1",
        "65536x1",
        "\u0661x\u0661",
    ],
)
def test_wrong_sizes_are_named(text: str) -> None:
    with pytest.raises(UsageError, match="is not a picture size") as raised:
        parse_size(text)
    assert text in raised.value.what


@pytest.mark.parametrize(
    "text", ["ftp://h/x", "file:///etc/passwd", "concat:a|b", "pipe:0", "udp://h:1", "", "c:x"]
)
def test_refused(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse(text)
    assert raised.value.exit_code == 2


@pytest.mark.parametrize("scheme", ["rtsp", "RTSPS", "http", "https"])
@pytest.mark.parametrize("rest", [":/admin:S3cret@host/1", ":admin:S3cret@host", ":", ":/"])
def test_an_address_without_its_slashes_is_refused_and_not_repeated(scheme: str, rest: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse(scheme + rest)
    text = "\n".join(raised.value.lines())
    assert "://" in text
    assert "S3cret" not in text
    assert "admin" not in text


@pytest.mark.parametrize(
    ("text", "name", "source"),
    [
        ("front=rtsp://u:p@h/x?a=b", "front", "rtsp://u:p@h/x?a=b"),
        ("demo?size=1x1", None, "demo?size=1x1"),
        ("rtsp://h/x?token=1", None, "rtsp://h/x?token=1"),
        ("a/b=c.mp4", None, "a/b=c.mp4"),
        ("x=demo?fps=1", "x", "demo?fps=1"),
        ("=demo", "", "demo"),
    ],
)
def test_names(text: str, name: str | None, source: str) -> None:
    assert split_name(text) == (name, source)


@pytest.mark.parametrize(
    "text",
    [
        '"rtsp://admin:S3cret@host/1"',
        "'rtsp://admin:S3cret@host/1",
        "rtsp//admin:S3cret@host/1",
        "//admin:S3cret@host/1",
        "admin:S3cret@host/1",
        "rtsp;//S3cret@host",
        "rtspS3cret@host",
        "admin:S3cret@rtsp://host/1",
    ],
)
def test_an_address_that_is_garbled_is_not_repeated(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse(text)
    said = mask("\n".join(raised.value.lines()))
    assert "rtsp://host:port/path" in said, "the example survives the redaction"
    assert "S3cret" not in said
    assert "admin" not in said
    assert mask_source(text) == "***"


@pytest.mark.parametrize("text", ["yard@2x.mp4", "./a:b@c.mp4", "/a//b@c.mp4", "py:a@b.py:it"])
def test_a_path_may_hold_an_at_sign(text: str) -> None:
    assert parse(text).kind in ("file", "callable")
    assert mask_source(text) == text


def test_blanks_around_a_source_mean_nothing() -> None:
    assert parse(" rtsp://u:p@h/x\n").value == "rtsp://u:p@h/x"


@pytest.mark.parametrize("scheme", ["rtsp", "rtsps", "http", "https"])
@pytest.mark.parametrize("rest", ["://", "://u:S3cret@host:99999/x"])
def test_what_to_write_survives_the_redaction(scheme: str, rest: str) -> None:
    with pytest.raises(UsageError) as raised:
        checked(scheme + rest)
    said = mask("\n".join(raised.value.lines()))
    assert f"put user:password@ before the host of {scheme}://host:port/path" in said
    assert "S3cret" not in said


WORD = st.text("abcdefgh0123456789!$&()*+,;=:%-._~", min_size=1, max_size=12)


@given(user=WORD, word=WORD.map(lambda text: f"S3cret{text}"))
def test_no_password_survives(user: str, word: str) -> None:
    url = f"rtsp://{user}:{word}@cam.example:554/live?key={word}"
    assert "S3cret" not in mask_source(url)
    assert "cam.example" in mask_source(url)
    assert word not in mask(f"cannot open rtsp://{user}:{word}@cam.example/live now")


def test_a_query_with_an_at_sign_is_hidden_whole() -> None:
    shown = mask_source("http://cam/video?user=me@x.org&key=SECRETKEY1")
    assert shown == "http://***"


def test_what_holds_no_secret_stays() -> None:
    assert mask_source("demo?size=640x360") == "demo?size=640x360"
    assert mask_source("/videos/a.mp4") == "/videos/a.mp4"
    assert mask("3 @ 4, me@example.org") == "3 @ 4, me@example.org"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no: rtsp://admin:p@ss word@cam/x is off", "no: rtsp://***@cam/x is off"),
        ("rtsp://my user:a b@h/x", "rtsp://***@h/x"),
        ("rtsp://u:p@a/1, then 'HTTP://u:p q@b/2'", "rtsp://***@a/1, then 'HTTP://***@b/2'"),
        ("rtsp://u:http://p@h/x", "rtsp://***@h/x"),
        ("redis://u:p@h\nme@example.org", "redis://***@h\nme@example.org"),
        ('{"at": "rtsp://h", "to": "m@h"}', '{"at": "rtsp://h", "to": "m@h"}'),
        ('{"at": "rtsp://u:p\\"w@h", "to": "m@h"}', '{"at": "rtsp://***@h", "to": "m@h"}'),
        ("rtsp://***@h/x fails; ask me@example.org", "rtsp://***@h/x fails; ask me@example.org"),
    ],
)
def test_addresses_in_texts_are_masked_whole(text: str, shown: str) -> None:
    assert mask(text) == mask(mask(text)) == shown


@pytest.mark.parametrize("word", ["a" * 100_000, "a://" * 25_000, "@" + "a://" * 25_000])
def test_masking_is_quick_however_long_the_word(word: str) -> None:
    """Matched as a pattern that backtracks, these took minutes."""
    began = time.monotonic()
    mask(word)
    assert is_within(began, 0.5)


@given(st.text(max_size=60))
def test_masking_never_raises(text: str) -> None:
    mask(text)
    mask_source("rtsp://" + text)
