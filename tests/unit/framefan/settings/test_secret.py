"""A secret is shown by no accident: not by str, repr or a record around it, and not in a log."""

from __future__ import annotations

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framefan.settings.run import CameraSettings, Settings
from framefan.settings.secret import Redaction, Secret, SourceText
from framefan.settings.source_spec import SourceSpec

PASSWORD = "hunter2"
URL = f"rtsp://admin:{PASSWORD}@cam.example:554/live?key=0123456789&channel=1"


def test_only_reveal_gives_it() -> None:
    secret = Secret(PASSWORD)
    assert secret.reveal() == PASSWORD
    assert PASSWORD not in f"{secret} {secret!r} {[secret]} {secret:}"
    assert bool(secret)
    assert not Secret("")


def test_a_source_is_shown_without_its_secrets() -> None:
    source = SourceText(URL)
    assert source.reveal() == URL
    assert str(source) == "rtsp://***@cam.example:554/live?***"
    assert str(SourceText("yard.mp4")) == "yard.mp4"


def test_records_that_hold_secrets_may_be_printed() -> None:
    camera = CameraSettings(name="front", source=SourceText(URL))
    settings = Settings(cameras=(camera,), token=Secret("t0ken-of-the-run"))
    shown = f"{settings!r} {settings}"
    assert PASSWORD not in shown
    assert "t0ken" not in shown
    assert "0123456789" not in shown


def test_secrets_travel_whole() -> None:
    sent = CameraSettings(name="front", source=SourceText(URL))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(sent), type=CameraSettings) == sent


@pytest.mark.parametrize(
    "text",
    [
        f"could not open {URL}",
        f"Authorization: Basic {base64.b64encode(f'admin:{PASSWORD}'.encode()).decode()}",
        f"login with {PASSWORD} failed",
        f"rtsp://other:{PASSWORD}@elsewhere/x",
        "GET /live?key=0123456789 HTTP/1.0",
        "token=t0ken-of-the-run",
    ],
)
def test_redaction_removes_every_spelling(text: str) -> None:
    clean = Redaction(SourceText(URL), Secret("t0ken-of-the-run")).clean(text)
    assert "***" in clean
    for secret in (PASSWORD, "0123456789", "t0ken", "YWRtaW4"):
        assert secret not in clean


def test_escaped_passwords_are_known_in_both_spellings() -> None:
    redaction = Redaction(SourceText("http://u:p%40ss%2Fword@h/x"))
    assert redaction.clean("p@ss/word or p%40ss%2Fword") == "*** or ***"


def test_keys_of_a_query_are_known_also_beside_an_at_sign() -> None:
    source = SourceText("http://cam/video?user=me@x.org&key=SECRET%2FKEY1")
    text = "GET key=SECRET%2FKEY1 or SECRET/KEY1"
    assert Redaction(source).clean(text) == "GET key=*** or ***"


def test_what_is_no_secret_stays() -> None:
    text = "channel=1 on cam.example is live, the admin is admin"
    assert Redaction(SourceText(URL)).clean(text) == text
    assert Redaction(SourceText("http://h/a:b?x=1")).clean("a:b x=1") == "a:b x=1"


@pytest.mark.parametrize(
    ("word", "text", "clean"),
    [
        ("a", "a worker of a camera", "a worker of a camera"),
        ("cam", "the camera cam: cam=cam, webcam", "the camera ***: ***=***, webcam"),
        ("came", "camera came", "***ra ***"),
    ],
)
def test_a_weak_secret_makes_no_word_unreadable(word: str, text: str, clean: str) -> None:
    assert Redaction(Secret(word)).clean(text) == clean
    if len(word) > 2:
        assert Redaction(SourceText(f"rtsp://user:{word}@host/path")).clean(text) == clean


_TYPED = st.text(st.characters(codec="utf-8", exclude_characters="*"), min_size=4)
_SECRET = _TYPED.map(lambda text: f"S3cret{text}S3cret")


@given(password=_TYPED, around=st.text())
def test_no_password_gets_through(password: str, around: str) -> None:
    source = SourceText(f"rtsp://user:{password}@host/path")
    assert password not in Redaction(source).clean(f"{around} {password} {around}")


@given(password=_SECRET, around=st.text(st.sampled_from("a :/@.\n'")), first=st.booleans())
def test_no_part_of_it_is_left_whatever_is_masked_first(
    password: str, around: str, first: bool
) -> None:
    """In an address of another one, and with another secret that overlaps it."""
    source = SourceText(f"rtsp://user:{password}@host/path")
    text = f"{around}{source.reveal() if first else password}{around}"
    other = Secret(f"S3cret{around}")
    assert "S3cret" not in Redaction(source, other).clean(text)
    assert "S3cret" not in str(source)


def test_a_source_that_was_looked_for_stays_what_it_is() -> None:
    for value in ("./demo", "123", "a*b.mp4", "caf\udce9.mp4", "\u00fc.mp4"):
        found = SourceText.found(SourceSpec("file", value))
        sent = msgspec.msgpack.decode(msgspec.msgpack.encode(found), type=SourceText)
        assert sent.spec == SourceSpec("file", value)
        str(sent).encode()
    assert str(SourceText.found(SourceSpec("file", "caf\udce9.mp4"))) == "caf\\xe9.mp4"
