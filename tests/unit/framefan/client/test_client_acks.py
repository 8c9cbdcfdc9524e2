"""How the Python client acknowledges: what, when, and what a line that takes nothing does to it."""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scripted_gateway import WAIT_S, Line, ScriptedGateway, result, resumed, since

from framefan.client import Feed, Refused, connect
from framefan.client.address import asking
from framefan.errors import UsageError
from framefan.ipc.protocol import Resumed

NO_WAIT = {"backoff_first_s": 0.0}
STATUS = {"type": "status", "ts": 1.0, "epoch": "e1", "subject": "pool", "state": "live"}
GAP = {"type": "gap", "camera": "yard", "epoch": "e1", "first_seq": 2, "last_seq": 4}
GAP |= {"missed": 3, "missed_by": {"lost": 3}}
PICTURE = b"\x00\x00\x00\x02{}\xff\xd8"
KINDS = [
    STATUS,
    GAP,
    {"type": "weather", "sun": True},
    {"type": "reply", "id": "nobody's", "ping": {}},
    {"type": "status", "subject": "roof", "ts": 1.0, "epoch": "e1", "state": "wet"},
    PICTURE,
]
"""One of each message but for results; two of them are unknown."""


async def take(feed: Any, count: int) -> list[Any]:
    async with asyncio.timeout(WAIT_S):
        return [await anext(feed) for _ in range(count)]


@pytest.mark.parametrize("format_", ["json", "msgpack"])
@pytest.mark.parametrize("ack", ["auto", 1, 2, 7])
async def test_every_message_is_counted_whatever_its_type(ack: Any, format_: Any) -> None:
    async def part(line: Line) -> None:
        await line.send(result(1), result(1), *KINDS, result(2))  # the second 1 is told twice
        await line.until(lambda: line.acked == line.sent)

    async with (
        ScriptedGateway(part) as gateway,
        connect(gateway.url, ack=ack, format=format_) as feed,
    ):
        assert [each.seq for each in await take(feed, 2)] == [1, 2]
        waiting = asyncio.ensure_future(anext(feed))
        await gateway.lines[0].until(lambda: gateway.lines[0].acked == 9)
        waiting.cancel()


async def test_a_message_is_acknowledged_when_the_next_is_asked_for_and_not_before() -> None:
    async def part(line: Line) -> None:
        await line.send(result(1), result(2), result(3))

    async with ScriptedGateway(part) as gateway, connect(gateway.url, ack=3) as feed:
        line = gateway.lines[0]
        for seq in (1, 2, 3):
            assert [each.seq for each in await take(feed, 1)] == [seq]
            await line.in_step()
            assert line.acked == seq - 1, "its handler is still at it"


async def test_a_full_window_does_not_keep_a_command_from_its_answer() -> None:
    async def part(line: Line) -> None:
        await line.send(result(1))
        command = await line.next()
        await line.send(result(2), result(3), PICTURE)
        await line.reply(command, ping={})
        await line.send(result(4))

    async with ScriptedGateway(part) as gateway, connect(gateway.url, ack=1) as feed:
        assert [each.seq for each in await take(feed, 1)] == [1]
        await feed.ping()
        assert gateway.lines[0].acked == 4, "what it read past, and not the answer"
        assert [each.seq for each in await take(feed, 3)] == [2, 3, 4]


async def test_without_ack_nothing_is_acknowledged() -> None:
    async def part(line: Line) -> None:
        await line.send(*map(result, range(10)))

    async with ScriptedGateway(part) as gateway, connect(gateway.url, ack=None) as feed:
        await take(feed, 10)
        await gateway.lines[0].in_step()
        assert gateway.lines[0].acked == 0
        assert "ack" not in gateway.lines[0].query


async def test_a_line_that_takes_nothing_does_not_stop_the_reader() -> None:
    """It reads what comes as long as something comes."""
    count = 2000

    async def part(line: Line) -> None:
        line.window = None  # or it would stop first
        line.connection.transport.pause_reading()
        await go.wait()
        await line.send(*map(result, range(count)))

    go = asyncio.Event()
    async with ScriptedGateway(part) as gateway, connect(gateway.url, ack=1000) as feed:
        assert feed._line is not None
        transport = feed._line._connection.transport
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
        transport.set_write_buffer_limits(0)
        go.set()
        assert len(await take(feed, count)) == count
        assert transport.get_write_buffer_size() > 0, "it took all of them"
        gateway.lines[0].window = 1000
        gateway.lines[0].connection.transport.resume_reading()
        waiting = asyncio.ensure_future(anext(feed))
        await gateway.lines[0].until(lambda: gateway.lines[0].acked == count)
        waiting.cancel()


