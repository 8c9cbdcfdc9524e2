"""The Python client without coroutines: the same feed, from a thread that blocks."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from scripted_gateway import WAIT_S, Line, ScriptedGateway, result, resumed, since
from waiting import wait_until

from framefan.client import CommandFailed, Refused, SyncFeed, Unreachable, connect_sync
from framefan.client.sync_feed import LoopThread
from framefan.ipc.protocol import Reply, Resumed, Status

NO_WAIT = {"backoff_first_s": 0.0}
STATUS = {"type": "status", "ts": 1.0, "epoch": "e1", "subject": "pool", "state": "live"}
CONTRACT = {"cameras": ["cam"], "delivery": "every", "max_fps": 5.0}


@contextlib.contextmanager
def scripted(*parts: Any) -> Iterator[ScriptedGateway]:
    """In a thread of its own; afterwards no thread of a client is left."""
    gateway, thread = ScriptedGateway(*parts), LoopThread()
    thread.run(gateway.__aenter__())
    try:
        yield gateway
    finally:
        thread.run(gateway.__aexit__())
        thread.stop()
    assert [each.name for each in threading.enumerate() if each.name == "framefan.client"] == []


def take(feed: Iterator[Any], count: int) -> list[Any]:
    return [next(feed) for _ in range(count)]


async def waits(line: Line) -> None:
    """Says nothing until it is told to say the next result."""
    while True:
        command = await line.next()
        await line.send(result(command["id"]))


async def first(line: Line) -> None:
    await line.send(STATUS, result(1), result(2))
    await line.until(lambda: line.acked == 3)
    line.cut()


async def second(line: Line) -> None:
    assert since(line) == {"cam": ("e1", 2)}
    await line.send(resumed(2, False), result(9, missed_by={"history": 6}))


def test_it_reads_comes_back_and_counts_as_the_other() -> None:
    with scripted(first, second) as gateway, connect_sync(gateway.url, **NO_WAIT) as feed:
        assert feed.url == gateway.url
        assert feed.connected
        assert feed.recovered is None
        messages = take(feed.messages(), 2)
        assert isinstance(messages[0], Status)
        assert [each.seq for each in take(feed, 2)] == [2, 9]
        assert feed.missed == {"cam": {"history": 6}}
        assert feed.recovered is False
        assert gateway.lines[0].query["ack"] == "auto"


def test_iterating_connect_sync_itself() -> None:
    async def part(line: Line) -> None:
        await line.send(*map(result, range(9)))

    with scripted(part) as gateway:
        found = []
        for each in connect_sync(gateway.url):
            found.append(each.seq)
            if len(found) == 3:
                break
        del each
        wait_until(lambda: gateway.lines[0]._closed)
    assert found == [0, 1, 2]


def test_commands() -> None:
    async def part(line: Line) -> None:
        command = await line.next()
        await line.send(result(1))
        await line.reply(command, subscribe=CONTRACT)
        await line.reply(await line.next(), unsubscribe=CONTRACT | {"cameras": []})
        await line.reply(await line.next(), ping={})
        error = {"code": 102, "message": "unknown camera", "temporary": False}
        await line.reply(await line.next(), error=error)

    with scripted(part) as gateway, connect_sync(gateway.url) as feed:
        assert feed.subscribe(cameras="cam", delivery="every", max_fps=5)["delivery"] == "every"
        assert feed.unsubscribe("cam")["cameras"] == []
        assert feed.contract["cameras"] == []
        assert feed.ping() > 0
        with pytest.raises(CommandFailed, match="unknown camera"):
            feed.subscribe(cameras=["frnt"])
        with pytest.raises(TypeError, match="lables"):
            feed.subscribe(lables=["person"])  # type: ignore[call-arg]
        subscribed = {"cameras": ["cam"], "delivery": "every", "max_fps": 5}
        assert gateway.lines[0].got[0] == {"id": 1, "subscribe": subscribed}
        assert [type(each) for each in take(feed.messages(), 2)][1] is Reply


def test_what_cannot_be_had_is_raised() -> None:
    with scripted(401) as gateway, pytest.raises(Refused, match="401"), connect_sync(gateway.url):
        pass
    with pytest.raises(Unreachable), connect_sync("ws://127.0.0.1:1", connect_s=0):
        pass


def test_one_connect_sync_is_one_feed_at_a_time() -> None:
    with scripted(waits) as gateway:
        asked = connect_sync(gateway.url)
        with asked, pytest.raises(RuntimeError, match="in use"), asked:
            pass
        with asked as feed:
            assert feed.connected


def test_a_wait_can_have_an_end_and_loses_nothing() -> None:
    with scripted(waits) as gateway, connect_sync(gateway.url) as feed:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                feed.next_message(timeout_s=0.01)
        with pytest.raises(TimeoutError):
            feed.ping(timeout_s=0.01)
        assert feed.next_message(timeout_s=WAIT_S).seq == 1


def test_messages_are_acknowledged_as_the_loop_asks_and_pings_answered_while_it_does_not() -> None:
    async def part(line: Line) -> None:
        await line.send(result(1), result(2), result(3))
        for acked in (0, 1, 2):
            await line.until(lambda acked=acked: line.acked == acked)
            await line.in_step()
            assert line.acked == acked
            done.append(acked)

    done: list[int] = []
    with scripted(part) as gateway, connect_sync(gateway.url, ack=3) as feed:
        for seq in (1, 2, 3):
            assert next(feed).seq == seq
            wait_until(lambda seq=seq: done[-1:] == [seq - 1])  # without reading


def test_ctrl_c_ends_a_wait_and_loses_nothing() -> None:
    with scripted(waits) as gateway, connect_sync(gateway.url) as feed:
        main = threading.get_ident()
        for number in range(1, 4):
            interrupting = threading.Thread(target=_interrupt_in_wait, args=(feed, main))
            interrupting.start()
            with pytest.raises(KeyboardInterrupt):
                next(feed)
            interrupting.join()
            feed._thread.run(feed._feed._line.send({"id": number}))
            assert next(feed).seq == number


def _interrupt_in_wait(feed: SyncFeed, thread: int) -> None:
    wait_until(feed._feed._reading.locked)
    signal.pthread_kill(thread, signal.SIGINT)


def test_what_came_as_ctrl_c_did_is_there_for_the_next() -> None:
    """The wait is over for the thread that reads, and not yet for the one that was interrupted."""
    with scripted(waits) as gateway, connect_sync(gateway.url) as feed:
        feed._thread.run(feed._feed._line.send({"id": 1}))
        feed._thread.run(feed._next(WAIT_S))
        assert next(feed).seq == 1


def test_ctrl_c_while_it_connects_leaves_nothing() -> None:
    main = threading.get_ident()
    with scripted(503) as gateway:
        asked = connect_sync(gateway.url, backoff_first_s=600, backoff_cap_s=600)
        interrupting = threading.Thread(
            target=lambda: (
                wait_until(lambda: gateway.refused),
                os.kill(os.getpid(), signal.SIGINT),
            )
        )
        assert main == threading.main_thread().ident
        interrupting.start()
        with pytest.raises(KeyboardInterrupt), asked:
            pass
        interrupting.join()


@pytest.mark.parametrize("count", [1, 4])
def test_closing_from_another_thread_ends_the_iteration(count: int) -> None:
    with scripted(waits) as gateway, connect_sync(gateway.url) as feed:
        found: list[list[Any]] = []
        threads = [threading.Thread(target=lambda: found.append(list(feed))) for _ in range(count)]
        for each in threads:
            each.start()
        wait_until(feed._feed._reading.locked)
        feed.close()
        for each in threads:
            each.join(WAIT_S)
        assert found == [[]] * count
        assert list(feed) == []
        with pytest.raises(Unreachable, match="closed"):
            feed.ping()
        feed.close()


def test_what_was_read_may_be_iterated_after_closing() -> None:
    async def part(line: Line) -> None:
        command = await line.next()
        await line.send(result(1), result(2))
        await line.reply(command, ping={})

    with scripted(part) as gateway:
        with connect_sync(gateway.url) as feed:
            feed.ping()
        assert [each.seq for each in feed] == [1, 2]


def test_several_threads_share_one_feed() -> None:
    count = 400

    async def part(line: Line) -> None:
        await line.send(*map(result, range(count)))

    with scripted(part) as gateway, connect_sync(gateway.url) as feed:
        found: list[int] = []
        threads = [threading.Thread(target=_read_all, args=(feed, found)) for _ in range(4)]
        for each in threads:
            each.start()
        wait_until(lambda: len(found) == count)
        feed.close()
        for each in threads:
            each.join(WAIT_S)
        assert sorted(found) == list(range(count))


def _read_all(feed: SyncFeed, found: list[int]) -> None:
    found.extend(each.seq for each in feed)


async def test_it_may_block_a_thread_that_has_an_event_loop() -> None:
    """As the cell of a notebook does."""
    assert asyncio.get_running_loop()
    with scripted(first, second) as gateway, connect_sync(gateway.url, **NO_WAIT) as feed:
        found = take(feed.messages(), 5)
    assert [type(each) for each in found][3] is Resumed
