"""What clients with delivery `every` get, up to the limit of what is kept for them."""

from __future__ import annotations

import pytest
from hub_reader import Reader, lose, publish

from framefan_gateway.delivery.every import LEAST_MESSAGES
from framefan_gateway.delivery.hub import Hub
from framefan_gateway.delivery.subscribers import Place
from framefan_gateway.delivery.subscription import Subscription


@pytest.fixture
def hub() -> Hub:
    return Hub(every_messages=50, every_bytes=1 << 20)


def test_every_keeps_order_and_loses_nothing_up_to_its_bound(hub: Hub) -> None:
    reader = Reader(hub, Subscription(delivery="every"), room=1)
    for seq in range(40):
        publish(hub, seq)
    assert len(reader.results) == 1
    reader.drain(1000)
    assert [m["seq"] for m in reader.results] == list(range(40))
    assert all(m["missed"] == 0 for m in reader.results)
    assert reader.client.place is Place.LIVE


def test_every_gets_gaps_in_order(hub: Hub) -> None:
    reader = Reader(hub, Subscription(delivery="every"), room=1)
    publish(hub, 0)
    lose(hub, 1, 3)
    publish(hub, 4)
    reader.drain(10)
    assert [m["type"] for m in reader.received] == ["result", "gap", "result"]
    gap = reader.received[1]
    assert (gap["first_seq"], gap["last_seq"], gap["missed"]) == (1, 3, 3)
    assert gap["missed_by"] == {"lost": 3}


def test_every_past_its_bound_is_closed_with_the_reason_and_the_others_are_not(hub: Hub) -> None:
    stuck = Reader(hub, Subscription(delivery="every"), room=1)
    fine = Reader(hub, Subscription(delivery="every"))
    for seq in range(51):
        publish(hub, seq)
    assert not stuck.evicted
    publish(hub, 51)
    assert "50 messages" in stuck.evicted
    assert stuck.client.place is Place.CLOSED
    assert len(fine.results) == 52
    assert hub.clients == 1


def test_every_is_bounded_in_bytes_too() -> None:
    hub = Hub(every_messages=1000, every_bytes=1000)
    stuck = Reader(hub, Subscription(delivery="every"), room=1)
    for seq in range(1 + LEAST_MESSAGES):
        publish(hub, seq)
    assert not stuck.evicted, "so many it may always be behind, however large they are"
    publish(hub, 99)
    assert "1000 bytes" in stuck.evicted


def test_the_log_is_dropped_when_the_last_one_behind_is_gone(hub: Hub) -> None:
    stuck = Reader(hub, Subscription(delivery="every"), room=1)
    Reader(hub, Subscription(delivery="every"))
    for seq in range(10):
        publish(hub, seq)
    assert stuck.client.subscribers.stream.log_bytes > 0
    hub.leave(stuck.client)
    publish(hub, 10)
    assert stuck.client.subscribers.stream.log_bytes == 0
