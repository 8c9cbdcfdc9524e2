"""Coming back to a real server with `since`: wherever the client and the gateway stand."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from gateway_server import Gateway, running
from talk import CAR, PERSON, labels, seqs, talking


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with running(cameras=("cam", "other"), inbound_per_s=1e6) as made:
        yield made


async def back(gateway: Gateway, query: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What a client that comes back is told at once: `resumed`, and what follows."""
    async with talking(gateway, query) as talk:
        first, *rest = await talk.caught_up(gateway)
        assert first["type"] == "resumed"
        return first, rest


def resumed(seq: int, recovered: bool, epoch: str = "k3f9") -> dict[str, Any]:
    return {
        "type": "resumed",
        "v": 1,
        "camera": "cam",
        "epoch": epoch,
        "seq": seq,
        "recovered": recovered,
    }


async def test_an_every_client_gets_all_kept_results_in_order(gateway: Gateway) -> None:
    for n in range(10):
        gateway.publish(kind="lost" if n in (6, 7) else "detections")
    async with talking(gateway, "?since=cam:k3f9:3&delivery=every") as talk:
        first, *rest = await talk.caught_up(gateway)
        assert first == resumed(3, recovered=True)
        assert seqs(rest) == [4, 5, 8, 9]
        assert [m.get("missed_by", {}) for m in rest] == [{}, {}, {"lost": 2}, {}]
        gateway.publish()
        (live,) = await talk.results(1)
        assert (live["seq"], live["missed"]) == (10, 0)


async def test_a_latest_client_gets_only_the_newest_result(gateway: Gateway) -> None:
    """And what lies between is counted: else it would never catch up with a slow handler."""
    for n in range(10):
        gateway.publish(kind="lost" if n in (6, 7) else "detections")
    first, rest = await back(gateway, "?since=cam:k3f9:3")
    assert first == resumed(3, recovered=False)
    assert [(m["seq"], m["missed_by"]) for m in rest] == [(9, {"history": 5})]
    first, rest = await back(gateway, "?since=cam:k3f9:3&history=2")
    assert [(m["seq"], m.get("missed_by")) for m in rest] == [(8, {"history": 4}), (9, None)]
    first, rest = await back(gateway, "?since=cam:k3f9:8")
    assert first == resumed(8, recovered=True)
    assert [(m["seq"], m["missed"]) for m in rest] == [(9, 0)]


async def test_what_was_not_kept_is_counted_as_history() -> None:
    small = {"kind": "value", "payload": 1}
    async with running(history_bytes=4000) as gateway:
        for _ in range(10):
            gateway.publish(**small)
        first, rest = await back(gateway, "?since=cam:k3f9:2&delivery=every")
        assert first == resumed(2, recovered=False)
        assert rest[0]["missed_by"] == {"history": rest[0]["seq"] - 3}
        assert seqs(rest) == list(range(rest[0]["seq"], 10))
        assert rest[0]["seq"] > 3
        account = gateway.hub.left
        assert account.history == rest[0]["seq"] - 3
        assert account.offered == account.sent + account.missed


async def test_exactly_up_to_date(gateway: Gateway) -> None:
    for _ in range(4):
        gateway.publish()
    async with talking(gateway, "?since=cam:k3f9:3") as talk:
        assert await talk.caught_up(gateway) == [resumed(3, recovered=True)]
        gateway.publish()
        (live,) = await talk.results(1)
        assert (live["seq"], live["missed"]) == (4, 0)


async def test_another_epoch_is_not_recovered_and_counts_nothing(gateway: Gateway) -> None:
    for _ in range(4):
        gateway.publish()
    first, rest = await back(gateway, "?since=cam:older:77&delivery=every")
    assert first == resumed(77, recovered=False)
    assert seqs(rest) == [0, 1, 2, 3]
    assert all(message["missed"] == 0 for message in rest)


