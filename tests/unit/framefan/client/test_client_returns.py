"""When the Python client comes back by itself, and when it raises instead."""

from __future__ import annotations

import asyncio
import logging

import pytest
from scripted_gateway import NO_WAIT, WAIT_S, Line, ScriptedGateway, result, sends, seqs, take

from framefan.client import Refused, Unreachable, connect
from framefan.errors import UsageError


@pytest.mark.parametrize("code", [1000, 1001, 1011, 1012, 1013, 4408])
async def test_it_comes_back_after_what_passes(code: int) -> None:
    async def first(line: Line) -> None:
        await line.connection.close(code)

    async with (
        ScriptedGateway(503, first, 500, 502, 504, 429, sends(result(1))) as gateway,
        connect(gateway.url, **NO_WAIT) as feed,
    ):
        assert len(await take(feed, 1)) == 1
        assert gateway.refused == 5


@pytest.mark.parametrize("code", [1002, 1003, 1007, 1008, 1009, 4400, 4401])
async def test_it_does_not_come_back_to_be_told_the_same(code: int) -> None:
    async def part(line: Line) -> None:
        await line.send({"type": "reply", "error": {"code": 102, "message": 'unknown camera "x"'}})
        await line.connection.close(code)

    async with ScriptedGateway(part) as gateway, connect(gateway.url, **NO_WAIT) as feed:
        for _ in range(2):  # and it stays that way
            with pytest.raises(Refused, match=str(code)) as caught:
                await take(feed, 1)
            assert caught.value.code == code
            assert caught.value.why == 'unknown camera "x"'
        assert len(gateway.lines) == 1


@pytest.mark.parametrize("status", [400, 401, 403, 404, 426])
async def test_a_refused_handshake_raises_with_the_gateways_words(status: int) -> None:
    async with ScriptedGateway(status) as gateway:
        with pytest.raises(Refused, match=f"answered {status}") as caught:
            async with connect(gateway.url):
                pass
        assert caught.value.code == status
        assert caught.value.why == f"scripted {status}"
        assert gateway.refused == 1


async def test_another_server_is_told_apart() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.example ESMTP\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Refused, match="not a WebSocket"):
            async with connect(f"127.0.0.1:{port}"):
                pass


async def test_a_gateway_that_is_not_there_yet_is_waited_for(
    unused_tcp_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "framefan.client")
    url = f"127.0.0.1:{unused_tcp_port}"
    with pytest.raises(Unreachable, match="no connection to") as caught:
        async with connect(url, connect_s=0):
            pass
    assert "refused" in caught.value.why.lower() or "Connect call failed" in caught.value.why
    waiting = asyncio.ensure_future(take(connect(url, backoff_first_s=0.05).__aiter__(), 1))
    async with asyncio.timeout(WAIT_S):
        while not caplog.records:
            await asyncio.sleep(0)
    async with ScriptedGateway(503, 503, sends(result(1)), port=unused_tcp_port):
        assert seqs(await waiting) == [("e1", 1)]
    warnings = [each for each in caplog.records if "no connection to" in each.getMessage()]
    assert len(warnings) == 1, "one warning for one outage"


async def test_what_trouble_there_is_can_be_asked() -> None:
    async def first(line: Line) -> None:
        await line.send(result(1))
        await line.connection.close(1013, "too much")

    async with ScriptedGateway(first, 503) as gateway, connect(gateway.url) as feed:
        assert feed.connected
        assert feed.trouble == ""
        reading = asyncio.ensure_future(take(feed, 2))
        async with asyncio.timeout(WAIT_S):
            while "too much" not in feed.trouble:
                await asyncio.sleep(0)
            assert not feed.connected
            while "scripted 503" not in feed.trouble:
                await asyncio.sleep(0)
        reading.cancel()


async def test_who_has_no_connection_always_has_a_reason() -> None:
    async def first(line: Line) -> None:
        await line.connection.close(1008, "too many")

    async with ScriptedGateway(first) as gateway, connect(gateway.url) as feed:
        with pytest.raises(Refused):
            await take(feed, 1)
        assert not feed.connected
        assert "1008" in feed.trouble
    assert feed.trouble


@pytest.mark.parametrize(
    "url", ["ftp://h/x", "ws://", "ws://u:pw@h/ws", "ws://h:x/", "ws://h/?token=t"]
)
def test_an_unusable_address_is_said_at_once(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        connect(url)
    assert "pw" not in str(caught.value)


async def test_a_name_that_no_host_can_have_is_refused() -> None:
    with pytest.raises(Refused, match="has no valid host"):
        async with connect(f"ws://{'a' * 70}.example/ws"):
            pass
