"""A short `make chaos`: the whole system under random faults."""

from __future__ import annotations

import random

import pytest
from chaos.play import Report, described, play
from waiting import slack


@pytest.mark.alone
@pytest.mark.timeout(300)
def test_a_run_recovers_from_random_faults() -> None:
    seed = random.SystemRandom().randrange(10**6)
    print("seed", seed)  # shown when it fails
    report = Report(seed, 12.0)
    play(report)
    assert report.passed, described(report)
    assert report.results > 1000 / slack()
