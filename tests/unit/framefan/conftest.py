"""A supervisor over stages that play parts, for its tests and those of what it is made of."""

from __future__ import annotations

import pytest
from staged_run import Run


@pytest.fixture
def start(tmp_path):
    runs = []

    def begin(file: str = "", **plan: object) -> Run:
        runs.append(Run(tmp_path, file, **plan))
        return runs[-1]

    yield begin
    for run in runs:
        if run.process.poll() is None:
            run.process.kill()
            run.process.wait()