async def test_pings_are_answered_however_long_a_message_takes_its_handler() -> None:
    """All that the window allows may have come behind it."""

    async def part(line: Line) -> None:
        await line.send(*map(result, range(100)))
        await line.in_step()
        answered.set()

    answered = asyncio.Event()
    async with ScriptedGateway(part) as gateway, connect(gateway.url, ack=100) as feed:
        await take(feed, 1)
        await asyncio.wait_for(answered.wait(), WAIT_S)


async def test_an_acknowledgement_on_a_line_that_ended_is_no_error() -> None:
    async def first(line: Line) -> None:
        await line.send(result(1))
        line.cut()

    async def second(line: Line) -> None:
        await line.send(resumed(1, True), result(2))

    async with ScriptedGateway(first, second) as gateway, connect(gateway.url, **NO_WAIT) as feed:
        await take(feed, 1)
        assert feed._line is not None
        await asyncio.wait_for(feed._line._connection.wait_closed(), WAIT_S)
        assert [each.seq for each in await take(feed, 1)] == [2]


# ---- gateways older than this ---------------------------------------------------------------


async def older(line: Line) -> None:
    """Knows no `ack`."""
    if "ack" in line.query:
        line.window = None
        message = 'unknown option "ack"; did you mean "max_fps"?'
        await line.send({"type": "reply", "error": {"code": 104, "message": message}})
        await line.connection.close(4400, message)
    else:
        await line.send(*(resumed(seq, True) for _, seq in since(line).values()))
        await line.send(result(1 + len(since(line))), result(2 + len(since(line))))
        await line.next()
        await line.connection.close(1001)


async def test_an_older_gateway_is_asked_again_without(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "framefan.client")
    async with (
        ScriptedGateway(older) as gateway,
        connect(gateway.url, backoff_first_s=600, backoff_cap_s=600) as feed,
    ):
        messages = feed.messages()
        assert [each.seq for each in await take(messages, 2)] == [1, 2], "and nothing else is told"
        assert ["ack" in line.query for line in gateway.lines] == [True, False]
        assert not caplog.records
        assert feed.contract["ack"] is None


async def test_it_is_not_asked_a_third_time() -> None:
    async def never(line: Line) -> None:
        line.window = None
        message = 'unknown option "ack"; what else'
        await line.send({"type": "reply", "error": {"code": 104, "message": message}})
        await line.connection.close(4400)

    async with ScriptedGateway(never) as gateway, connect(gateway.url, **NO_WAIT) as feed:
        with pytest.raises(Refused, match="4400"):
            await take(feed, 1)
        assert len(gateway.lines) == 2


async def test_another_unknown_option_is_an_error_at_once() -> None:
    async def part(line: Line) -> None:
        message = 'unknown option "lable"; did you mean "label"?'
        await line.send({"type": "reply", "error": {"code": 104, "message": message}})
        await line.connection.close(4400)

    async with ScriptedGateway(part) as gateway, connect(f"{gateway.url}?lable=x") as feed:
        with pytest.raises(Refused, match="4400"):
            await take(feed, 1)
        assert len(gateway.lines) == 1


# ---- coming back in `latest` ----------------------------------------------------------------


async def test_a_return_to_the_newest_is_told_as_missed() -> None:
    async def first(line: Line) -> None:
        await line.send(result(1), result(2))
        await line.until(lambda: line.acked == 2)
        line.cut()

    async def second(line: Line) -> None:
        assert since(line) == {"cam": ("e1", 2)}
        await line.send(resumed(2, False), result(40, missed_by={"history": 37}), result(41))

    async with ScriptedGateway(first, second) as gateway, connect(gateway.url, **NO_WAIT) as feed:
        assert [each.seq for each in await take(feed, 4)] == [1, 2, 40, 41]
        assert feed.missed == {"cam": {"history": 37}}
        assert feed.recovered is False


# ---- all of it at once ----------------------------------------------------------------------

message_kinds = st.sampled_from(["result"] * 4 + ["repeated", "status", "unknown", "picture"])
connections = st.tuples(st.lists(message_kinds, max_size=12), st.sampled_from(["cut", "close"]))
client_steps = st.lists(st.sampled_from(["next"] * 3 + ["ping", "cancel", "pause"]), max_size=30)


