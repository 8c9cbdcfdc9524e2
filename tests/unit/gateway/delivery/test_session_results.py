"""What a real server sends a client, by its subscription, and across a change of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any
from unittest import mock

import pytest
from gateway_server import Gateway, running, until
from talk import CAR, DOG, PERSON, labels, seqs, talking


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with running(cameras=("cam", "other"), inbound_per_s=1e6) as made:
        yield made


# ---- what is sent --------------------------------------------------------------------------------


async def test_labels_and_confidence_leave_detections_out_and_results_in(gateway: Gateway) -> None:
    async with (
        talking(gateway, "?label=person,dog") as named,
        talking(gateway, "?min_confidence=0.6") as sure,
        talking(gateway, "?label=person,dog&min_confidence=0.6") as both,
        talking(gateway) as every,
    ):
        everybody = (named, sure, both, every)
        for talk in everybody:
            await talk.ready()
        gateway.publish(payload=[PERSON, CAR, DOG])
        gateway.publish(payload=[CAR])
        gateway.publish(payload=[])
        gateway.publish(kind="value", payload={"label": "x"})
        gateway.publish(kind="error")
        found = [await talk.results(5) for talk in everybody]
        for messages in found:
            assert [message["missed"] for message in messages] == [0] * 5
            assert messages[3]["result"] == {"label": "x"}
            assert messages[4]["type"] == "error"
        assert [[labels(message) for message in messages[:3]] for messages in found] == [
            [["person", "dog"], [], []],
            [["person", "car"], ["car"], []],
            [["person"], [], []],
            [["person", "car", "dog"], ["car"], []],
        ]


@pytest.mark.parametrize("delivery", ["latest", "every"])
async def test_nonempty_leaves_results_out_and_counts_them(gateway: Gateway, delivery: str) -> None:
    async with talking(gateway, f"?nonempty=1&label=person&delivery={delivery}") as talk:
        await talk.ready()
        for payload in ([PERSON], [CAR], [], [PERSON], [CAR]):
            gateway.publish(payload=payload)
        gateway.publish(kind="error")
        gateway.publish(kind="value", payload={})
        gateway.publish(kind="value", payload=1)
        found = await talk.results(4)
        assert [(m["seq"], m.get("missed_by", {})) for m in found] == [
            (0, {}),
            (3, {"filtered": 2}),
            (5, {"filtered": 1}),
            (7, {"filtered": 1}),
        ]


@pytest.mark.parametrize("delivery", ["latest", "every"])
async def test_max_fps_leaves_results_out_and_counts_them(gateway: Gateway, delivery: str) -> None:
    async with talking(gateway, f"?max_fps=10&delivery={delivery}") as talk:
        await talk.ready()
        for n in range(60):
            gateway.publish(captured_at=1000 + n / 30)
        found = await talk.results(20)
        assert [m["seq"] for m in found] == list(range(0, 60, 3))
        assert [m.get("missed_by") for m in found[1:]] == [{"max_fps": 2}] * 19


@pytest.mark.parametrize(
    ("query", "first"),
    [
        ("", [9]),
        ("?history=1", [9]),
        ("?history=0", []),
        ("?history=3", [7, 8, 9]),
        ("?history=100", list(range(10))),
        ("?history=3&delivery=every", [7, 8, 9]),
        ("?history=3&camera=other", []),
        ("?history=3&nonempty=1&label=car", [3, 6, 9]),
    ],
)
async def test_a_newcomer_first_gets_the_last_of_each_camera(
    gateway: Gateway, query: str, first: list[int]
) -> None:
    for n in range(10):
        gateway.publish(payload=[CAR] if n % 3 == 0 else [PERSON])
    async with talking(gateway, query) as talk:
        assert seqs(await talk.caught_up(gateway)) == first
        gateway.publish(payload=[CAR])
        if "other" not in query:
            (live,) = await talk.results(1)
            assert (live["seq"], live["missed"]) == (10, 0)


async def test_history_of_a_command_is_for_the_cameras_that_are_new(gateway: Gateway) -> None:
    for n in range(6):
        gateway.publish(("cam", "other")[n % 2])
    async with talking(gateway, "?camera=cam") as talk:
        assert seqs(await talk.caught_up(gateway)) == [2]
        await talk.ask("subscribe", cameras=["cam", "other"], history=2)
        seen = await talk.caught_up(gateway)
        assert [(m["camera"], m["seq"]) for m in seen] == [("other", 1), ("other", 2)]


# ---- a subscription that changes while results flow ------------------------------------------

CHANGES: list[dict[str, Any]] = [
    {"max_fps": 12},
    {"labels": ["person"], "nonempty": True},
    {"delivery": "every"},
    {"max_fps": None, "labels": None},
    {"format": "msgpack"},
    {"nonempty": False, "max_fps": 7},
    {"delivery": "latest", "min_confidence": 0.5},
    {"format": "json", "max_fps": 0},
]


async def test_what_is_missed_is_exact_across_changes_while_results_flow(gateway: Gateway) -> None:
    moment, published = 1000.0, 0

    def publish(count: int) -> None:
        nonlocal moment, published
        for _ in range(count):
            moment += 1 / 30
            kind = ("detections", "detections", "error", "lost", "detections")[published % 5]
            payload = {"payload": [CAR] if published % 2 else [PERSON]}
            gateway.publish(
                captured_at=moment, kind=kind, **(payload if kind == "detections" else {})
            )
            published += 1

    async with talking(gateway) as talk:
        await talk.ready()
        publish(1)
        for number, change in enumerate(CHANGES * 3):
            if number % 3 == 0:  # each subscription has, once, all that was published under it
                await until(lambda: not gateway.hub.waiting)
            publish(7)
            await talk.client.send(json.dumps({"id": published, "subscribe": change}))
            publish(5)
            answer = await talk.reply()
            assert "subscribe" in answer
            publish(11)
        gateway.seq += 3  # the bus lost some
        await talk.ask("subscribe", max_fps=None, nonempty=False, labels=None)
        publish(5)
        seen = await talk.caught_up(gateway)
        check_holes(seen)
        told = [message for message in seen if message["type"] in ("result", "error", "gap")]
        last = [m.get("seq", m.get("last_seq")) for m in told][-1]
        assert last == gateway.seq - 1
        assert len(seqs(told)) + sum(m["missed"] for m in told) == gateway.seq
        causes = {cause for message in told for cause in message.get("missed_by", ())}
        assert causes - {"conflated"} == {"max_fps", "filtered", "lost", "bus"}


def check_holes(messages: list[dict[str, Any]]) -> None:
    """Each message's `missed`, less what gaps have told, is the hole in `seq` before it."""
    expected = None
    for message in messages:
        if message["type"] == "gap":
            assert message["missed"] == message["last_seq"] - message["first_seq"] + 1
            expected = None if expected is None else expected + message["missed"]
        elif message["type"] in ("result", "error"):
            assert sum(message.get("missed_by", {}).values()) == message["missed"]
            if expected is not None:
                assert message["seq"] == expected + message["missed"], message
            expected = message["seq"] + 1


