"""Addresses: read in one way by who checks, shows, probes and opens them, or refused."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framefan.errors import UsageError
from framefan.settings.source_url import checked, read, shown

UNDERSTOOD = [
    # written, for FFmpeg, shown
    ("RTSP://h/x", "rtsp://h/x", "RTSP://h/x"),
    ("HTTP://H:8080", "http://H:8080", "HTTP://H:8080"),
    ("rtsp://admin@h/x", "rtsp://admin:@h/x", "rtsp://***@h/x"),
    ("rtsp://admin:@h/x", "rtsp://admin:@h/x", "rtsp://***@h/x"),
    ("rtsp://@h/x", "rtsp://h/x", "rtsp://***@h/x"),
    ("rtsp://u:p@ss@h/x", "rtsp://u:p%40ss@h/x", "rtsp://***@h/x"),
    ("rtsp://u:p@ss word@h/x", "rtsp://u:p%40ss%20word@h/x", "rtsp://***@h/x"),
    ("rtsp://u:a#b@h/x", "rtsp://u:a%23b@h/x", "rtsp://***@h/x"),
    ("rtsp://u:a/b?c@h/x", "rtsp://u:a%2Fb%3Fc@h/x", "rtsp://***"),
    ("rtsp://u:a/b@c@h/x", "rtsp://u:a%2Fb%40c@h/x", "rtsp://***@h/x"),
    ("rtsp://u:50%off%41@h/x", "rtsp://u:50%25offA@h/x", "rtsp://***@h/x"),
    ("rtsp://u:\u00fc%E9@h/x", "rtsp://u:%C3%BC%E9@h/x", "rtsp://***@h/x"),
    ("rtsp://u:a:b@h/x", "rtsp://u:a%3Ab@h/x", "rtsp://***@h/x"),
    ("rtsp://front_door:554/x", "rtsp://front_door:554/x", "rtsp://front_door:554/x"),
    ("http://k\u00fcche/x", "http://xn--kche-0ra/x", "http://k\u00fcche/x"),
    ("http://k%C3%BCche/x", "http://xn--kche-0ra/x", "http://k%C3%BCche/x"),
    ("http://h:/x", "http://h/x", "http://h:/x"),
    (
        "http://h/my video.mjpg?a=b c",
        "http://h/my%20video.mjpg?a=b%20c",
        "http://h/my video.mjpg?***",
    ),
    ("http://h?key=1", "http://h?key=1", "http://h?***"),
    ("http://h/x#key", "http://h/x#key", "http://h/x#***"),
    ("http://[::1]:80/x", "http://[::1]:80/x", "http://[::1]:80/x"),
    ("http://[fe80::1%25eth0]/x", "http://[fe80::1%eth0]/x", "http://[fe80::1%25eth0]/x"),
    ("http://[fe80::1%eth0]/x", "http://[fe80::1%eth0]/x", "http://[fe80::1%eth0]/x"),
    # An `@` behind the host: who may have a login there is shown nothing of.
    ("http://h/x?user=me@x.org", "http://h/x?user=me@x.org", "http://***"),
    ("http://h:80/x?mail=me@x.org&key=1", "http://h:80/x?mail=me@x.org&key=1", "http://***"),
    ("rtsp://10.0.0.5:554/a@b", "rtsp://10.0.0.5:554/a@b", "rtsp://***"),
    ("rtsp://u:p@10.0.0.5/a@b", "rtsp://u:p@10.0.0.5/a@b", "rtsp://***"),
]

REFUSED = [
    # May be meant in two ways:
    "rtsp://S3cret:1234#7@192.0.2.10:554/live",
    "rtsp://localhost:19999#S3cret@192.0.2.10/live",
    "rtsp://u:1234/S3cret@cam/x",
    "rtsp://u:1234?S3cret@cam/x",
    "rtsp://u:p@S3cret/word@cam/x",
    # Name no host, or no port:
    "rtsp://",
    "rtsp://u:S3cret@",
    "http://u:S3cret@/x",
    "http://u:S3cret@host:port/x",
    "http://u:S3cret@host:0/x",
    "http://u:S3cret@host:65536/x",
    "http://u:S3cret@host:000000080/x",
    "rtsp://admin:S3cret/x",
    "http://u:S3cret@ho st/x",
    "http://u:S3cret@ho%2Fst/x",
    "http://u:S3cret@[::g]/x",
    "http://u:S3cret@[::1/x",
    "http://u:S3cret@[v1.a]/x",
    "http://u:S3cret@[fe80::1%25]/x",
    "http://u:S3cret\n@host/x",
    "http://u:S3cret\udce9@host/x",
]


@pytest.mark.parametrize(("written", "opened", "seen"), UNDERSTOOD)
def test_a_valid_address_is_opened_as_the_user_meant_it(
    written: str, opened: str, seen: str
) -> None:
    assert checked(written).for_ffmpeg == opened
    assert shown(written) == seen


@pytest.mark.parametrize("written", REFUSED)
def test_the_others_are_refused_and_no_part_of_a_login_is_shown(written: str) -> None:
    with pytest.raises(UsageError) as raised:
        checked(written)
    text = "\n".join(raised.value.lines())
    assert "special characters are %XX" in text
    assert "S3cret" not in text
    assert len(raised.value.lines()) == 3


_ANY = st.text(st.characters(codec="utf-8"), min_size=1)
_TRICKY = st.text(st.sampled_from("a1:/?#@%[] .&="), max_size=30)


@given(user=_ANY, password=_ANY)
def test_a_login_that_is_escaped_is_read_as_it_is_meant(user: str, password: str) -> None:
    url = checked(f"rtsp://{quote(user, safe='')}:{quote(password, safe='')}@h:1/x")
    assert url.account == (user, password)
    assert (url.host, url.port, url.target) == ("h", 1, "/x")


@given(_TRICKY)
def test_what_is_opened_is_what_was_read(rest: str) -> None:
    url = read(f"http://{rest}")
    if url is not None:
        again = read(url.for_ffmpeg)
        assert again is not None
        assert (again.account, again.host, again.port) == (url.account, url.host, url.port)


@given(_TRICKY, st.sampled_from(["h", "h:80", "10.0.0.5", "[::1]"]))
def test_a_password_as_people_type_it_is_not_shown(typed: str, place: str) -> None:
    password = f"{typed}S3cret{typed}"
    assert "S3cret" not in shown(f"rtsp://user:{password}@{place}/live")
    url = read(f"rtsp://user:{password}@{place}/live")
    if url is not None:
        assert url.host in place
