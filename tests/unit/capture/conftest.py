"""Captures for tests, and FFmpeg's options as they were.

The options travel in the environment of the process: each test leaves it as it was.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fake_pool import FakePool

from framefan_capture.opencv import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Start = Callable[..., FakePool]


@pytest.fixture(autouse=True)
def _own_ffmpeg_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(OPTIONS, "")


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts captures; whatever happens, none is left."""
    pools: list[FakePool] = []
    folder = Path(tempfile.mkdtemp(prefix="ff-"))

    def start_one(source: object, **options: Any) -> FakePool:
        own = folder / str(len(pools))
        own.mkdir()
        pools.append(FakePool(own, str(source), **options))
        return pools[-1]

    yield start_one
    for pool in pools:
        pool.__exit__()
        assert pool.reused == []
    shutil.rmtree(folder)