@pytest.mark.parametrize("delivery", ["latest", "every"])
async def test_max_fps_holds_across_changes_of_other_options(delivery: str) -> None:
    at, results, every_s = 100.0, 30, 0.3
    async with running() as gateway, talking(gateway, f"?max_fps=1&delivery={delivery}") as talk:
        for number in range(results):
            await talk.ask("subscribe", labels=[f"label-{number}"])
            gateway.publish(captured_at=at + number * every_s)
        await talk.caught_up(gateway)
        account = next(iter(gateway.server._connections))._client
        assert account is not None
        totals = account.cursor.account()
        assert totals.sent <= results * every_s + 1
        assert totals.offered == results


async def test_a_client_that_is_slow_from_the_start_gets_newer_results() -> None:
    cameras = ("a", "b", "c", "d")
    async with running() as gateway:
        for camera in cameras:
            gateway.publish(camera)
        async with talking(gateway, "?ack=1") as talk:
            first = await talk.next()
            for camera in cameras:
                gateway.publish(camera)
            gateway.server.flush()
            for count in range(1, 1 + len(cameras)):
                await talk.client.send(json.dumps({"ack": count}))
                message = await talk.next()
                assert message["seq"] == 1
                assert message["missed"] == 0
            assert first["seq"] == 0


async def test_first_results_of_many_cameras_come_in_one_write() -> None:
    async with running() as gateway:
        for number in range(20):
            gateway.publish(f"cam{number}")
        gateway.server.flush()
        gateway.server.crowd = mock.Mock(is_joining=lambda _now: True, join=lambda _now: None)
        async with talking(gateway) as talk:
            seen = await talk.results(20)
            assert {each["camera"] for each in seen} == {f"cam{number}" for number in range(20)}
            (connection,) = gateway.server._connections
            assert connection._keepalive._last_ping <= 2