class _Script:
    """Sends so many messages of these kinds, each result once, and answers every command."""

    def __init__(self) -> None:
        self.seq = 0
        self.at: dict[int, tuple[Line, int]] = {}
        """Which message on which line a result was."""
        self.total = 0

    def plays(self, kinds: list[str], end: str) -> Any:
        async def part(line: Line) -> None:
            for camera, (epoch, seq) in since(line).items():
                await line.send(resumed(seq, True, camera, epoch))
            for kind in kinds:
                await self._answer(line)
                await line.send(self._message(line, kind))
            while end == "stay":
                await line.until(lambda: bool(line._commands))
                await self._answer(line)
            if end == "close":
                await line.connection.close(1001)
            else:
                await line.in_step()
                line.cut()

        return part

    async def _answer(self, line: Line) -> None:
        while line._commands:
            await line.reply(await line.next(), ping={})

    def _message(self, line: Line, kind: str) -> Any:
        if kind == "result":
            self.seq += 1
            self.at[self.seq] = line, line.sent + 1
        elif kind != "repeated" or not self.seq:
            return {"unknown": {"type": "weather"}, "picture": PICTURE}.get(kind, STATUS)
        return msgspec.msgpack.encode(result(self.seq))


class _Driver:
    """A program that reads, in steps as they come."""

    def __init__(self, feed: Feed, script: _Script) -> None:
        self.feed = feed
        self.script = script
        self.got: list[int] = []

    async def step(self, step: str) -> None:
        if step == "ping":
            await self.feed.ping(timeout_s=WAIT_S)
        elif step == "pause":
            for _ in range(5):
                await asyncio.sleep(0)
        else:
            await self._read(patient=step == "next")

    async def _read(self, patient: bool) -> None:
        if patient and len(self.got) == self.script.total:
            return  # there is no other
        reading = asyncio.ensure_future(anext(self.feed))
        if not patient:
            for _ in range(3):
                await asyncio.sleep(0)
            reading.cancel()
        try:
            outcome = await asyncio.wait_for(reading, WAIT_S)
        except asyncio.CancelledError:
            return
        line, number = self.script.at[outcome.seq]
        commanded = line.got or line._commands
        assert commanded or line.acked < number, "its handler is still at it"
        self.got.append(outcome.seq)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    told=st.lists(connections, max_size=4),
    last=st.lists(message_kinds, max_size=12),
    steps=client_steps,
    ack=st.sampled_from(["auto", 1, 2, 5]),
)
def test_over_any_cuts_commands_and_handlers_each_message_is_acknowledged_in_its_time(
    told: list[tuple[list[str], str]], last: list[str], steps: list[str], ack: Any
) -> None:
    """What an acknowledgement must never be, the scripted gateway checks at each of them."""

    async def play() -> None:
        script = _Script()
        parts = [script.plays(*each) for each in told] + [script.plays(last, "stay")]
        script.total = sum(kinds.count("result") for kinds, _ in told) + last.count("result")
        async with (
            ScriptedGateway(*parts) as gateway,
            connect(gateway.url, ack=ack, **NO_WAIT) as feed,
        ):
            driver = _Driver(feed, script)
            for step in steps:
                await driver.step(step)
            while len(driver.got) < script.total:
                await driver.step("next")
            waiting = asyncio.ensure_future(_read_on(feed))
            async with asyncio.timeout(WAIT_S):
                while len(gateway.lines) <= len(told):
                    await asyncio.sleep(0)
                line = gateway.lines[-1]
                while not (line.sent >= len(last) and line.acked == line.sent):
                    await asyncio.sleep(0)
            waiting.cancel()
            assert driver.got == list(range(1, script.total + 1))

    asyncio.run(play())


async def _read_on(feed: Feed) -> None:
    async for message in feed.messages():
        assert not hasattr(message, "seq") or isinstance(message, Resumed)


@pytest.mark.parametrize("ack", [0, 1001, -1, True, "N"])
def test_what_no_gateway_takes_is_refused_at_once(ack: Any) -> None:
    with pytest.raises(UsageError, match="not possible"):
        connect(ack=ack)


def test_an_address_may_say_it_as_for_other_libraries() -> None:
    url = "ws://h/ws?ack=auto"
    assert asking(url, {"ack": "auto", "max_fps": 5}, {}) == f"{url}&max_fps=5"
