"""A client with format=protobuf at a real server: results, commands, acknowledgements."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from gateway_server import WAIT_S, Gateway, running
from talk import Talk, talking
from waiting import SCALE

from framefan.client import connect
from framefan.ipc import protobuf
from framefan.ipc.protocol import Result
from framefan_gateway.connection import options


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with running(cameras=("cam", "other"), inbound_per_s=1e6) as made:
        yield made


async def receive(talk: Talk) -> dict[str, Any]:
    async with asyncio.timeout(WAIT_S * SCALE):
        data = await talk.client.recv()
    assert isinstance(data, bytes)
    found = protobuf.plain(data)
    assert found is not None
    return found


async def send_command(talk: Talk, **command: Any) -> None:
    await talk.client.send(protobuf.encode_command(command))


async def test_results_and_answers_are_protobuf_whatever_a_command_is_in(gateway: Gateway) -> None:
    seq = gateway.publish()
    async with talking(gateway, "?format=protobuf") as talk:
        result = await receive(talk)
        assert (result["type"], result["camera"], result["seq"]) == ("result", "cam", seq)
        await send_command(talk, id=1, subscribe={"max_fps": 5, "labels": ["car"], "history": 0})
        answer = await receive(talk)
        assert answer["id"] == 1
        assert answer["subscribe"]["format"] == "protobuf"
        assert (answer["subscribe"]["max_fps"], answer["subscribe"]["labels"]) == (5, ["car"])
        await talk.client.send(json.dumps({"id": "two", "ping": {}}))
        answer = await receive(talk)
        assert (answer["id"], answer["ping"].keys()) == ("two", {"ts"})


async def test_an_invalid_command_is_answered(gateway: Gateway) -> None:
    async with talking(gateway, "?format=protobuf") as talk:
        for data, code in (
            (b"\xff", options.NOT_DECODED),
            (b"", options.UNKNOWN_COMMAND),
            (protobuf.encode_command({"id": 1}), options.UNKNOWN_COMMAND),
            (protobuf.encode_command({"subscribe": {"history": 1.5}}), options.BAD_VALUE),
            (protobuf.encode_command({"subscribe": {"dance": None}}), options.UNKNOWN_OPTION),
        ):
            await talk.client.send(data)
            assert (await receive(talk))["error"]["code"] == code, data


async def test_an_acknowledgement_makes_room(gateway: Gateway) -> None:
    async with talking(gateway, "?format=protobuf&ack=1&history=0") as talk:
        first = gateway.publish()
        assert (await receive(talk))["seq"] == first
        for _ in range(3):
            last = gateway.publish()
            gateway.server.flush()
        await send_command(talk, ack=1)
        result = await receive(talk)
        assert (result["seq"], result["missed_by"]) == (last, {"conflated": 2})
        await send_command(talk, ack=2)
        await send_command(talk, id=3, ping={})
        assert (await receive(talk))["id"] == 3, "an acknowledgement is answered"


async def test_a_change_of_format_begins_with_its_own_answer(gateway: Gateway) -> None:
    async with talking(gateway, "?history=0") as talk:
        await talk.client.send(json.dumps({"subscribe": {"format": "protobuf", "history": 0}}))
        assert (await receive(talk))["subscribe"]["format"] == "protobuf"
        await send_command(talk, subscribe={"format": "json", "history": 0})
        answer = json.loads(await talk.client.recv())
        assert answer["subscribe"]["format"] == "json"


async def test_without_the_package_it_is_refused(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    protobuf._runtime.cache_clear()
    monkeypatch.setitem(sys.modules, "google.protobuf", None)
    why = "format=protobuf needs pip install 'framefan[protobuf]' on the gateway's machine"
    async with talking(gateway) as talk:
        answer = await talk.ask("subscribe", format="protobuf")
        assert answer["error"] == {"code": options.BAD_VALUE, "message": why, "temporary": False}
        await talk.ready()
    async with talking(gateway, "?format=protobuf") as talk:
        assert (await talk.next())["error"]["message"] == why
        assert await talk.closed() == (4400, why)


@pytest.mark.parametrize("ack", [1, "auto", None])
async def test_our_own_client(gateway: Gateway, ack: Any) -> None:
    gateway.publish()
    async with (
        asyncio.timeout(WAIT_S * SCALE),
        connect(gateway.url, format="protobuf", ack=ack) as stream,
    ):
        async for result in stream:
            assert isinstance(result, Result)
            assert result.detections is not None
            if result.seq == 5:
                break
            gateway.publish()
        subscription = await stream.subscribe(cameras=["other"], max_fps=5)
        assert subscription["cameras"] == ["other"]
        assert await stream.ping() >= 0
