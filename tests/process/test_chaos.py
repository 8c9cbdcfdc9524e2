"""A short `make chaos`: the whole system under random faults."""

from __future__ import annotations

import random

import pytest
from chaos.play import Report, described, play
from waiting import slack


@pytest.mark.alone
@pytest.mark.timeout(300)
def test_random_faults_hurt_nobody_for_long() -> None:
    seed = random.SystemRandom().randrange(10**6)
    print("seed", seed)  # shown when it fails
    report = Report(seed, 12.0)
    play(report)
    assert report.passed, described(report)
    assert report.results > 1000 / slack()
