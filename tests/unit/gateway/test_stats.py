"""What a gateway counts of itself stays bounded and adds up, whatever clients do."""

from __future__ import annotations

from gateway_fakes import outcome, parts, state

from framefan.base import clock
from framefan.ipc.records import CameraFacts
from framefan_gateway.delivery.hub import Hub
from framefan_gateway.delivery.subscribers import Writer
from framefan_gateway.delivery.subscription import DEFAULT
from framefan_gateway.intake import Intake
from framefan_gateway.stats import Stats


def test_ends_are_counted_by_a_bounded_number_of_names() -> None:
    hub = Hub(10, 1000)
    stats = Stats(1, hub, Intake(hub, 3.0))
    for code in range(3000, 4400):
        stats.ended(str(code))
    stats.ended("3000")
    assert len(stats.closed_by) <= 60
    assert stats.closed_by["3000"] == 2
    assert sum(stats.closed_by.values()) == 1401
    assert stats.facts().closed_by["other"] > 1000


def test_what_waited_for_a_client_that_left_waits_no_more() -> None:
    hub = Hub(10, 1 << 20)
    intake = Intake(hub, 3.0)
    stats = Stats(1, hub, intake)
    intake.take(parts("state/", state({"cam": CameraFacts()})), clock.now(), clock.wall())
    client = hub.join(DEFAULT, Writer(len, len), lambda _: None, 0.0)
    hub.block(client)
    for seq in (0, 1):
        intake.take(parts("result/cam/", outcome(seq)), clock.now(), clock.wall())
        hub.flush(clock.now())
    before = stats.facts()
    assert (before.offered, before.sent, before.missed) == (2, 0, 1), "the newest waits"
    hub.leave(client)
    after = stats.facts()
    assert (after.offered, after.sent, after.missed) == (2, 0, 2)
    assert after.missed_by == {"conflated": 1, "history": 1}
