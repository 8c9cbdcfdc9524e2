"""The Python client against a gateway that does what the test says."""

from __future__ import annotations

import asyncio

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted_gateway import (
    NO_WAIT,
    WAIT_S,
    Line,
    ScriptedGateway,
    result,
    resumed,
    sends,
    seqs,
    since,
    take,
)

from framefan.client import Refused, connect
from framefan.ipc.protocol import Failure, Gap, Reply, Result, Status

# ---- reading --------------------------------------------------------------------------------


async def test_outcomes_come_typed_and_in_order() -> None:
    failure = result(2) | {"type": "error", "error": {"kind": "ValueError", "message": "no"}}
    del failure["detections"]
    value = result(3, result={"brightness": 0.5})
    del value["detections"]
    async with (
        ScriptedGateway(sends(result(1), failure, value)) as gateway,
        connect(gateway.url) as feed,
    ):
        first, second, third = await take(feed, 3)
    assert isinstance(first, Result)
    assert first.detections[0].box == (1.0, 2.0, 3.0, 4.0)
    assert first.latency_ms.total == 3.5
    assert isinstance(second, Failure)
    assert second.error.kind == "ValueError"
    assert isinstance(third, Result)
    assert third.result == {"brightness": 0.5}
    assert not third.detections


async def test_messages_are_all_there_is() -> None:
    status = {"type": "status", "v": 1, "ts": 1.0, "epoch": "e1", "subject": "camera"}
    status |= {"camera": "cam", "state": "backoff", "reason": "refused"}
    gap = {"type": "gap", "v": 1, "camera": "cam", "epoch": "e1", "first_seq": 2, "last_seq": 4}
    gap |= {"missed": 3, "missed_by": {"lost": 1, "bus": 2}}
    async with (
        ScriptedGateway(sends(result(1), status, gap, {"type": "reply"})) as gateway,
        connect(gateway.url) as feed,
    ):
        kinds = [type(each) for each in await take(feed.messages(), 4)]
        assert feed.missed == {"cam": {"lost": 1, "bus": 2}}
    assert kinds == [Result, Status, Gap, Reply]


async def test_what_a_later_gateway_adds_is_ignored() -> None:
    new_kind = {"type": "weather", "v": 1, "sun": True}
    new_value = {"type": "status", "ts": 1.0, "epoch": "e1", "subject": "roof", "state": "wet"}
    script = sends(new_kind, new_value, result(1, mood="good"))
    async with ScriptedGateway(script) as gateway, connect(gateway.url) as feed:
        assert seqs(await take(feed.messages(), 1)) == [("e1", 1)]


@pytest.mark.parametrize("garbage", ["no json", "[1]", '{"type":"result"}', '{"type":5}', b"\xc1"])
async def test_what_is_no_message_ends_it_with_an_error(garbage: str | bytes) -> None:
    async def part(line: Line) -> None:
        await line.send(garbage)

    async with ScriptedGateway(part) as gateway, connect(gateway.url) as feed:
        with pytest.raises(Refused, match="no valid message of framefan"):
            await take(feed, 1)


async def test_binary_messages_are_message_pack() -> None:
    async def part(line: Line) -> None:
        await line.send(msgspec.msgpack.encode(result(7)))

    async with ScriptedGateway(part) as gateway, connect(gateway.url) as feed:
        assert seqs(await take(feed, 1)) == [("e1", 7)]
        assert gateway.lines[0].query == {"delivery": "latest", "format": "msgpack", "ack": "auto"}


async def test_pictures_are_left_aside() -> None:
    """They come where an address asks for them; each repeats a result."""

    async def part(line: Line) -> None:
        for seq in (7, 8):
            await line.send(msgspec.msgpack.encode(result(seq)))
            await line.send(b"\x00\x00\x00\x02{}\xff\xd8")

    async with ScriptedGateway(part) as gateway, connect(f"{gateway.url}?preview=640") as feed:
        assert seqs(await take(feed, 2)) == [("e1", 7), ("e1", 8)]


