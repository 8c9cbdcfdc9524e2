"""Logins for HTTP and RTSP, against the examples of the standards."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st
from waiting import is_within

from framefan.base import clock
from framefan_capture.network import login
from framefan_capture.network.login import Account

MUFASA = Account("Mufasa", "Circle of Life")


def test_basic():
    challenge = 'Basic realm="WallyWorld"'
    answer = login.authorization([challenge], Account("Aladdin", "open sesame"), "GET", "/")
    assert answer == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="


def test_digest_without_qop_as_in_rfc_2069():
    challenge = (
        'Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093", '
        'opaque="5ccc069c403ebaf9f0171e9517f40e41"'
    )
    answer = login.authorization(
        [challenge], Account("Mufasa", "CircleOfLife"), "GET", "/dir/index.html"
    )
    assert answer is not None
    assert 'response="1949323746fe6a43ef61f9606e7febea"' in answer
    assert 'opaque="5ccc069c403ebaf9f0171e9517f40e41"' in answer


@pytest.mark.parametrize(
    ("algorithm", "expected"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_digest_with_qop_as_in_rfc_7616(
    algorithm: str, expected: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(login, "_CNONCE", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ")
    challenge = (
        f'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={algorithm}, '
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", '
        'opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )
    answer = login.authorization([challenge], MUFASA, "GET", "/dir/index.html")
    assert answer is not None
    assert f'response="{expected}"' in answer
    assert "qop=auth, nc=00000001" in answer


def test_the_first_challenge_that_can_be_answered_is():
    digest = 'Digest realm="r", nonce="n"'
    assert login.authorization(["Negotiate", digest, "Basic"], MUFASA, "GET", "/")[:6] == "Digest"
    assert login.authorization(["Basic", digest], MUFASA, "GET", "/")[:5] == "Basic"
    assert login.authorization([], MUFASA, "GET", "/") is None
    assert login.authorization(["Digest realm=x"], MUFASA, "GET", "/") is None


@given(st.lists(st.text()), st.text(), st.text())
def test_no_challenge_breaks_it_or_gets_the_password(challenges, user, password):
    digests = [f"Digest nonce=x, {challenge}" for challenge in challenges]
    answer = login.authorization(digests, Account(user, f"s3cr3t{password}"), "GET", "/")
    assert answer is None or "s3cr3t" not in answer.replace(user, "")
    login.authorization(challenges, Account(user, password), "GET", "/")


@pytest.mark.parametrize("part", ["a", 'a="', "a=", '"', "a "])
def test_no_challenge_takes_long(part: str):
    challenge = f"Digest {part * (16_000 // len(part))}"
    before = clock.now()
    login.authorization([challenge], MUFASA, "GET", "/")
    assert is_within(before, 1)


@given(st.text(), st.text())
def test_basic_holds_any_account(user, password):
    text = base64.b64decode(login.basic(Account(user, password)).removeprefix("Basic "))
    assert text.decode() == f"{user}:{password}"


def test_an_account_does_not_show_itself():
    assert "Circle" not in f"{MUFASA!r} {MUFASA}"
