"""Pongs that are read past websockets, and pings that ride behind results."""

from __future__ import annotations

import os
import struct
from functools import partial

import pytest
from gateway_server import pace, running, until
from hypothesis import given
from hypothesis import strategies as st
from talk import talking
from test_floods import only

from framefan import clock
from framefan_gateway import pace as pacing
from framefan_gateway.group import Place
from framefan_gateway.pace import ping, pong_in, whole

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
    assert pong_in(masked(0x8A, ping(number)[2:], mask)) == number


@given(data=st.one_of(st.binary(max_size=40), st.binary(min_size=18, max_size=18)))
def test_nothing_else_is(data: bytes) -> None:
    number = pong_in(data)
    if number is not None:
        assert data == masked(0x8A, ping(number)[2:], data[2:6])


@pytest.mark.parametrize("head", [0x81, 0x82, 0x89, 0x0A])
def test_another_frame_with_its_payload_is_not(head: int) -> None:
    assert pong_in(masked(head, ping(7)[2:], b"mask")) is None
    assert pong_in(masked(0x8A, ping(7)[2:], b"mask") * 2) is None


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
    assert whole(stream[:at]) == (at in ends)


async def test_the_bytes_of_a_pong_inside_a_text_are_the_texts() -> None:
    async with running() as gateway:
        sock = await gateway.raw(rcvbuf=0)
        connection = only(gateway)
        connection._ping(0)
        pong = masked(0x8A, ping(connection._pings)[2:], bytes(4))
        text = masked(0x81, b"y" * 10 + pong + b"y" * 10, bytes(4))
        for part in (text[:16], text[16:34], text[34:]):
            connection.data_received(part)
        assert connection._pace.waited(1e12) > 0
        connection.data_received(pong)
        assert connection._pace.waited(1e12) == 0
        sock.close()


async def test_a_ping_rides_behind_the_next_result_in_one_write() -> None:
    async with running() as gateway:
        client = await gateway.client()
        connection = only(gateway)
        await until(lambda: connection.client.place is Place.IN_STEP)
        written: list[bytes] = []
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(os, "write", lambda _fd, data: written.append(data) or len(data))
            group = connection.client.group
            group.write_by(
                connection.client, partial(connection._offer_with_ping, connection.client)
            )
            gateway.publish()
            gateway.publish()
            gateway.server.flush()
        (data,) = written  # the second went the usual way: its line took os.write before the test
        assert data[-14:].startswith(b"\x89\x0cpace")
        assert connection._pace.waited(1e12) > 0
        await client.close()


async def test_a_client_that_recovers_at_a_change_of_contract_is_not_left_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The answer is written as to one that lags; its pong says that all is well again."""
    monkeypatch.setattr(pacing, "CALM_S", 0.3)
    async with running() as gateway, talking(gateway) as talk:
        gateway.publish()
        await talk.results(1)
        (connection,) = gateway.server._connections
        assert connection.client is not None
        connection._pace._lag(0, clock.now())
        connection._lag(connection.client)
        await until(lambda: not connection._pace.waits)
        await pace(0.4)
        await talk.ask("subscribe", max_fps=0)
        await until(lambda: not connection._pace.lagging)
        for _ in range(3):
            gateway.publish()
            await talk.results(1)