async def test_a_seq_of_the_epoch_before(gateway: Gateway) -> None:
    for _ in range(4):
        gateway.publish()
    gateway.seq = 0
    for _ in range(2):
        gateway.publish(epoch="newer")
    first, rest = await back(gateway, "?since=cam:k3f9:1&delivery=every")
    assert first == resumed(1, recovered=False, epoch="newer")
    assert [(m["epoch"], m["seq"]) for m in rest] == [
        ("k3f9", 2),
        ("k3f9", 3),
        ("newer", 0),
        ("newer", 1),
    ]


@pytest.mark.parametrize("delivery", ["latest", "every"])
async def test_what_this_gateway_has_not_reached_is_waited_for_and_never_repeated(
    gateway: Gateway, delivery: str
) -> None:
    for _ in range(3):
        gateway.publish()
    async with talking(gateway, f"?since=cam:k3f9:6&delivery={delivery}") as talk:
        assert await talk.caught_up(gateway) == []
        for _ in range(4):  # up to 6, which it had
            gateway.publish()
        assert await talk.caught_up(gateway) == []
        gateway.publish(kind="lost")
        gateway.publish()
        (live,) = await talk.results(1)
        first, *gaps = [message for message in talk.take() if message is not live]
        assert first == resumed(6, recovered=True)
        assert live["seq"] == 8
        assert live["missed"] + sum(gap["missed"] for gap in gaps) == 1


async def test_a_seq_ahead_and_then_another_epoch(gateway: Gateway) -> None:
    gateway.publish()
    async with talking(gateway, "?since=cam:k3f9:6") as talk:
        await talk.ready()
        gateway.seq = 0
        gateway.publish(epoch="newer")
        first, live = await talk.next(), await talk.next()
        assert first == resumed(6, recovered=False, epoch="newer")
        assert (live["epoch"], live["seq"], live["missed"]) == ("newer", 0, 0)


async def test_a_camera_of_which_nothing_has_come_is_waited_for(gateway: Gateway) -> None:
    async with talking(gateway, "?since=cam:k3f9:6") as talk:
        assert await talk.caught_up(gateway) == []
        gateway.seq = 10
        gateway.publish()
        first, live = await talk.next(), await talk.next()
        assert first == resumed(6, recovered=False)
        assert (live["seq"], live["missed_by"]) == (10, {"history": 3})


async def test_filters_hold_for_what_was_kept_too(gateway: Gateway) -> None:
    for n in range(8):
        gateway.publish(payload=[CAR] if n % 2 else [PERSON, CAR])
    query = "?since=cam:k3f9:0&nonempty=1&label=person&delivery=every"
    first, rest = await back(gateway, query)
    assert first == resumed(0, recovered=True)
    assert [(m["seq"], labels(m), m["missed_by"]) for m in rest] == [
        (2, ["person"], {"filtered": 1}),
        (4, ["person"], {"filtered": 1}),
        (6, ["person"], {"filtered": 1}),
    ]


async def test_since_by_command(gateway: Gateway) -> None:
    for _ in range(5):
        gateway.publish()
    async with talking(gateway, "?history=0&delivery=every") as talk:
        await talk.ask("subscribe", since=["cam:k3f9:1"])
        first, *rest = await talk.caught_up(gateway)
        assert first == resumed(1, recovered=True)
        assert seqs(rest) == [2, 3, 4]


@pytest.mark.parametrize("delivery", ["latest", "every"])
async def test_a_change_before_the_resumed_result_counts_a_loss_once(
    gateway: Gateway, delivery: str
) -> None:
    """The client is ahead of this gateway, which is behind another one or was restarted."""
    gateway.publish()  # the gateway stands at 0, the client at 3
    async with talking(gateway, f"?since=cam:k3f9:3&delivery={delivery}") as talk:
        await talk.ask("ping")
        gateway.publish()
        for _ in range(2):
            gateway.publish(kind="lost")  # 2 and 3, which the client had
        gateway.server.flush()
        await talk.ask("subscribe", min_confidence=0.1)
        gateway.publish()
        await talk.caught_up(gateway)
        (client,) = [each._client for each in gateway.server._connections]
        assert client is not None
        account = client.cursor.account()
        assert (account.offered, account.sent, account.lost) == (1, 1, 0)
