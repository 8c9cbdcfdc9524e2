"""Who may be a client, where a token is set: by its first message, in time."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from gateway_server import Gateway, pace, running, until
from talk import talking

from framefan_gateway.connection.admission import SILENT_S


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with running(cameras=("cam", "other"), inbound_per_s=1e6) as made:
        yield made


TOKEN = "s3cret-token"
AUTH = json.dumps({"id": 0, "auth": {"token": TOKEN}})


def guarded(**options: Any) -> Any:
    return running(token=TOKEN, **options)


@pytest.mark.parametrize(
    "message",
    [AUTH, msgspec.msgpack.encode(json.loads(AUTH)), json.dumps({"id": 0, "auth": TOKEN})],
)
async def test_with_the_token_first_it_is_let_in(message: str | bytes) -> None:
    async with guarded() as gateway, talking(gateway, "?format=msgpack") as talk:
        seq = gateway.publish()
        gateway.server.flush()
        await (await talk.client.ping())  # what was sent before it would be here by now
        assert gateway.hub.clients == 0
        await talk.client.send(message)
        assert await talk.next() == {"type": "reply", "id": 0, "auth": {}}
        assert not talk.binary
        assert (await talk.next())["seq"] == seq
        assert talk.binary
        await talk.ready()


async def test_with_the_header_it_needs_no_message() -> None:
    shown = {"Authorization": f"Bearer {TOKEN}"}
    async with guarded() as gateway, talking(gateway, additional_headers=shown) as talk:
        gateway.publish()
        assert (await talk.next())["type"] == "result"


async def test_no_results_before_the_token() -> None:
    async with guarded() as gateway, talking(gateway) as talk:
        for _ in range(20):
            gateway.publish()
            await (await talk.client.ping())
        assert gateway.hub.clients == 0
        gateway.server.flush()
        await talk.client.send(AUTH)
        assert "auth" in await talk.next()
        assert (await talk.next())["seq"] == 19


async def test_no_token_in_time_closes_with_4401() -> None:
    async with guarded(handshake_s=0.2) as gateway, talking(gateway) as talk:
        gateway.publish()
        assert await talk.closed() == (4401, "no token came in time")
        assert talk.seen == []
        await until(lambda: gateway.server.stats.closed_by == {"4401": 1})


@pytest.mark.parametrize(
    ("message", "code"),
    [
        ({"auth": {"token": TOKEN[:-1]}}, 105),
        ({"auth": {"token": TOKEN + "x"}}, 105),
        ({"auth": {"token": TOKEN.upper()}}, 105),
        ({"auth": {"token": ""}}, 105),
        ({"auth": {"token": "\u00e9"}}, 105),
        ({"auth": {"token": "x" * 15_000}}, 105),
        ({"auth": {}}, 103),
        ({"auth": {"token": None}}, 103),
        ({"auth": {"token": [TOKEN]}}, 103),
        ({"auth": {"token": TOKEN, "more": 1}}, 103),
        ({"subscribe": {"cameras": ["cam"]}}, 105),
        ({"ping": {}}, 105),
        ({"ping": {"token": TOKEN}}, 105),
    ],
)
async def test_a_wrong_first_message_gets_a_reply_and_close_code_4401(
    message: dict[str, Any], code: int
) -> None:
    async with guarded() as gateway, talking(gateway) as talk:
        gateway.publish()
        await talk.client.send(json.dumps({"id": "a"} | message))
        answer = await talk.next()
        assert (answer["id"], answer["error"]["code"]) == ("a", code)
        assert await talk.closed() == (4401, answer["error"]["message"])
        assert talk.seen == []
        assert not gateway.hub.clients


@pytest.mark.parametrize("message", ["hello", b"\xc1", "{}", '{"id":[],"auth":{}}', TOKEN])
async def test_a_first_message_that_is_no_command_closes_with_4401(message: str | bytes) -> None:
    async with guarded() as gateway, talking(gateway) as talk:
        await talk.client.send(message)
        assert await talk.closed() == (4401, "the first message must be auth")
        assert talk.seen == []


async def test_a_first_message_that_is_too_long_closes_with_1009() -> None:
    async with guarded() as gateway, talking(gateway) as talk:
        await talk.client.send(json.dumps({"auth": {"token": "x" * 20_000}}))
        assert (await talk.closed())[0] == 1009
        await until(lambda: not len(gateway.server.admission))


async def test_commands_right_behind_the_token_are_answered() -> None:
    async with guarded() as gateway, talking(gateway) as talk:
        await talk.client.send(AUTH)
        await talk.client.send('{"id":1,"ping":{}}')
        assert "auth" in await talk.next()
        assert "ping" in await talk.next()


async def test_a_bad_query_is_explained_only_with_the_token() -> None:
    async with guarded() as gateway:
        async with talking(gateway, "?camera=cmr") as talk:
            await talk.client.send('{"auth":{"token":"wrong"}}')
            assert "cam" not in json.dumps(await talk.next()).replace("camera", "")
            assert (await talk.closed())[0] == 4401
        async with talking(gateway, "?camera=cmr") as talk:
            await talk.client.send(AUTH)
            assert "auth" in await talk.next()
            assert (await talk.next())["error"]["code"] == 102
            assert (await talk.closed())[0] == 4400


async def test_later_a_wrong_token_is_an_error_like_any_other() -> None:
    async with guarded() as gateway, talking(gateway) as talk:
        await talk.client.send(AUTH)
        assert "auth" in await talk.next()
        assert (await talk.ask("auth", token="wrong"))["error"]["code"] == 105
        assert (await talk.ask("auth", token=TOKEN))["auth"] == {}
        assert gateway.hub.clients == 1


async def test_where_no_token_is_set_any_is_right(gateway: Gateway) -> None:
    async with talking(gateway) as talk:
        assert (await talk.ask("auth", token="any"))["auth"] == {}


async def test_clients_without_a_token_do_not_block_others() -> None:
    """Above the cap the oldest that says nothing goes, not the newcomer."""
    async with guarded(max_handshakes=2, handshake_s=60.0) as gateway:
        async with talking(gateway) as oldest, talking(gateway), talking(gateway):
            await until(lambda: len(gateway.server.admission) == 3)
            await pace(SILENT_S)
            async with talking(gateway) as newcomer:
                await newcomer.client.send(AUTH)
                assert "auth" in await newcomer.next()
                await oldest.client.wait_closed()
                assert len(gateway.server.admission) == 2
        await until(lambda: not len(gateway.server.admission))


async def test_the_token_and_guesses_are_in_no_answer_and_no_log(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG, "framefan")
    guess, said = "gu3ss-wrong", []
    async with guarded() as gateway:
        for message in (
            {"auth": {"token": guess}},
            {"auth": {"token": [guess]}},
            {"auth": guess},
            {"auth": {"token": TOKEN, guess: 1}},
        ):
            async with talking(gateway) as talk:
                await talk.client.send(json.dumps(message))
                said += [json.dumps(await talk.next()), str(await talk.closed())]
        async with talking(gateway, "?max_fps=x") as talk:
            await talk.client.send(AUTH)
            said += [json.dumps(await talk.next()), json.dumps(await talk.next())]
        async with talking(gateway) as talk:
            await talk.client.send(AUTH)
            said.append(json.dumps(await talk.next()))
            said.append(json.dumps(await talk.ask("auth", token=guess)))
            said.append(json.dumps(await talk.ask("subscribe", token=guess)))

            def fail(*_: object, **__: object) -> bytes:
                raise RuntimeError("a mistake of ours")

            monkeypatch.setattr("framefan_gateway.connection.commands.read", fail)
            await talk.client.send(AUTH)
            said.append(str(await talk.closed()))
    captured = capfd.readouterr()
    logged = [*captured, caplog.text]
    assert "a mistake of ours" in "".join(logged), "nothing was logged, so nothing was looked at"
    for text in [*said, *logged]:
        assert TOKEN not in text
        assert guess not in text
