"""Cameras that are added and removed, as clients of a gateway see them over the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from gateway_fakes import parts, state
from gateway_server import Gateway, running
from talk import seqs, talking

from framefan.base import clock
from framefan.ipc.records import CameraFacts
from framefan.settings.states import REASONS

REMOVED = {"state": "ended", "reason": "removed"}


@pytest.fixture
async def gateway() -> AsyncIterator[Gateway]:
    async with running(cameras=("cam",), inbound_per_s=1e6) as made:
        yield made


def table(gateway: Gateway, *cameras: str) -> None:
    record = state({name: CameraFacts(state="live", been_live=True) for name in cameras})
    gateway.intake.take(parts("state/", record), clock.now(), clock.wall())
    gateway.server.flush_soon()


async def test_a_camera_is_known_while_the_table_has_it(gateway: Gateway) -> None:
    async with talking(gateway, "?camera=new") as talk:
        assert (await talk.closed())[0] == 4400
    table(gateway, "cam", "new")
    async with talking(gateway) as plain, talking(gateway, "?camera=new") as talk:
        assert "error" not in await talk.ask("ping")
        await plain.ready()
        gateway.publish("new")
        assert seqs(await talk.results(1)) == seqs(await plain.results(1)) == [0]
        table(gateway, "cam")
        for each in (plain, talk):
            assert (await each.next()).items() >= REMOVED.items()
            assert "error" not in await each.ask("ping")
        answer = await plain.ask("subscribe", cameras=["new"])
        assert answer["error"]["code"] == 102
    async with talking(gateway, "?camera=new") as talk:
        assert (await talk.closed())[0] == 4400
    table(gateway, "new")
    async with talking(gateway, "?camera=cam") as talk:
        assert (await talk.closed())[0] == 4400, "it is in the settings of the start only"


async def test_a_since_of_a_camera_that_is_gone_is_answered(gateway: Gateway) -> None:
    table(gateway, "cam")
    gateway.publish()
    gateway.publish()
    async with talking(gateway, "?since=gone:k3f9:7,cam:k3f9:0") as talk:
        told = await talk.caught_up(gateway)
    found = {each["camera"]: each["recovered"] for each in told if each["type"] == "resumed"}
    assert found == {"gone": False, "cam": True}
    assert seqs(told)[-1] == 1


async def test_a_since_of_a_forgotten_name_is_answered_with_unknown(gateway: Gateway) -> None:
    table(gateway, "cam", "guest")
    gateway.publish("guest")
    table(gateway, "cam")
    async with talking(gateway, "?since=guest:k3f9:0,cma:k3f9:0") as talk:
        told = [each for each in await talk.caught_up(gateway) if each["type"] == "status"]
    assert [each["state"] for each in told] == ["ended", "ended"]
    why = {each["camera"]: each["message"] for each in told}
    assert why["guest"] == REASONS["removed"]
    assert "or the name is wrong" in why["cma"]
