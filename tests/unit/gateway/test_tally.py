"""What a gateway counts of itself stays bounded, whatever clients do."""

from __future__ import annotations

from framefan_gateway.hub import Hub
from framefan_gateway.intake import Intake
from framefan_gateway.tally import Tally


def test_ends_are_counted_by_a_bounded_number_of_names() -> None:
    hub = Hub(10, 1000)
    tally = Tally(1, hub, Intake(hub, 3.0))
    for code in range(3000, 4400):
        tally.ended(str(code))
    tally.ended("3000")
    assert len(tally.closed_by) <= 60
    assert tally.closed_by["3000"] == 2
    assert sum(tally.closed_by.values()) == 1401
    assert tally.facts().closed_by["other"] > 1000
