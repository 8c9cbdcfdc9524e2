"""What a SOURCE means, and that no form of it shows a password."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framefan.errors import UsageError
from framefan.sources import mask, mask_source, parse, split_name


@pytest.mark.parametrize(
    ("text", "kind", "waits"),
    [
        ("demo", "demo", True),
        ("demo?fps=5", "demo", True),
        ("0", "webcam", False),
        ("a.mp4", "file", True),
        ("/tmp/x y.avi", "file", True),
        ("img_%04d.png", "pattern", True),
        ("frames/*.jpg", "pattern", True),
        ("rtsp://host/a", "rtsp", False),
        ("RTSPS://host/a", "rtsp", False),
        ("http://host/a.mjpg", "http", False),
        ("https://host/a", "http", False),
    ],
)
def test_kinds(text: str, kind: str, waits: bool) -> None:
    spec = parse(text)
    assert (spec.kind, spec.value, spec.can_wait) == (kind, text, waits)


@pytest.mark.parametrize(
    "text", ["ftp://h/x", "file:///etc/passwd", "concat:a|b", "pipe:0", "udp://h:1", "", "c:x"]
)
def test_refused(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        parse(text)
    assert raised.value.exit_code == 2


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


WORD = st.text("abcdefgh0123456789!$&()*+,;=:%-._~", min_size=1, max_size=12)


@given(user=WORD, word=WORD.map(lambda text: f"S3cret{text}"))
def test_no_password_survives(user: str, word: str) -> None:
    url = f"rtsp://{user}:{word}@cam.example:554/live?key={word}"
    assert "S3cret" not in mask_source(url)
    assert "cam.example" in mask_source(url)
    assert word not in mask(f"cannot open rtsp://{user}:{word}@cam.example/live now")


def test_what_holds_no_secret_stays() -> None:
    assert mask_source("demo?size=640x360") == "demo?size=640x360"
    assert mask_source("/videos/a.mp4") == "/videos/a.mp4"
    assert mask("3 @ 4, me@example.org") == "3 @ 4, me@example.org"


@pytest.mark.parametrize("word", ["a" * 100_000, "a://" * 25_000, "@" + "a://" * 25_000])
def test_masking_is_quick_however_long_the_word(word: str) -> None:
    """Matched as a pattern that backtracks, these took minutes."""
    began = time.perf_counter()
    mask(word)
    assert time.perf_counter() - began < 0.5


@given(st.text(max_size=60))
def test_masking_never_raises(text: str) -> None:
    mask(text)
    mask_source("rtsp://" + text)
