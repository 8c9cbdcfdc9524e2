"""Which ends of a connection pass by themselves, and the words for the others."""

from __future__ import annotations

import socket
import ssl

import pytest
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosedError, InvalidMessage, InvalidStatus
from websockets.frames import Close
from websockets.http11 import Response

from framefan.client import retry_rules
from framefan.ipc.protocol import CommandError

URL = "ws://h/ws"


def answer(status: int, body: bytes = b'{"error":"because"}') -> InvalidStatus:
    return InvalidStatus(Response(status, "Phrase", Headers(), body))


def cut() -> InvalidMessage:
    error = InvalidMessage("did not receive a valid HTTP response")
    error.__cause__ = EOFError()
    return error


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(),
        ConnectionResetError(),
        TimeoutError(),
        socket.gaierror(-2, "Name or service not known"),
        ssl.SSLEOFError(),
        cut(),
        *map(answer, (408, 429, 500, 502, 503, 504)),
    ],
)
def test_what_passes(error: Exception) -> None:
    assert retry_rules.of_opening(URL, error) is None
    assert retry_rules.shortly(error)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 426, 501])
def test_what_does_not_says_why(status: int) -> None:
    refused = retry_rules.of_opening(URL, answer(status))
    assert refused is not None
    assert refused.code == status
    assert refused.why == "because"
    assert refused.fix


def test_an_answer_without_our_words_is_told_by_its_phrase() -> None:
    for body in (b"", b"<html>", b"[]", b'{"error":5}'):
        refused = retry_rules.of_opening(URL, answer(404, body))
        assert refused is not None
        assert refused.why == "Phrase"


def test_certificates_and_plain_ports_are_for_the_person() -> None:
    untrusted = ssl.SSLCertVerificationError("certificate verify failed")
    untrusted.verify_message = "self-signed certificate"
    refused = retry_rules.of_opening(URL, untrusted)
    assert refused is not None
    assert "self-signed" in refused.why
    plain = ssl.SSLError(1, "[SSL: WRONG_VERSION_NUMBER] wrong version number")
    refused = retry_rules.of_opening(URL, plain)
    assert refused is not None
    assert "TLS" in refused.what


def test_the_gateways_own_words_come_first() -> None:
    closed = ConnectionClosedError(Close(4400, "bad request"), None)
    told = retry_rules.of_closing(URL, closed, CommandError(102, 'unknown camera "x"'))
    assert told is not None
    assert told.why == 'unknown camera "x"'
    untold = retry_rules.of_closing(URL, closed, None)
    assert untold is not None
    assert untold.why == "bad request"


def test_what_we_closed_for_a_reason_is_not_tried_again() -> None:
    refused = retry_rules.of_closing(URL, ConnectionClosedError(None, Close(1009, "")), None)
    assert refused is not None
    assert refused.code == 1009
    assert retry_rules.of_closing(URL, ConnectionClosedError(None, None), None) is None
    assert retry_rules.shortly(ConnectionClosedError(None, None)) == "cut"
