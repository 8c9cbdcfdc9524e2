"""framefan.client against a real run: cuts, dead gateways, dead pools, commands and refusals."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from runs import Run, assert_exactly_once
from waiting import SCALE, pause, wait_until

from framefan.base import clock
from framefan.client import CommandFailed, Feed, Refused, connect, connect_sync
from framefan.ipc.protocol import Failure, Gap, Result, Resumed

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLES = Path(__file__).parents[2] / "examples"
WAIT_S = 60.0 * SCALE
QUICKLY = {"backoff_first_s": 0.05}


@pytest.fixture(scope="module")
def run() -> Iterator[Run]:
    with Run("front=demo?size=320x240", "back=demo?size=320x240&seed=2") as run:
        yield run


async def take(feed: Feed, count: int) -> list[Any]:
    """So many outcomes, and the gaps and answers between them."""
    found: list[Any] = []
    outcomes = 0
    async with asyncio.timeout(WAIT_S):
        async for message in feed.messages():
            if isinstance(message, Result | Failure | Gap | Resumed):
                found.append(message)
            outcomes += isinstance(message, Result | Failure)
            if outcomes == count:
                break
    return found


def assert_accounted(messages: list[Any]) -> None:
    """Per camera and epoch, each hole in `seq` is exactly what was told as missed."""
    at: dict[tuple[str, str], int] = {}
    for each in messages:
        if isinstance(each, Resumed):
            continue
        key, last = (each.camera, each.epoch), at.get((each.camera, each.epoch))
        first = each.first_seq if isinstance(each, Gap) else each.seq
        skipped = 0 if isinstance(each, Gap) else each.missed
        assert last is None or first == last + 1 + skipped, (key, last, each)
        at[key] = each.last_seq if isinstance(each, Gap) else each.seq


def cut(feed: Feed) -> None:
    """As a cable is cut: neither side says a word."""
    assert feed._line is not None
    feed._line._connection.transport.abort()


@pytest.mark.parametrize("delivery", ["latest", "every"])
@pytest.mark.parametrize("format_", ["json", "msgpack", "protobuf"])
def test_cuts_leave_no_hole(run: Run, delivery: Any, format_: Any) -> None:
    outcomes = run.results("front", "back")

    async def read() -> tuple[list[Any], dict[str, dict[str, int]]]:
        found = []
        asked = connect(run.ws, delivery=delivery, format=format_, **QUICKLY)
        async with asked as feed:
            for _ in range(5):
                found += await take(feed, 30)
                cut(feed)
            found += await take(feed, 30)
        return found, feed.missed

    messages, missed = asyncio.run(read())
    resumed = [each for each in messages if isinstance(each, Resumed)]
    assert len(resumed) == 10
    # In `latest` what lies between is not sent, and told.
    left_out = any("history" in causes for causes in missed.values())
    assert all(each.recovered for each in resumed) is not left_out
    assert delivery == "latest" or not left_out
    assert_accounted(messages)
    published = outcomes.read()
    outcomes.close()
    assert_exactly_once(published)
    if delivery == "every":
        for camera in ("front", "back"):
            got = [each.seq for each in messages if is_result(each) and each.camera == camera]
            told = [each.seq for each in published if each.camera == camera and each.kind != "lost"]
            # What was before it listened, or comes to it later than to the client, it cannot tell.
            got = [seq for seq in got if told[0] <= seq <= told[-1]]
            assert got == [seq for seq in told if got[0] <= seq <= got[-1]]


@pytest.mark.alone
@pytest.mark.parametrize("how", ["awaits", "blocks", "sync"])
def test_a_slow_loop_gets_what_is_new_when_it_asks(run: Run, how: str) -> None:
    """Two cameras take turns, so a result may be as old as two turns of the loop."""
    turn_s, turns = 0.4, 12

    async def read() -> list[Any]:
        found = []
        async with connect(run.ws) as feed:
            for _ in range(turns):
                each = await asyncio.wait_for(anext(feed), WAIT_S)
                found.append((each, clock.wall()))
                if how == "awaits":
                    await asyncio.to_thread(pause, turn_s)
                else:
                    pause(turn_s)
        return found

    def read_sync() -> list[Any]:
        found = []
        with connect_sync(run.ws) as feed:
            for each in feed:
                found.append((each, clock.wall()))
                if len(found) == turns:
                    return found
                pause(turn_s)
        raise AssertionError

    found = read_sync() if how == "sync" else asyncio.run(read())
    assert_accounted([each for each, _ in found])
    ages = [at - each.ts for each, at in found[2:]]
    assert max(ages) <= 2 * turn_s + 0.5 * SCALE, ages
    assert sum(each.missed for each, _ in found) > turns


def is_result(message: Any) -> bool:
    return isinstance(message, Result)


def test_a_dead_gateway_costs_only_the_reported_results() -> None:
    with Run("demo?size=320x240") as run:

        async def read() -> tuple[list[Any], bool | None, dict[str, dict[str, int]]]:
            async with connect(run.ws, delivery="every", **QUICKLY) as feed:
                found = await take(feed, 30)
                killing = asyncio.to_thread(kill, run, "gateway")
                _, more = await asyncio.gather(killing, take(feed, 200))
                return found + more, feed.recovered, feed.missed

        messages, recovered, missed = asyncio.run(read())
        assert_accounted(messages)
        assert len({each.epoch for each in messages}) == 1
        told = sum(each.missed for each in messages if not isinstance(each, Resumed))
        assert sum(sum(causes.values()) for causes in missed.values()) == told
        assert recovered is (missed.get("demo", {}).get("history", 0) == 0)


def test_a_dead_pool_is_a_new_epoch() -> None:
    with Run("demo?size=320x240") as run:

        async def read() -> list[Any]:
            async with connect(run.ws, delivery="every", **QUICKLY) as feed:
                found = await take(feed, 10)
                await asyncio.to_thread(kill, run, "pool")
                while len({each.epoch for each in found}) == 1:
                    found += await take(feed, 1)
                cut(feed)
                return found + await take(feed, 30)

        messages = asyncio.run(read())
        assert_accounted(messages)
        epochs = [each.epoch for each in messages]
        assert epochs == sorted(epochs, key=epochs.index), "no epoch comes back"
        assert len(set(epochs)) == 2


def kill(run: Run, stage: str) -> None:
    old = run.pid_of(stage)
    os.kill(old, signal.SIGKILL)
    wait_until(lambda: _other(run, stage, old), 30, f"a new {stage}")


def _other(run: Run, stage: str, old: int) -> bool:
    with contextlib.suppress(IndexError, AssertionError):
        return run.pid_of(stage) not in (0, old)
    return False


def test_commands_change_what_comes_and_outlive_a_cut(run: Run) -> None:
    async def read() -> None:
        async with connect(run.ws, **QUICKLY) as feed:
            assert 0 < await feed.ping() < 10
            contract = await feed.subscribe(cameras="back", max_fps=5, min_confidence=0.1)
            assert (contract["cameras"], contract["max_fps"]) == (["back"], 5)
            await feed.ping()
            while feed._held:  # what was on its way before the change
                await feed.next_message()
            assert {each.camera for each in await take(feed, 5)} == {"back"}
            cut(feed)
            assert {each.camera for each in await take(feed, 5)} == {"back"}
            assert feed.missed["back"].get("max_fps", 0) > 0
            with pytest.raises(CommandFailed, match="frnt") as caught:
                await feed.subscribe(cameras=["frnt"])
            assert (caught.value.code, caught.value.temporary) == (102, False)
            with pytest.raises(CommandFailed) as caught:
                await feed.subscribe(max_fps=-1)
            assert caught.value.code == 103
            assert (await feed.unsubscribe())["cameras"] == []
            cut(feed)
            await feed.ping()
            assert feed.contract["cameras"] == []
            while feed._held:
                await feed.next_message()
            await feed.subscribe(cameras=["front"])
            assert {each.camera for each in await take(feed, 5)} == {"front"}

    asyncio.run(read())


def test_history_and_filters_by_address(run: Run) -> None:
    async def read() -> None:
        async with connect(run.ws, cameras=["front"], history=15, delivery="every") as feed:
            found = await take(feed, 20)
            assert_accounted(found)
            assert found[0].missed == 0
        asked = connect(run.ws, cameras="front", labels=["no such label"], history=1)
        async with asked as feed:
            assert [each.detections for each in await take(feed, 5)] == [[]] * 5

    asyncio.run(read())


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ({"cameras": ["frnt"]}, 'unknown camera "frnt"; known: back, front'),
        ({"max_fps": -1}, "max_fps"),
        ({"min_confidence": 2}, "min_confidence"),
        ({"delivery": "some"}, "delivery"),
    ],
)
def test_what_there_is_not_is_refused(run: Run, asked: dict[str, Any], text: str) -> None:
    async def read() -> None:
        async with connect(run.ws, **asked) as feed:
            await take(feed, 1)

    with pytest.raises(Refused) as caught:
        asyncio.run(read())
    assert caught.value.code == 4400
    assert text in caught.value.why


def test_another_host_and_a_wrong_path_are_refused(run: Run) -> None:
    async def read(url: str) -> None:
        async with connect(url) as feed:
            await take(feed, 1)

    with pytest.raises(Refused, match="answered 404"):
        asyncio.run(read(f"{run.url}/elsewhere"))


def test_a_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("TOKEN\n")
    with Run("demo?size=160x120", "--token-file", str(tmp_path / "token")) as run:

        async def read(token: str | None) -> None:
            async with connect(run.ws, token=token) as feed:
                await take(feed, 1)

        for token, code in (("wrong", 401), (None, 4401)):
            with pytest.raises(Refused) as caught:
                asyncio.run(read(token))
            assert caught.value.code == code
            assert "token" in caught.value.why
            assert "token" in caught.value.fix
        asyncio.run(read("TOKEN"))


def test_the_example_tells_what_it_sees_and_what_is_refused(run: Run) -> None:
    program = [sys.executable, str(EXAMPLES / "follow.py")]
    at_once = os.environ | {"PYTHONUNBUFFERED": "1"}
    following = subprocess.Popen(
        [*program, run.url, "front"], stdout=subprocess.PIPE, text=True, env=at_once
    )
    try:
        assert following.stdout is not None
        line = following.stdout.readline()
        following.send_signal(signal.SIGINT)
        assert following.wait(30 * SCALE) == 0
    finally:
        following.kill()
        following.communicate()
    assert re.fullmatch(r"front \d+: motion(, motion)*\n", line)
    refused = subprocess.run(
        [*program, run.url, "frnt"], capture_output=True, text=True, timeout=60, check=False
    )
    assert refused.returncode == 1
    assert "why: unknown camera" in refused.stderr
