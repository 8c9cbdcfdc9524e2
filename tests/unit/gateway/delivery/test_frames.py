"""The bytes that are made and read past websockets: messages, pings and pongs."""

from __future__ import annotations

import struct

import pytest
from gateway_server import running, until
from hub_reader import split
from hypothesis import given
from hypothesis import strategies as st
from test_floods import only

from framefan_gateway.delivery.frames import ends_with_frame, frames, ping, ping_number, pong_number
from framefan_gateway.delivery.wire import Body

MASKS = st.binary(min_size=4, max_size=4)


def masked(head: int, payload: bytes, mask: bytes) -> bytes:
    """A client's frame of RFC 6455, section 5.2."""
    size = len(payload)
    if size < 126:
        length = bytes((0x80 | size,))
    elif size < 1 << 16:
        length = struct.pack("!BH", 0x80 | 126, size)
    else:
        length = struct.pack("!BQ", 0x80 | 127, size)
    key = (mask * (size // 4 + 1))[:size]
    body = (int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")).to_bytes(size, "big")
    return bytes((head,)) + length + mask + body


@given(number=st.integers(0, (1 << 64) - 1), mask=MASKS)
def test_a_pong_of_ours_is_known_whatever_its_mask(number: int, mask: bytes) -> None:
    assert pong_number(masked(0x8A, ping(number)[2:], mask)) == number


@given(data=st.one_of(st.binary(max_size=40), st.binary(min_size=18, max_size=18)))
def test_nothing_else_is(data: bytes) -> None:
    number = pong_number(data)
    if number is not None:
        assert data == masked(0x8A, ping(number)[2:], data[2:6])


@pytest.mark.parametrize("head", [0x81, 0x82, 0x89, 0x0A])
def test_another_frame_with_its_payload_is_not(head: int) -> None:
    assert pong_number(masked(head, ping(7)[2:], b"mask")) is None
    assert pong_number(masked(0x8A, ping(7)[2:], b"mask") * 2) is None


@given(
    frames=st.lists(
        st.tuples(
            st.sampled_from([0x81, 0x01, 0x80, 0x8A]),
            st.sampled_from([0, 1, 125, 126, 127, 300, 65_535, 65_536]),
            MASKS,
        ),
        min_size=1,
        max_size=4,
    ),
    data=st.data(),
)
def test_where_frames_end_is_seen(
    frames: list[tuple[int, int, bytes]], data: st.DataObject
) -> None:
    stream, ends = b"", {0}
    for head, size, mask in frames:
        stream += masked(head, b"x" * size, mask)
        ends.add(len(stream))
    at = data.draw(st.integers(0, len(stream)))
    assert ends_with_frame(stream[:at]) == (at in ends)


async def test_the_bytes_of_a_pong_inside_a_text_are_the_texts() -> None:
    async with running() as gateway:
        sock = await gateway.raw(rcvbuf=0)
        connection = only(gateway)
        gateway.publish()
        window = connection._flow.window
        await until(lambda: window.outstanding)
        pong = masked(0x8A, ping(connection._keepalive._last_ping)[2:], bytes(4))
        text = masked(0x81, b"y" * 10 + pong + b"y" * 10, bytes(4))
        for part in (text[:16], text[16:34], text[34:]):
            connection.data_received(part)
        assert window.outstanding
        connection.data_received(pong)
        assert not window.outstanding
        sock.close()


def test_other_pongs_are_not_ours() -> None:
    assert ping_number(b"") is None
    assert ping_number(b"x" * 12) is None
    assert ping_number(b"pace1234567") is None


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
def test_a_body_is_one_whole_frame(size: int) -> None:
    text, binary = frames([Body(b"a" * size, False)]), frames([Body(b"a" * size, True)])
    assert (text[0], binary[0]) == (0x81, 0x82)
    assert text[1:] == binary[1:]
    assert text.endswith(b"a" * size)
    head = text[: len(text) - size]
    assert len(head) == 2 + (0 if size < 126 else 2 if size < 65_536 else 8)
    assert int.from_bytes(head[2:], "big") == size or head[1] == size
    message = Body(b'{"type":"x"}', False)
    assert split(frames([message] * 3)) == [{"type": "x"}] * 3
