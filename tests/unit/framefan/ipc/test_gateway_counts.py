"""What gateways tell each other of their clients, through memory that they share."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framefan.base import clock
from framefan.ipc.gateway_counts import (
    MOST_GATEWAYS,
    STALE_S,
    GatewayCounts,
    Row,
    is_crowded,
)


@contextlib.contextmanager
def shared(gateways: int, addresses: bool = False) -> Iterator[list[GatewayCounts]]:
    """As the supervisor (0) and each gateway see them."""
    fd = GatewayCounts.make(gateways, addresses)
    yield [GatewayCounts(fd, own) for own in range(gateways + 1)]
    os.close(fd)


def test_each_sees_the_others_that_live() -> None:
    with shared(3) as (supervisor, one, two, three):
        now = clock.now()
        for gateway, connections in ((one, 5), (two, 7)):
            gateway.write(connections, connections - 1)
            gateway.beat(now)
        three.write(9, 9)  # it has not begun to accept
        assert one.others(now) == [Row(7, 6)]
        assert three.others(now) == [Row(5, 4), Row(7, 6)]
        assert one.others(now + 2 * STALE_S) == [], "who stands still is nobody to wait for"
        supervisor.clear(2)
        assert one.others(now) == []
        assert three.others(now) == [Row(5, 4)]


def test_clients_of_one_that_stands_still_are_clients_and_of_a_dead_one_are_none() -> None:
    with shared(2) as (supervisor, one, two):
        two.write(7, 6)
        assert one.clients_elsewhere() == 0, "it has not begun to accept"
        two.beat(clock.now() - 10 * STALE_S)
        assert one.others() == []
        assert one.clients_elsewhere() == 6
        supervisor.clear(2)
        assert one.clients_elsewhere() == 0


def test_one_that_is_leaving_does_not_count() -> None:
    with shared(2) as (supervisor, one, two):
        two.write(100, 100)
        two.beat(clock.now())
        assert one.others()
        supervisor.gateways = 1
        assert not one.others()
        assert one.gateways == 1


def test_alone_there_are_no_others() -> None:
    counts = GatewayCounts(own=1)
    counts.write(5, 5)
    counts.beat(clock.now())
    assert (counts.gateways, counts.others(), counts.elsewhere("::1")) == (1, [], 0)


@given(st.lists(st.integers(0, 5000), min_size=2, max_size=MOST_GATEWAYS))
def test_the_emptiest_always_accepts(counts: list[int]) -> None:
    """Else nobody would."""
    rows = [Row(count, count) for count in counts]
    crowded = [is_crowded(row.connections, rows[:i] + rows[i + 1 :]) for i, row in enumerate(rows)]
    assert not crowded[counts.index(min(counts))]
    if max(counts) > 1.25 * (sum(counts) / len(counts)) + 8:
        assert crowded[counts.index(max(counts))]


@given(st.lists(st.integers(0, 30), max_size=200))
def test_whoever_accepts_while_not_crowded_keeps_the_gateways_even(turns: list[int]) -> None:
    counts = [0] * 4
    for turn in turns * 10:
        number = turn % 4
        others = [Row(each, each) for i, each in enumerate(counts) if i != number]
        if not is_crowded(counts[number], others):
            counts[number] += 1
    assert max(counts) <= 1.05 * (sum(counts) / 4) + 5


# ---- addresses ----------------------------------------------------------------------------------


def test_connections_of_an_address_are_counted_over_all_gateways() -> None:
    with shared(3, addresses=True) as (supervisor, one, two, three):
        for gateway in (one, two, two):
            gateway.count_address("10.0.0.1", 1)
        assert [each.elsewhere("10.0.0.1") for each in (one, two, three)] == [2, 1, 3]
        assert one.elsewhere("10.0.0.2") == 0
        two.count_address("10.0.0.1", -1)
        assert three.elsewhere("10.0.0.1") == 2
        supervisor.clear(2)
        assert three.elsewhere("10.0.0.1") == 1


def test_ten_thousand_addresses_do_not_fill_each_others_places() -> None:
    with shared(2, addresses=True) as (_, one, two):
        for number in range(10_000):
            one.count_address(f"10.1.{number >> 8}.{number & 255}", 1)
        seen = [two.elsewhere(f"10.1.{number >> 8}.{number & 255}") for number in range(10_000)]
        assert min(seen) == 1, "never too few"
        assert sum(each > 1 for each in seen) < 1000
        assert sum(each > 2 for each in seen) < 20
        assert sum(two.elsewhere(f"192.168.0.{number}") > 1 for number in range(256)) < 10


@pytest.mark.parametrize("addresses", [False, True])
def test_the_memory_has_no_name_and_is_all_there(addresses: bool) -> None:
    fd = GatewayCounts.make(2, addresses)
    facts = os.fstat(fd)
    assert facts.st_nlink == 0
    assert facts.st_size < (16 << 20 if addresses else 4096)
    os.close(fd)
