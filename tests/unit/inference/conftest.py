"""Predictors of a test's own, and the gate that stops a worker where a test wants it."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from faults import Gate

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SEES = """
import os
import numpy as np

class Model:
    stateful = {stateful}

    def predict(self, image, frame):
        low, high = int(image.min()), int(image.max())
        assert low == high == frame.frame % 256, "torn"
        return {{"pid": os.getpid(), "frame": frame.frame}}
"""


@pytest.fixture
def written(tmp_path: Path) -> Callable[[str], str]:
    def write(code: str) -> str:
        path = tmp_path / "own.py"
        path.write_text(textwrap.dedent(code))
        return f"{path}:Model"

    return write


@pytest.fixture
def sees(written: Any) -> str:
    """A predictor that answers what it saw, and that it was whole."""
    return written(SEES.format(stateful=False))


@pytest.fixture
def sees_stateful(written: Any) -> str:
    """The same, and it wants each camera to stay in one worker."""
    return written(SEES.format(stateful=True))


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    with Gate() as gate:
        for name, value in gate.env.items():
            monkeypatch.setenv(name, value)
        yield gate
