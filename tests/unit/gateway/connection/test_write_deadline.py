"""A full line's deadline starts anew whenever it moves."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from gateway_server import pace, until

from framefan.base import clock
from framefan_gateway.connection import write_deadline
from framefan_gateway.connection.write_deadline import WriteDeadline

DEADLINE_S = 0.2


class Transport:
    """With so many bytes in its buffer, and as many in the kernel as the test says."""

    unread = 1000

    def get_write_buffer_size(self) -> int:
        return self.unread

    def get_extra_info(self, _: str) -> None:
        return None


@pytest.fixture
def over(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    monkeypatch.setattr(write_deadline.tcp, "unacknowledged_bytes", lambda _: 7)
    return []


def armed(transport: Any, over: list[float]) -> WriteDeadline:
    loop = asyncio.get_running_loop()
    return WriteDeadline(loop, transport, DEADLINE_S, lambda: over.append(clock.now()))


async def test_a_line_that_does_not_move_is_over_once(over: list[float]) -> None:
    start = clock.now()
    armed(Transport(), over)
    await until(lambda: over)
    assert over[0] - start >= DEADLINE_S
    await pace(DEADLINE_S)
    assert len(over) == 1


async def test_whatever_moves_it_starts_it_anew(over: list[float]) -> None:
    start, transport = clock.now(), Transport()
    armed(transport, over)
    moved = start
    while clock.now() - start < 3 * DEADLINE_S:
        transport.unread -= 1
        moved = clock.now()
        await pace(DEADLINE_S / 40)
    assert not over
    await until(lambda: over)
    assert over[0] - moved >= DEADLINE_S * 0.9


async def test_a_line_that_is_free_again_has_no_deadline(over: list[float]) -> None:
    armed(Transport(), over).cancel()
    await pace(2 * DEADLINE_S)
    assert not over


def test_what_is_on_its_way_is_in_the_buffer_and_in_the_kernel(over: list[float]) -> None:
    assert over == []
    transport: Any = Transport()
    assert write_deadline.unread_bytes(transport) == 1007
