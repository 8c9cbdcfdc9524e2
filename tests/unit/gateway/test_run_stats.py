"""What all gateways of a run have counted, whichever is asked, and whoever has died."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from gateway_fakes import outcome, parts, state
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from framefan.base import clock
from framefan.ipc.gateway_counts import GatewayCounts
from framefan.ipc.records import CameraFacts, GatewayFacts
from framefan.settings.run import Settings
from framefan_gateway.delivery.accounts import Totals
from framefan_gateway.delivery.hub import Hub
from framefan_gateway.http.metrics import Metrics
from framefan_gateway.http.web import Web
from framefan_gateway.intake import Intake
from framefan_gateway.run_stats import RunStats
from framefan_gateway.stats import Stats


class Member:
    """One gateway of several, without its process."""

    def __init__(self, fd: int, number: int) -> None:
        self.number = number
        self.hub = Hub(1000, 1 << 20)
        self.intake = Intake(self.hub, 3.0)
        self.counts = GatewayCounts(fd, number)
        self.stats = Stats(number, self.hub, self.intake)
        self.run_stats = RunStats(self.stats, self.intake, self.counts)
        self.run_stats.resume()
        self.counts.beat(clock.now())
        self.page = Metrics(self.run_stats, self.intake)
        self.web = Web(Settings(), number, self.hub, self.intake, self.run_stats)

    def table(self, n: int, **changes: Any) -> None:
        facts = {"cameras": {"front": CameraFacts(captured=n)}}
        rows = {"gateways": [GatewayFacts(id=1), GatewayFacts(id=2)]}
        self.intake.take(
            parts("state/", state(n=n, **(facts | rows | changes))), clock.now(), clock.wall()
        )

    def deliver(self, sent: int, **more: int) -> None:
        self.hub.left = self.hub.left.plus(Totals(offered=sent, sent=sent, **more))

    async def scrape(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        answer = self.web.answer(Request("/metrics", Headers({"Host": "localhost"})))
        assert answer is not None
        assert not isinstance(answer, Response)
        text = (await answer).body.decode()
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if family.type in ("counter", "histogram")
        }


class Members:
    def __init__(self) -> None:
        self.fd = GatewayCounts.make(2, addresses=False)
        self.supervisor = GatewayCounts(self.fd)
        self.all = {number: Member(self.fd, number) for number in (1, 2)}

    def killed(self, number: int) -> Member:
        """And another one started in its place."""
        self.supervisor.clear(number)
        self.all[number] = Member(self.fd, number)
        return self.all[number]


@pytest.fixture
def members() -> Iterator[Members]:
    made = Members()
    yield made
    os.close(made.fd)


def count(samples: Any, name: str, **labels: str) -> float:
    return samples[f"framefan_{name}", frozenset(labels.items())]


async def test_any_gateway_answers_for_all(members: Members) -> None:
    for number, each in members.all.items():
        each.table(5)
        each.deliver(10 * number)
        each.stats.ended("1000")
        each.run_stats.publish()
    for each in members.all.values():
        samples = await each.scrape()
        assert count(samples, "deliveries_sent_total", gateway="1") == 10
        assert count(samples, "deliveries_sent_total", gateway="2") == 20
        assert count(samples, "closes_total", gateway="2", code="1000") == 1
        status = each.web.status()
        assert status is not None
        assert [row["sent"] for row in status["gateways"]] == [10, 20]


def test_a_crowd_that_joined_another_gateway_is_counted_at_once(members: Members) -> None:
    one, two = members.all[1], members.all[2]
    for each in (one, two):
        each.table(5)
        each.run_stats.publish()
    two.counts.write(connections=250, clients=241)  # the next texts come within a second
    status = one.web.status()
    assert status is not None
    assert [row["clients"] for row in status["gateways"]] == [0, 241]


async def test_a_gateway_that_takes_the_place_of_a_dead_one_goes_on(members: Members) -> None:
    one, two = members.all[1], members.all[2]
    for each in (one, two):
        each.table(5)
    two.deliver(7, conflated=0, bytes=100)
    two.hub.left = two.hub.left.plus(Totals(offered=3))  # 3 wait for their line
    two.stats.ended("4408")
    two.stats.stages.observe(outcome(0, "front"), 1.0)
    two.stats.lag.beat(1.0, 0.1)
    two.stats.lag.beat(1.2, 0.1)
    before = await two.scrape()
    two = members.killed(2)
    gone = await one.scrape()
    assert all(gone[key] >= value for key, value in before.items())
    two.table(6)
    after = await two.scrape()
    assert all(after[key] >= value for key, value in before.items())
    assert count(after, "deliveries_missed_total", gateway="2", cause="history") == 3
    facts = two.stats.facts()
    assert facts.offered == facts.sent + facts.missed == 10
    assert facts.missed == sum(facts.missed_by.values())


async def test_gauges_are_exported_for_living_gateways_only(members: Members) -> None:
    one = members.all[1]
    for each in members.all.values():
        each.table(5)
        each.run_stats.publish()
    assert b'framefan_clients{gateway="2"}' in b"".join(one.page.parts())
    members.supervisor.clear(2)
    text = b"".join(one.page.parts())
    assert b'framefan_clients{gateway="1"}' in text
    assert b'framefan_clients{gateway="2"}' not in text
    assert b'framefan_deliveries_sent_total{gateway="2"}' in text


async def test_status_includes_the_counts_of_a_dead_gateway(members: Members) -> None:
    for each in members.all.values():
        each.table(5)
    members.all[2].deliver(7)
    samples = await members.all[2].scrape()
    members.supervisor.clear(2)
    balanced(members.all[1], samples | await members.all[1].scrape())


async def test_a_gateway_with_an_older_table_waits_for_the_newer_one(
    members: Members,
) -> None:
    one, two = members.all[1], members.all[2]
    one.table(5)
    two.table(6)
    told = await two.scrape()
    asked = asyncio.ensure_future(one.scrape())
    for _ in range(1000):  # turns of the loop: an answer takes one for each family of metrics
        await asyncio.sleep(0)
    assert not asked.done()
    one.table(6)
    captured = "frames_captured_total"
    assert count(await asked, captured, camera="front") == count(told, captured, camera="front")


async def test_it_does_not_wait_for_ever(members: Members) -> None:
    one, two = members.all[1], members.all[2]
    one.table(5)
    two.table(6)
    two.run_stats.publish()
    assert count(await one.scrape(), "frames_captured_total", camera="front") == 5
    one.table(9, epoch="another")
    await asyncio.wait_for(one.scrape(), 0.2)  # another pool counts from the beginning


async def test_each_change_of_a_camera_counts_once_however_many_gateways_heard_of_it(
    members: Members,
) -> None:
    key = {"camera": "front", "state": "stalled", "reason": ""}
    for each in members.all.values():
        each.table(5)
        each.table(6, cameras={"front": CameraFacts(state="stalled")})
        each.run_stats.publish()
    samples = await members.all[1].scrape()
    assert count(samples, "camera_state_changes_total", **key) == 1


@given(st.lists(st.tuples(st.sampled_from(("scrape", "deliver", "take back", "kill", "table")),
                          st.sampled_from((1, 2))), max_size=30))  # fmt: skip
@settings(max_examples=40, deadline=None)
def test_no_counter_ever_falls_at_any_gateway_whichever_dies(steps: Any) -> None:
    members, seen, tables = Members(), {}, 1
    for each in members.all.values():
        each.table(tables)

    async def play() -> None:
        nonlocal tables
        for step, number in steps:
            member = members.all[number]
            match step:
                case "deliver":
                    member.deliver(5, bytes=100)
                    member.stats.stages.observe(outcome(0, "front"), clock.now())
                case "take back":
                    member.hub.left = member.hub.left.minus(Totals(offered=1, sent=1))
                case "kill":
                    members.killed(number).table(tables)
                case "table":
                    tables += 1
                    for each in members.all.values():
                        each.table(tables)
                case _:
                    samples = await member.scrape()
                    for key, value in samples.items():
                        assert value >= seen.get(key, 0), key
                    seen.update(samples)
                    balanced(member, samples)

    asyncio.run(play())
    os.close(members.fd)


def balanced(member: Member, samples: Any) -> None:
    """Status tells what metrics tell, and nothing is missing from either."""
    status = member.web.status()
    assert status is not None
    for row in status["gateways"]:
        gateway = str(row["id"])
        if ("framefan_deliveries_sent_total", frozenset({("gateway", gateway)})) not in samples:
            continue  # it has never told what it counts
        for field in ("offered", "sent"):
            assert row[field] == count(samples, f"deliveries_{field}_total", gateway=gateway)
        for cause, missed in row["missed_by"].items():
            of = {"gateway": gateway, "cause": cause}
            assert missed == count(samples, "deliveries_missed_total", **of)
        assert row["missed"] == sum(row["missed_by"].values())
        assert row["offered"] == row["sent"] + row["missed"], "nobody has a line that is full"


# ---- the memory ----------------------------------------------------------------------------------


def test_a_text_that_is_not_whole_is_not_read(members: Members) -> None:
    one, two = members.all[1].counts, members.all[2].counts
    assert two.publish(b"first")
    assert one.published(2) == b"first"
    cell = two._at(2) + 3
    os.pwrite(members.fd, b"torn", two._place(2, two._words[cell] + 1))
    assert one.published(2) == b"first", "it was killed while it wrote the next one"
    two._words[cell] += 1
    assert one.published(2) == b""


def test_a_text_that_is_too_long_leaves_the_last_one(members: Members) -> None:
    one, two = members.all[1].counts, members.all[2].counts
    assert two.publish(b"small")
    assert not two.publish(bytes(2 << 20))
    assert one.published(2) == b"small"


def test_without_memory_a_gateway_answers_for_itself(
    members: Members, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    monkeypatch.setattr("framefan.base.logs.warning", lambda text, **_: told.append(text))

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    one = members.all[1]
    one.deliver(4)
    for _ in range(3):
        assert one.run_stats.gateways()[0].facts.sent == 4
    assert len(told) == 1


def test_garbage_in_the_memory_is_nobodys_counts(members: Members) -> None:
    for garbage in (b"\xc1", msgspec.msgpack.encode({"facts": 1}), b""):
        members.all[2].counts.publish(garbage)
        assert [each.facts.id for each in members.all[1].run_stats.gateways()] == [1]
