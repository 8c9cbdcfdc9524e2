"""A client's conversation with a real server: its query, its commands, and their answers."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from gateway_fakes import parts, state
from gateway_server import Gateway, running, until
from talk import CAR, PERSON, Talk, labels, talking
from websockets.exceptions import ConnectionClosed

from framefan.base import clock
from framefan.ipc.records import CameraFacts
from framefan_gateway.connection import options

WHOLE = {
    "cameras": None,
    "delivery": "latest",
    "format": "json",
    "max_fps": None,
    "labels": None,
    "min_confidence": 0.0,
    "nonempty": False,
    "preview": None,
    "ack": None,
}


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with running(cameras=("cam", "other"), inbound_per_s=1e6) as made:
        yield made


# ---- the query -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("query", "code", "reason"),
    [
        ("?max_fps=fast", 103, "max_fps is results a second, 0.001 to 1000, or 0, not 'fast'"),
        ("?camera=cmr", 102, 'unknown camera "cmr"; known: cam, other'),
        ("?maxfps=5", 104, 'unknown option "maxfps"; did you mean "max_fps"?'),
        ("?format=msgpack&delivery=none", 103, "delivery is latest or every, not 'none'"),
        ("?label=%FF", 103, "the query cannot be read"),
        ("?since=cam:a", 103, "since is CAMERA:EPOCH:SEQ, not 'cam:a'"),
    ],
)
async def test_a_bad_query_gets_one_reply_and_close_code_4400(
    gateway: Gateway, query: str, code: int, reason: str
) -> None:
    gateway.publish()
    async with talking(gateway, query) as talk:
        answer = await talk.next()
        assert answer == {
            "type": "reply",
            "error": {"code": code, "message": reason, "temporary": False},
        }
        assert not talk.binary, "it has no format before it has a contract"
        assert await talk.closed() == (4400, reason)
        assert talk.seen == []
    assert gateway.hub.clients == 0
    await until(lambda: gateway.server.stats.closed_by == {"4400": 1})


async def test_a_long_reason_is_cut_to_what_a_close_may_hold() -> None:
    names = tuple(f"camera-{n}" for n in range(40))
    async with running(cameras=names) as gateway, talking(gateway, "?camera=%C3%A9") as talk:
        answer = await talk.next()
        assert answer["error"]["message"].endswith("camera-9")
        code, reason = await talk.closed()
        assert code == 4400
        assert reason == answer["error"]["message"].encode()[:123].decode()


async def test_a_query_applies_from_the_first_message_on(gateway: Gateway) -> None:
    gateway.publish(camera="other")
    gateway.publish(payload=[PERSON, CAR])
    async with talking(gateway, "?camera=cam&label=car&format=msgpack") as talk:
        first = await talk.next()
        assert talk.binary
        assert (first["camera"], labels(first)) == ("cam", ["car"])
        assert (await talk.ask("subscribe"))["subscribe"] == WHOLE | {
            "cameras": ["cam"],
            "labels": ["car"],
            "format": "msgpack",
        }


async def test_a_camera_that_the_pool_has_may_be_named_too(gateway: Gateway) -> None:
    async with talking(gateway) as talk:
        refusal = await talk.ask("subscribe", cameras=["late"])
        assert refusal["error"]["message"] == 'unknown camera "late"; known: cam, other'
        record = state({"late": CameraFacts(state="live", been_live=True)})
        gateway.intake.take(parts("state/", record), clock.now(), clock.wall())
        assert (await talk.ask("subscribe", cameras=["late"]))["subscribe"]["cameras"] == ["late"]


# ---- commands ------------------------------------------------------------------------------------


async def test_each_command_is_answered_by_its_id_in_the_order_they_came(gateway: Gateway) -> None:
    async with talking(gateway) as talk:
        sent: list[Any] = [1, "two", None, 0, "", -5, (1 << 63) - 1, 1]
        for number in sent:
            await talk.client.send(json.dumps({"id": number, "ping": {}}))
        answers = [await talk.next() for _ in sent]
        assert [answer.get("id") for answer in answers] == sent
        for answer in answers:
            assert set(answer["ping"]) == {"ts"}
            assert abs(answer["ping"]["ts"] - clock.wall()) < 60
        await talk.client.send('{"ping":{}}')
        assert set(await talk.next()) == {"type", "ping"}


async def test_a_subscribe_is_answered_with_the_whole_contract(gateway: Gateway) -> None:
    async with talking(gateway) as talk:
        assert (await talk.ask("subscribe"))["subscribe"] == WHOLE
        assert (await talk.ask("subscribe", max_fps=5, labels=["b", "a"]))["subscribe"] == (
            WHOLE | {"max_fps": 5.0, "labels": ["a", "b"]}
        )
        answer = await talk.ask("subscribe", cameras=["cam"], max_fps=None, delivery="every")
        assert answer["subscribe"] == WHOLE | {
            "cameras": ["cam"],
            "delivery": "every",
            "labels": ["a", "b"],
        }
        answer = await talk.ask("unsubscribe", cameras=["cam"])
        assert answer["unsubscribe"]["cameras"] == []
        assert set(answer) == {"type", "id", "unsubscribe"}


async def test_an_unsubscribe_stops_its_cameras_and_no_others(gateway: Gateway) -> None:
    async with talking(gateway, "?delivery=every") as talk:
        answer = await talk.ask("unsubscribe", cameras=["cam"])
        assert answer["unsubscribe"]["cameras"] == ["other"]
        for camera in ("cam", "other", "cam", "other"):
            gateway.publish(camera=camera)
        seen = await talk.caught_up(gateway)
        assert [message["camera"] for message in seen] == ["other", "other"]
        assert (await talk.ask("unsubscribe"))["unsubscribe"]["cameras"] == []
        for camera in ("cam", "other"):
            gateway.publish(camera=camera)
        assert await talk.caught_up(gateway) == []
        account = gateway.hub.totals()
        assert account.offered == account.sent == 2


async def test_subscribing_again_goes_on_as_a_newcomer_would(gateway: Gateway) -> None:
    async with talking(gateway, "?history=0") as talk:
        await talk.ask("unsubscribe", cameras=["cam"])
        for _ in range(3):
            gateway.publish()
        gateway.server.flush()
        await talk.ask("subscribe", cameras=["cam"])
        (last,) = await talk.results(1)
        assert (last["seq"], last["missed"]) == (2, 0)


@pytest.mark.parametrize(
    ("command", "code", "words"),
    [
        ({"subscribe": {"cameras": ["cmr"]}}, 102, '"cmr"; known: cam, other'),
        ({"subscribe": {"cameras": [1]}}, 103, "cameras"),
        ({"subscribe": {"max_fps": "5"}}, 103, "max_fps"),
        ({"subscribe": {"max_fps": 10**400}}, 103, "max_fps"),
        ({"subscribe": {"max_fps": -1}}, 103, "max_fps"),
        ({"subscribe": {"min_confidence": [[[[1]]]]}}, 103, "min_confidence"),
        ({"subscribe": {"nonempty": "yes"}}, 103, "nonempty"),
        ({"subscribe": {"history": 0.5}}, 103, "history"),
        ({"subscribe": {"since": ["cam"]}}, 103, "since"),
        ({"subscribe": {"delivery": 1}}, 103, "delivery"),
        ({"subscribe": {"format": "xml"}}, 103, "format"),
        ({"subscribe": {"lables": []}}, 104, '"lables"; did you mean "labels"?'),
        ({"subscribe": {"token": "x"}}, 104, "token"),
        ({"subscribe": ["cam"]}, 103, "subscribe"),
        ({"unsubscribe": {"labels": ["a"]}}, 104, "labels"),
        ({"unsubscribe": {"cameras": ["cmr"]}}, 102, "cmr"),
        ({"auth": {}}, 103, "auth"),
        ({"auth": {"token": 5}}, 103, "auth"),
        ({"auth": {"token": "a", "b": 1}}, 103, "auth"),
        ({"dance": {}}, 101, "dance"),
    ],
)
async def test_what_is_wrong_is_named_and_changes_nothing(
    gateway: Gateway, command: dict[str, Any], code: int, words: str
) -> None:
    async with talking(gateway, "?max_fps=7&camera=cam") as talk:
        await talk.client.send(json.dumps({"id": 9} | command))
        answer = await talk.next()
        assert set(answer) == {"type", "id", "error"}
        assert (answer["id"], answer["error"]["code"]) == (9, code)
        assert words in answer["error"]["message"]
        assert answer["error"]["temporary"] is False
        gateway.publish()
        assert (await talk.results(1))[0]["seq"] == 0
        answer = await talk.ask("subscribe")
        assert answer["subscribe"] == WHOLE | {"max_fps": 7.0, "cameras": ["cam"]}


@pytest.mark.parametrize(
    "message",
    [
        "NaN",
        '{"id":1,"subscribe":{"max_fps":NaN}}',
        '{"id":1,"subscribe":{"max_fps":Infinity}}',
        '{"id":1,"subscribe":' + "[" * 7000 + "]" * 7000 + "}",
        '{"id":1,"subscribe":{"since":' + '{"a":' * 2000 + "1" + "}" * 2002,
        '{"id":' + "1" * 400 + ',"ping":{}}',
        '{"id":"\\ud800","ping":{}}',
        b"\xc1",
        b"\x91" * 15_000,
        b"\x82\xa2id\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00\xa4ping\x80",  # an id that is NaN
        b"",
        "",
    ],
)
@pytest.mark.parametrize("fmt", ["json", "msgpack"])
async def test_nothing_that_is_no_command_ends_the_connection(
    gateway: Gateway, message: str | bytes, fmt: str
) -> None:
    async with talking(gateway, f"?format={fmt}") as talk:
        await talk.client.send(message)
        answer = await talk.next()
        assert answer["error"]["code"] in (options.NOT_DECODED, options.BAD_VALUE)
        assert len(answer["error"]["message"]) < 200
        await talk.ready()


async def test_each_depth_of_nesting_is_answered(gateway: Gateway) -> None:
    """A decoder that takes it and an answer that shows it may differ in how deep they can go."""
    async with talking(gateway) as talk:
        for depth in [*range(1, 30), *range(300, 1300, 7)]:
            nested = "[" * depth + "]" * depth
            await talk.client.send(f'{{"id":{depth},"subscribe":{{"max_fps":{nested}}}}}')
            error = (await talk.next())["error"]
            assert error["code"] in (options.NOT_DECODED, options.BAD_VALUE)
            assert len(error["message"]) < 200


async def test_a_million_cameras_are_refused_by_their_size(gateway: Gateway) -> None:
    talk = Talk(await gateway.client())
    names = [f"c{n}" for n in range(1500)]
    answer = await talk.ask("subscribe", cameras=names)
    assert answer["error"]["code"] == options.UNKNOWN_CAMERA
    connection = next(iter(gateway.server._connections))
    with contextlib.suppress(ConnectionClosed):
        await talk.client.send(json.dumps({"subscribe": {"cameras": names * 700}}))
    await until(lambda: not gateway.server._connections)
    assert connection.protocol.close_sent is not None
    assert connection.protocol.close_sent.code == 1009
    assert len(connection.protocol.reader.buffer) < 1 << 20
    await talk.client.wait_closed()


# ---- formats -------------------------------------------------------------------------------------


@pytest.mark.parametrize("binary", [False, True])
@pytest.mark.parametrize("fmt", ["json", "msgpack"])
async def test_all_is_in_the_clients_format_whatever_its_commands_are_in(
    gateway: Gateway, fmt: str, binary: bool
) -> None:
    gateway.publish()
    async with talking(gateway, f"?format={fmt}") as talk:
        assert (await talk.next())["type"] == "result"
        assert talk.binary == (fmt == "msgpack")
        for name in ("ping", "subscribe", "dance", "auth", "unsubscribe"):
            await talk.ask(name, binary)
            assert talk.binary == (fmt == "msgpack")


async def test_a_change_of_format_begins_with_its_own_answer(gateway: Gateway) -> None:
    async with talking(gateway) as talk:
        for fmt, binary in (("msgpack", True), ("json", False)):
            answer = await talk.ask("subscribe", format=fmt)
            assert (answer["subscribe"]["format"], talk.binary) == (fmt, binary)
            seq = gateway.publish()
            assert (await talk.next())["seq"] == seq
            assert talk.binary == binary