async def test_what_is_asked_for_stands_in_the_address_and_the_token_does_not() -> None:
    async with ScriptedGateway(sends()) as gateway:
        asked = connect(
            f"http://127.0.0.1:{gateway.port}",
            cameras=["front", "back"],
            delivery="every",
            max_fps=5,
            labels="per son",
            min_confidence=0.5,
            nonempty=True,
            history=20,
            ack=50,
            token="secret",
            format="json",
        )
        async with asked:
            line = gateway.lines[0]
        assert line.query == {
            "camera": "front,back",
            "delivery": "every",
            "max_fps": "5",
            "label": "per son",
            "min_confidence": "0.5",
            "nonempty": "1",
            "history": "20",
            "ack": "50",
            "format": "json",
        }
        assert line.headers["Authorization"] == "Bearer secret"
        assert "Sec-WebSocket-Extensions" not in line.headers


async def test_iterating_connect_itself() -> None:
    async with ScriptedGateway(sends(*map(result, range(5)))) as gateway:
        async with asyncio.timeout(WAIT_S):
            found = []
            async for each in connect(gateway.url):
                found.append(each)
                if len(found) == 3:
                    break
            await gateway.lines[0].connection.wait_closed()
    assert seqs(found) == [("e1", 0), ("e1", 1), ("e1", 2)]


# ---- coming back ----------------------------------------------------------------------------


async def test_it_goes_on_from_where_it_came() -> None:
    async def first(line: Line) -> None:
        assert since(line) == {}
        await line.send(result(1), result(2), result(9, "back", "e1"))
        await line.connection.close(1001)

    async def second(line: Line) -> None:
        assert since(line) == {"cam": ("e1", 2), "back": ("e1", 9)}
        await line.send(resumed(2, True), resumed(9, True, "back"), result(3))

    async with ScriptedGateway(first, second) as gateway, connect(gateway.url, **NO_WAIT) as feed:
        assert feed.recovered is None
        assert seqs(await take(feed, 4)) == [("e1", 1), ("e1", 2), ("e1", 9), ("e1", 3)]
        assert feed.recovered is True


async def test_it_says_when_not_all_was_there_any_more() -> None:
    async def first(line: Line) -> None:
        await line.send(result(1))
        line.cut()

    messages = [resumed(1, False), result(9, missed_by={"history": 6, "lost": 1})]
    async with (
        ScriptedGateway(first, sends(*messages)) as gateway,
        connect(gateway.url, **NO_WAIT) as feed,
    ):
        assert len(await take(feed.messages(), 3)) == 3
        assert feed.recovered is False
        assert feed.missed == {"cam": {"history": 6, "lost": 1}}


async def test_not_told_yet_is_neither_recovered_nor_not() -> None:
    async def first(line: Line) -> None:
        await line.send(result(1), result(1, "back"))
        line.cut()

    async with (
        ScriptedGateway(first, sends(resumed(1, True), result(2))) as gateway,
        connect(gateway.url, **NO_WAIT) as feed,
    ):
        await take(feed, 3)
        assert feed.recovered is None, "nothing was told about camera back"


async def test_without_resuming_nothing_is_recovered_and_nothing_repeated() -> None:
    async def first(line: Line) -> None:
        await line.send(result(1), result(2))
        await line.connection.close(1001)

    async with (
        ScriptedGateway(first, sends(result(2), result(8))) as gateway,
        connect(gateway.url, resume=False, **NO_WAIT) as feed,
    ):
        assert seqs(await take(feed, 3)) == [("e1", 1), ("e1", 2), ("e1", 8)]
        assert feed.recovered is False
        assert "since" not in gateway.lines[1].query


async def test_a_camera_that_was_removed_meanwhile_is_not_recovered_and_the_others_go_on() -> None:
    async def first(line: Line) -> None:
        await line.send(result(1), result(1, "gone"))
        line.cut()

    async def second(line: Line) -> None:
        assert set(since(line)) == {"cam", "gone"}
        told = resumed(1, recovered=False, camera="gone")
        await line.send(told, resumed(1, recovered=True), result(2))

    async with ScriptedGateway(first, second) as gateway, connect(gateway.url, **NO_WAIT) as feed:
        assert [each.seq for each in await take(feed, 3)] == [1, 1, 2]
        assert feed.recovered is False


