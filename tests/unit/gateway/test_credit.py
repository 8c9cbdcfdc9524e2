"""How often a client may send."""

from __future__ import annotations

from framefan_gateway.credit import Credit


def spent(credit: Credit, now: float) -> int:
    """How many messages in a row may come at this moment."""
    count = 0
    while credit.spend(now):
        count += 1
    return count


def test_a_burst_is_three_seconds_worth_and_then_it_is_the_rate() -> None:
    credit = Credit(20.0, now=5.0)
    assert spent(credit, 5.0) == 60
    assert spent(credit, 6.0) == 20
    assert spent(credit, 6.04) == 0
    assert spent(credit, 6.11) == 2


def test_what_is_saved_up_is_bounded() -> None:
    credit = Credit(2.0, now=0.0)
    assert spent(credit, 1000.0) == 6
