"""Bodies of HTTP answers, however their bytes are split."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framefan_capture.network.http_body import Body
from framefan_capture.network.request import Answer

CHUNKED = ("transfer-encoding", "Chunked")


def body(*fields: tuple[str, str], is_endless: bool = False) -> Body:
    return Body(Answer(200, list(fields)), is_endless)


def chunks(pieces: list[bytes], end: bytes = b"0\r\n\r\n") -> bytes:
    return b"".join(b"%X;x=y\r\n%b\r\n" % (len(each), each) for each in pieces) + end


@given(st.lists(st.binary(min_size=1, max_size=30), max_size=5), st.lists(st.integers(0, 300)))
def test_chunks_are_put_together_wherever_they_are_split(pieces: list[bytes], cuts: list[int]):
    data = chunks(pieces)
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    one = body(CHUNKED)
    assert b"".join(one.feed(data[a:b]) for a, b in pairwise(places)) == b"".join(pieces)
    assert one.is_over


@pytest.mark.parametrize("line", [b"xyz\r\n", b"-5\r\n", b"f" * 2000, b"f" * 20 + b"\r\n"], ids=len)
def test_chunks_that_cannot_be_read_end_it(line: bytes):
    one = body(CHUNKED)
    assert one.feed(chunks([b"abc"], end=line)) == b"abc"
    assert one.is_over


@given(st.binary(), st.text())
def test_no_bytes_break_it(data: bytes, length: str):
    body(CHUNKED).feed(data)
    body(("content-length", length)).feed(data)


def test_a_length_ends_it_where_one_is_believed():
    one = body(("content-length", "4"))
    assert (one.feed(b"abc"), one.is_over, one.feed(b"def"), one.is_over) == (
        b"abc",
        False,
        b"d",
        True,
    )
    assert body(("content-length", "0")).is_over
    for length in ("", "x", "-1", "9" * 30, "²"):
        assert body(("content-length", length)).length is None
    endless = body(("content-length", "2"), is_endless=True)
    assert (endless.feed(b"abc"), endless.is_over) == (b"abc", False)