async def test_what_cannot_be_asked_for_yet_is_asked_for_again() -> None:
    async def first(line: Line) -> None:
        error = {"code": 102, "message": "unknown camera; known: none yet", "temporary": True}
        await line.send({"type": "reply", "error": error})
        await line.connection.close(4400)

    script = (first, sends(result(1)))
    async with ScriptedGateway(*script) as gateway, connect(gateway.url, **NO_WAIT) as feed:
        assert seqs(await take(feed, 1)) == [("e1", 1)]


async def test_many_cameras_do_not_make_the_address_too_long() -> None:
    many = [result(10**9, f"camera-of-a-very-long-name-{index:04}") for index in range(400)]

    async def first(line: Line) -> None:
        await line.send(*many)
        await line.connection.close(1001)

    async def second(line: Line) -> None:
        known = since(line)
        assert len(line.connection.request.path) < 6000
        await line.send(*(resumed(seq, True, camera) for camera, (_, seq) in known.items()))
        await line.send(result(1, "last"))

    async with ScriptedGateway(first, second) as gateway, connect(gateway.url, **NO_WAIT) as feed:
        await take(feed, len(many) + 1)
        assert feed.recovered is False, "not all could be asked for"


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[tuple[str, str, int]], list[tuple[int, str, int]]]:
    """What a faithful gateway has to tell, and where its connections end, how, and what is
    repeated after it."""
    cameras = draw(st.lists(st.sampled_from("abc"), min_size=1, max_size=40))
    restarts = draw(st.sets(st.integers(1, 39), max_size=2))
    news, epoch, counts = [], 0, dict.fromkeys("abc", 0)
    for index, camera in enumerate(cameras):
        if index in restarts:
            epoch, counts = epoch + 1, dict.fromkeys("abc", 0)
        counts[camera] += draw(st.integers(1, 3))
        news.append((camera, f"e{epoch}", counts[camera]))
    ways = st.sampled_from(["cut", "1001", "1013", "4408", "503"])
    cuts = draw(st.lists(st.tuples(st.integers(0, 20), ways, st.integers(0, 5)), max_size=6))
    return news, cuts


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(told=histories())
def test_over_any_cuts_each_result_comes_once_and_in_order(
    told: tuple[list[tuple[str, str, int]], list[tuple[int, str, int]]],
) -> None:
    news, cuts = told

    def plays(count: int, way: str, repeats: int):
        async def part(line: Line) -> None:
            known = since(line)
            for camera, (epoch, seq) in known.items():
                await line.send(resumed(seq, True, camera, epoch))
            start = {c: _after(news, c, known.get(c)) for c in "abc"}
            due = [
                (at, each)
                for at, each in enumerate(news)
                if at >= start[each[0]] - repeats  # a careless gateway says some of it again
            ]
            for _, (camera, epoch, seq) in due[:count]:
                await line.send(result(seq, camera, epoch))
            if way == "cut":
                line.cut()
            elif way != "stay":
                await line.connection.close(int(way))

        return 503 if way == "503" else part

    async def play() -> list[tuple[str, str, int]]:
        parts = [plays(*cut) for cut in cuts] + [plays(len(news) + 9, "stay", 2)]
        async with (
            ScriptedGateway(*parts) as gateway,
            connect(gateway.url, delivery="every", **NO_WAIT) as feed,
        ):
            got = await take(feed, len(news))
            await feed.close()
            got += [each async for each in feed]
            return [(each.camera, each.epoch, each.seq) for each in got]

    got = asyncio.run(play())
    for camera in "abc":
        assert [each for each in got if each[0] == camera] == [
            each for each in news if each[0] == camera
        ]


def _after(news: list[tuple[str, str, int]], camera: str, position: tuple[str, int] | None) -> int:
    """The index behind that of a camera's position."""
    return 0 if position is None else news.index((camera, *position)) + 1
