"""The table of camera states holds together."""

from __future__ import annotations

from framefan.settings.states import FLOWING, LASTING, REASONS, REMEDIES, STATES


def test_every_reason_has_a_meaning_and_a_state() -> None:
    used = {reason for state in STATES.values() for reason in state.reasons if reason}
    assert used == set(REASONS)
    assert all(REASONS.values())


def test_the_states_are_those_of_the_contract() -> None:
    contract = "connecting live stalled frozen backoff ended failed"
    assert list(STATES) == contract.split()
    assert set(FLOWING) < set(STATES)


def test_each_failure_has_a_remedy() -> None:
    assert set(REMEDIES) == {*STATES["backoff"].reasons, *STATES["failed"].reasons}
    assert set(LASTING) < set(STATES["backoff"].reasons)
    assert all(REMEDIES.values())
    assert not any(text.endswith(".") for text in REMEDIES.values())
