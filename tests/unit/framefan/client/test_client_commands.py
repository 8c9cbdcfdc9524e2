"""Commands of the Python client, and what it leaves in the socket, in memory and behind."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from scripted_gateway import WAIT_S, Line, ScriptedGateway, result, resumed, since
from waiting import is_within

from framefan.base.clock import now
from framefan.client import CommandFailed, Feed, connect, connector, live_feed
from framefan.ipc.protocol import Reply

NO_WAIT = {"backoff_first_s": 0.0}
CONTRACT = {
    "cameras": None,
    "delivery": "latest",
    "format": "msgpack",
    "max_fps": None,
    "labels": None,
    "min_confidence": 0.0,
    "nonempty": False,
}


async def take(feed: Any, count: int) -> list[Any]:
    async with asyncio.timeout(WAIT_S):
        return [await anext(feed) for _ in range(count)]


async def obeys(line: Line) -> None:
    """Answers each command as the gateway does, with a result before each answer."""
    contract, seq = dict(CONTRACT), max((seq for _, seq in since(line).values()), default=0)
    if since(line):
        await line.send(resumed(seq, True))
    while True:
        command = await line.next()
        seq += 1
        await line.send(result(seq))
        if "ping" in command:
            await line.reply(command, ping={})
        elif "unsubscribe" in command:
            contract["cameras"] = []
            await line.reply(command, unsubscribe=contract)
        elif command["subscribe"].get("cameras") == ["frnt"]:
            message = 'unknown camera "frnt"; known: cam'
            await line.reply(command, error={"code": 102, "message": message, "temporary": False})
        else:
            contract |= command["subscribe"]
            await line.reply(command, subscribe=contract)


# ---- commands -------------------------------------------------------------------------------


async def test_a_command_in_the_loop_loses_nothing() -> None:
    async with ScriptedGateway(obeys) as gateway, connect(gateway.url) as feed:
        assert await feed.ping() > 0
        contract = await feed.subscribe(cameras="cam", max_fps=5, labels=["person"])
        assert contract == CONTRACT | {
            "cameras": ["cam"],
            "max_fps": 5,
            "labels": ["person"],
            "history": None,
            "ack": "auto",
        }
        assert feed.contract == contract
        seqs = []
        async with asyncio.timeout(WAIT_S):
            async for each in feed:
                seqs.append(each.seq)
                if len(seqs) == 4:
                    break
                await feed.ping()
        assert seqs == [1, 2, 3, 4]
        assert (await feed.unsubscribe("cam"))["cameras"] == []
        sent = gateway.lines[0].got
        assert [each["id"] for each in sent] == list(range(1, len(sent) + 1))
        assert sent[1]["subscribe"] == {"cameras": ["cam"], "max_fps": 5, "labels": ["person"]}
        assert sent[-1]["unsubscribe"] == {"cameras": ["cam"]}


async def test_none_takes_a_limit_back_and_what_is_not_named_is_not_sent() -> None:
    async with ScriptedGateway(obeys) as gateway, connect(gateway.url) as feed:
        await feed.subscribe(cameras=None, max_fps=None)
        await feed.unsubscribe()
        assert gateway.lines[0].got == [
            {"id": 1, "subscribe": {"cameras": None, "max_fps": None}},
            {"id": 2, "unsubscribe": {}},
        ]


async def test_a_commands_error_is_typed() -> None:
    async with ScriptedGateway(obeys) as gateway, connect(gateway.url) as feed:
        with pytest.raises(CommandFailed, match="unknown camera") as caught:
            await feed.subscribe(cameras=["frnt"])
        assert (caught.value.code, caught.value.temporary) == (102, False)
        assert caught.value.message == 'unknown camera "frnt"; known: cam'
        assert feed.contract["cameras"] is None


async def test_commands_beside_an_iterator_that_waits() -> None:
    async def answers_late(line: Line) -> None:
        commands = [await line.next() for _ in range(3)]
        for command in reversed(commands):
            await line.reply(command, ping={})
        await line.send(result(1))

    async with ScriptedGateway(answers_late) as gateway, connect(gateway.url) as feed:
        reading = asyncio.ensure_future(take(feed, 1))
        async with asyncio.timeout(WAIT_S):
            await asyncio.gather(*(feed.ping() for _ in range(3)))
            assert (await reading)[0].seq == 1


async def test_replies_can_be_read_as_messages_too() -> None:
    async with ScriptedGateway(obeys) as gateway, connect(gateway.url) as feed:
        await feed.ping()
        _, reply = await take(feed.messages(), 2)
        assert isinstance(reply, Reply)
        assert reply.id == 1


@pytest.mark.parametrize("reads", [True, False])
async def test_a_command_outlives_a_cut_and_its_contract_is_restored(reads: bool) -> None:
    async def cuts_before_the_answer(line: Line) -> None:
        await line.send(result(1))
        await line.next()
        line.cut()

    async def cuts_after_the_answer(line: Line) -> None:
        command = await line.next()
        await line.reply(command, subscribe=CONTRACT | {"cameras": ["cam"], "max_fps": 2.5})
        line.cut()

    script = (cuts_before_the_answer, cuts_after_the_answer, obeys)
    async with ScriptedGateway(*script) as gateway, connect(gateway.url, **NO_WAIT) as feed:
        reading = asyncio.ensure_future(take(feed, 2)) if reads else None
        async with asyncio.timeout(WAIT_S):
            contract = await feed.subscribe(cameras=["cam"], max_fps=2.5)
            assert contract["max_fps"] == 2.5
            await feed.ping()
            if reading:
                assert [each.seq for each in await reading] == [1, 2]
        first, second, third = gateway.lines
        assert (
            first.got
            == second.got
            == [{"id": 1, "subscribe": {"cameras": ["cam"], "max_fps": 2.5}}]
        )
        assert "camera" not in first.query
        assert third.query["camera"] == "cam"
        assert third.query["max_fps"] == "2.5"


async def test_cameras_that_are_not_asked_for_any_more_are_not_resumed() -> None:
    async def first(line: Line) -> None:
        await line.send(result(1), result(5, "back"))
        command = await line.next()
        await line.reply(command, subscribe=CONTRACT | {"cameras": ["back"]})
        line.cut()

    async with ScriptedGateway(first, obeys) as gateway, connect(gateway.url, **NO_WAIT) as feed:
        await feed.subscribe(cameras=["back"])
        await feed.ping()
        assert gateway.lines[1].query["since"] == "back:e1:5"


async def test_no_camera_at_all_outlives_a_cut() -> None:
    async def first(line: Line) -> None:
        await line.send(result(1))
        command = await line.next()
        await line.reply(command, subscribe=CONTRACT | {"cameras": []})
        line.cut()

    async def second(line: Line) -> None:
        assert not {"camera", "since"} & set(line.query)
        await line.send(result(2))  # before it was told
        assert await line.next() == {"subscribe": {"cameras": []}}
        command = await line.next()
        await line.reply(command, subscribe=CONTRACT | {"cameras": ["cam"]})
        await line.send(result(3))

    async with ScriptedGateway(first, second) as gateway, connect(gateway.url, **NO_WAIT) as feed:
        await feed.unsubscribe()
        await feed.subscribe(cameras=["cam"])
        assert [each.seq for each in await take(feed, 2)] == [1, 3]


async def test_an_answer_that_never_comes_is_not_waited_for_for_ever() -> None:
    async def silent(line: Line) -> None:
        await line.next()
        await line.send(result(1))

    async with ScriptedGateway(silent) as gateway, connect(gateway.url) as feed:
        with pytest.raises(TimeoutError):
            await feed.ping(timeout_s=0.05)
        assert (await take(feed, 1))[0].seq == 1


async def test_a_command_does_not_read_past_without_bound(monkeypatch: Any) -> None:
    monkeypatch.setattr(live_feed, "_HELD_BYTES", 100_000)
    count = 0

    async def talks(line: Line) -> None:
        nonlocal count
        while True:
            count += 1
            await line.send(result(count))

    async with ScriptedGateway(talks) as gateway, connect(gateway.url) as feed:
        with pytest.raises(TimeoutError, match="no answer within"):
            await feed.ping(timeout_s=WAIT_S)
        assert [each.seq for each in await take(feed, 1000)] == list(range(1, 1001))


# ---- what it leaves -------------------------------------------------------------------------


async def test_what_is_not_read_stays_with_the_gateway() -> None:
    sent = 0
    full = asyncio.Event()

    async def floods(line: Line) -> None:
        nonlocal sent
        while True:
            sent += 1
            try:
                await asyncio.wait_for(asyncio.shield(_send(line, sent)), 1.0)
            except TimeoutError:
                full.set()
                return

    async def _send(line: Line, seq: int) -> None:
        await line.send(result(seq, detections=[], result="x" * 100_000))

    async with ScriptedGateway(floods) as gateway, connect(gateway.url, ack=None) as feed:
        await asyncio.wait_for(full.wait(), WAIT_S)
        stopped_at = sent
        assert stopped_at < 500, "50 MB went somewhere"
        assert [each.seq for each in await take(feed, 3)] == [1, 2, 3]


async def test_a_cancelled_wait_loses_nothing() -> None:
    go = asyncio.Event()

    async def part(line: Line) -> None:
        await line.send(result(1))
        await go.wait()
        await line.send(result(2))

    async with ScriptedGateway(part) as gateway, connect(gateway.url) as feed:
        await take(feed, 1)
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(feed), 0.01)
        go.set()
        assert (await take(feed, 1))[0].seq == 2


@pytest.mark.parametrize("script", [(obeys,), (503,)])
async def test_cancelling_leaves_no_task_behind(script: Any) -> None:
    async def reads(url: str) -> None:
        async with connect(url) as feed:
            await asyncio.gather(feed.ping(timeout_s=WAIT_S), take(feed, 100))

    async with ScriptedGateway(*script) as gateway:
        before = asyncio.all_tasks()
        reading = asyncio.ensure_future(reads(gateway.url))
        async with asyncio.timeout(WAIT_S):
            while not (gateway.refused or any(line.got for line in gateway.lines)):
                await asyncio.sleep(0)
            reading.cancel()
            await asyncio.wait([reading])
            assert reading.cancelled()
            while _tasks() - before:  # those of the connection end with it
                await asyncio.sleep(0)
            for line in gateway.lines:
                await line.connection.wait_closed()


def _tasks() -> set[asyncio.Task[Any]]:
    """All of them but those of the scripted gateway."""
    return {each for each in asyncio.all_tasks() if "_handler" not in str(each.get_coro())}


async def test_closing_ends_the_iteration_also_while_it_waits_to_try_again() -> None:
    async def first(line: Line) -> None:
        await line.connection.close(1001)

    async with ScriptedGateway(first, 503) as gateway:
        feed: Feed
        async with connect(gateway.url, backoff_first_s=600, backoff_cap_s=600) as feed:
            reading = asyncio.ensure_future(_all(feed))
            async with asyncio.timeout(WAIT_S):
                while not feed.trouble:
                    await asyncio.sleep(0)
        start = now()
        assert await asyncio.wait_for(reading, WAIT_S) == []
        assert is_within(start, 5)
        assert [each async for each in feed.messages()] == []


async def test_closing_in_the_middle_of_a_handshake_leaves_no_connection() -> None:
    async def first(line: Line) -> None:
        gateway.answers.clear()
        line.cut()

    async with ScriptedGateway(first, obeys) as gateway:
        async with connect(gateway.url, **NO_WAIT) as feed:
            reading = asyncio.ensure_future(_all(feed))
            async with asyncio.timeout(WAIT_S):
                while gateway.asked < 2:
                    await asyncio.sleep(0)
        gateway.answers.set()
        async with asyncio.timeout(WAIT_S):
            assert await reading == []
            await gateway.lines[1].connection.wait_closed()
        assert not feed.connected


async def test_leaving_can_be_cancelled(monkeypatch: Any) -> None:
    monkeypatch.setattr(connector, "_FAREWELL_S", 600.0)

    async def deaf(line: Line) -> None:
        line.connection.transport.pause_reading()
        is_deaf.set()

    async def visit(url: str) -> None:
        async with connect(url) as feed:
            await is_deaf.wait()
            inside.append(feed)

    is_deaf, inside = asyncio.Event(), list[Feed]()
    async with ScriptedGateway(deaf) as gateway:
        visiting = asyncio.ensure_future(visit(gateway.url))
        async with asyncio.timeout(WAIT_S):
            while not inside or inside[0].connected:
                await asyncio.sleep(0)
        visiting.cancel()
        await asyncio.wait([visiting], timeout=WAIT_S)
        assert visiting.cancelled()
        gateway.lines[0].connection.transport.abort()


async def _all(feed: Feed) -> list[Any]:
    return [each async for each in feed]


async def test_leaving_is_quick_however_much_is_unread() -> None:
    async def part(line: Line) -> None:
        for seq in range(200):
            await line.send(result(seq, detections=[], result="x" * 10_000))

    async with ScriptedGateway(part) as gateway:
        async with connect(gateway.url, ack=None) as feed:
            await take(feed, 1)
            start = now()
        assert is_within(start, 1.5), "it waited for a close frame that nobody read"
        await asyncio.wait_for(gateway.lines[0].connection.wait_closed(), WAIT_S)
        assert gateway.lines[0].connection.close_code == 1000


async def test_one_connect_is_one_feed_at_a_time() -> None:
    async with ScriptedGateway(obeys) as gateway:
        asked = connect(gateway.url)
        async with asked:
            with pytest.raises(RuntimeError, match="in use"):
                async with asked:
                    pass
        async with asked as feed:
            await feed.ping()
