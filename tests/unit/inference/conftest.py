"""Predictors of a test's own, and the gate that stops a worker where a test wants it."""

from __future__ import annotations

import socket
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from camera_words import SETTINGS
from faults import Gate

from framefan.base import clock
from framefan.ipc import links
from framefan.ipc.messages import ToPool
from framefan_inference.pool.cameras import Camera

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


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the time."""

    def set_to(seconds: float) -> None:
        monkeypatch.setattr(clock, "now", lambda: seconds)

    set_to(100.0)
    return set_to


@pytest.fixture
def camera(at: Any) -> Camera:
    return Camera(SETTINGS)


@pytest.fixture
def link() -> Iterator[links.Link[Any]]:
    ours, theirs = socket.socketpair()
    made: links.Link[Any] = links.Link(ours, ToPool)
    yield made
    made.close()
    theirs.close()
