"""Acknowledgements at a real server: how they bound what is sent, and what they may not do."""

from __future__ import annotations

import asyncio
import contextlib
import json
from typing import Any
from unittest import mock

import msgspec
import pytest
import websockets
from gateway_server import Gateway, pace, running, until
from talk import Talk, seqs, talking
from test_floods import only

from framefan.base import clock
from framefan_gateway.connection import session
from framefan_gateway.connection.commands import parse_ack
from framefan_gateway.connection.crowd import Crowd
from framefan_gateway.connection.flow import Counted, Paced
from framefan_gateway.delivery.read_window import AHEAD


async def sent(gateway: Gateway, count: int, **changes: Any) -> None:
    """Publish so many, each by itself."""
    for _ in range(count):
        gateway.publish(**changes)
        gateway.server.flush()
        await asyncio.sleep(0)


async def take(talk: Talk) -> list[dict[str, Any]]:
    """What has come by now, with nothing asked for."""
    await pace(0.05)
    with contextlib.suppress(TimeoutError):
        while True:
            async with asyncio.timeout(0.05):
                message = json.loads(await talk.client.recv())
            talk.seen.append(message)
    return talk.take()


@pytest.mark.parametrize("most", [1, 2, 5])
async def test_at_most_so_many_are_unacknowledged_and_the_newest_comes_then(most: int) -> None:
    async with running(inbound_per_s=0.001) as gateway, talking(gateway, f"?ack={most}") as talk:
        await until(lambda: gateway.hub.clients)
        await sent(gateway, 20)
        assert seqs(await take(talk)) == list(range(most))
        for handled in range(1, 4):  # each frees the place of one
            await talk.client.send(json.dumps({"ack": handled * most}))
            await until(lambda: only(gateway).client.cursor.account().pending == 0)
            (newest,) = await take(talk)
            assert newest["seq"] == 20 * handled - 1
            await sent(gateway, 20)
            assert len(await take(talk)) == most - 1
            assert sum(newest["missed_by"].values()) == newest["missed"]


async def test_every_waits_for_acknowledgements_and_leaves_nothing_out() -> None:
    async with running() as gateway, talking(gateway, "?ack=3&delivery=every") as talk:
        await until(lambda: gateway.hub.clients)
        await sent(gateway, 10)
        assert seqs(await take(talk)) == [0, 1, 2]
        await talk.client.send('{"ack":2}')
        assert seqs(await take(talk)) == [3, 4]
        await talk.client.send('{ "ack" : 5 }')
        await talk.client.send(['{"ac', 'k":8}'])  # in pieces, as nobody sends it
        assert seqs(await take(talk)) == [5, 6, 7, 8, 9]


async def test_all_messages_count_and_a_change_begins_with_what_was_sent() -> None:
    """The reply is a message, too; what was sent before acknowledging was asked for needs none."""
    async with running(inbound_per_s=1e6) as gateway, talking(gateway) as talk:
        await until(lambda: gateway.hub.clients)
        gateway.publish()
        await talk.results(1)
        talk.take()
        assert (await talk.ask("subscribe", ack=2))["subscribe"]["ack"] == 2
        await sent(gateway, 5)
        assert seqs(await take(talk)) == [1]
        await talk.client.send('{"ack":3}')  # two results and the reply
        assert seqs(await take(talk)) == [5]
        assert (await talk.ask("subscribe", ack=None))["subscribe"]["ack"] is None
        await sent(gateway, 5)
        assert (await take(talk))[-1]["seq"] == 10


async def test_auto_lets_a_fast_client_have_all_and_a_slow_one_the_newest() -> None:
    async with running(inbound_per_s=0.001) as gateway, talking(gateway, "?ack=auto") as talk:
        await until(lambda: gateway.hub.clients)
        flow = only(gateway)._flow
        assert isinstance(flow, Counted)
        for count in range(1, 60):
            gateway.publish()
            (result,) = await talk.results(1)
            assert result["missed"] == 0
            await talk.client.send(json.dumps({"ack": count}))
            await until(lambda: not flow.blocks)
        talk.take()
        await sent(gateway, 500)
        ahead = len(await take(talk))
        assert 1 <= ahead <= AHEAD + 1, "more, once it is steady"
        await talk.client.send(json.dumps({"ack": 59 + ahead}))
        assert [m["seq"] for m in await take(talk)] == [gateway.seq - 1]


async def test_what_is_replaced_is_seen_while_another_camera_waits() -> None:
    """Else a slow client of several cameras passes for a quick one: one of them always waits."""
    async with running() as gateway, talking(gateway, "?ack=auto"):
        await until(lambda: gateway.hub.clients)
        cursor, held = only(gateway).client.cursor, [0]
        for _ in range(4):
            for camera in ("front", "back", "yard"):
                await sent(gateway, 1, camera=camera)
            held.append(cursor.held)
        assert held == sorted(set(held))


async def test_acknowledgements_in_messagepack() -> None:
    query = "?ack=1&format=msgpack"
    async with running() as gateway, talking(gateway, query) as talk:
        await until(lambda: gateway.hub.clients)
        await sent(gateway, 3)
        assert (await talk.next())["seq"] == 0
        await talk.client.send(msgspec.msgpack.encode({"ack": 1}))
        assert (await talk.next())["seq"] == 2


async def test_more_than_was_sent_closes_with_4400() -> None:
    async with running() as gateway, talking(gateway, "?ack=1") as talk:
        await until(lambda: gateway.hub.clients)
        await talk.client.send('{"ack":1}')
        assert await talk.closed() == (4400, "ack 1, but 0 messages were sent")


@pytest.mark.parametrize("text", ['{"ack":0}', '{"ack":-7}', '{"ack":1}'])
async def test_repeated_acknowledgements_count_towards_the_message_rate(text: str) -> None:
    async with running() as gateway, talking(gateway, "?ack=1") as talk:
        gateway.publish()
        await talk.results(1)
        for _ in range(200):
            await talk.client.send(text)
        assert (await talk.closed())[0] == 1008


async def test_an_acknowledgement_without_the_option_is_refused_with_a_hint() -> None:
    async with running() as gateway, talking(gateway) as talk:
        await talk.client.send('{"id":4,"ack":1}')
        answer = await talk.reply()
        assert (answer["id"], answer["error"]["code"]) == (4, 101)
        assert "subscribe with ack=N" in answer["error"]["message"]


@pytest.mark.parametrize(
    "text", ["", "5", '{"ack":"1"}', '{"ack":1.5}', '{"ack":1,"id":2}', '{"ack":' + "1" * 99 + "}"]
)
def test_what_is_no_acknowledgement(text: str) -> None:
    assert parse_ack(text.encode(), "json", binary=False) is None


async def test_only_the_clients_own_command_waits_for_its_replay() -> None:
    """A change right after a long replay was asked for is carried out behind it, and cheaply."""
    async with running(inbound_per_s=1e6, history_bytes=8 << 20) as gateway:
        await sent(gateway, 3000)
        async with talking(gateway, "?history=1000") as talk, talking(gateway) as other:
            await until(lambda: gateway.hub.clients == 2)
            asked = asyncio.create_task(talk.ask("unsubscribe"))
            answers = 0
            while not asked.done():
                await other.ready()
                answers += 1
            assert answers > 2
            assert len(seqs(talk.seen)) == 1000
            assert (await asked)["unsubscribe"]["cameras"] == []


async def test_a_change_of_ack_makes_true_acknowledgements_of_before_no_flood() -> None:
    async with running() as gateway, talking(gateway, "?ack=200") as talk:
        await until(lambda: gateway.hub.clients)
        await sent(gateway, 100)
        assert (await talk.ask("subscribe", ack="auto"))["subscribe"]["ack"] == "auto"
        for handled in range(1, 102):  # the reply, too
            await talk.client.send(json.dumps({"ack": handled}))
        await sent(gateway, 1)
        await until(lambda: only(gateway).client.cursor.account().pending == 0)
        assert gateway.hub.clients == 1


async def test_a_client_that_leaves_while_it_joins_is_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    prepared, gone = asyncio.Event(), asyncio.Event()

    async def slow(_: object) -> None:
        prepared.set()
        await gone.wait()

    monkeypatch.setattr(session, "_prepare", slow)
    async with running() as gateway:
        client = await websockets.connect(gateway.url, proxy=None)
        await prepared.wait()
        client.transport.abort()
        await until(lambda: not gateway.server._connections)
        gone.set()
        await pace(0.1)
        assert gateway.hub.clients == 0


def test_a_pong_of_the_newest_ping_answers_those_before_it() -> None:
    port = mock.Mock(held=0, joined_at=0.0, crowd=Crowd(), lateness=mock.Mock(recent_s=0.0))
    port.next_number.side_effect = range(1, 99)
    flow = Paced(port, clock.now())
    flow.writer.write(b"result")
    flow._confirm()
    assert flow.blocks
    assert flow.awaits(3), "a later one, as a ping against silence has"
    flow.pong(3)
    assert not flow.blocks


@pytest.mark.parametrize("query", ["?history=40&ack=1", "?history=40&ack=auto"])
async def test_commands_that_wait_for_a_replay_do_not_hold_back_what_it_waits_for(
    query: str,
) -> None:
    """The replay needs acknowledgements, which come behind the commands."""
    async with running(inbound_per_s=1e6) as gateway:
        for _ in range(40):
            gateway.publish(payload="x" * 3000, kind="value")
        async with talking(gateway, query) as talk:
            await talk.client.send('{"id":1,"subscribe":{}}')
            for number in range(2, 22):
                await talk.client.send(json.dumps({"id": number, "ping": {}}))
            seen: list[dict[str, Any]] = []
            replies: list[dict[str, Any]] = []
            while len(replies) < 21:
                message = await talk.next()
                (replies if message["type"] == "reply" else seen).append(message)
                await talk.client.send(json.dumps({"ack": len(seen) + len(replies)}))
            assert seqs(seen) == list(range(40))
            assert [reply["id"] for reply in replies] == list(range(1, 22))
