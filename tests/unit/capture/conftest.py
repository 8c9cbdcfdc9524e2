"""Captures and cameras for tests, and FFmpeg's options as they were.

The options travel in the environment of the process: each test leaves it as it was.
"""

from __future__ import annotations

import shutil
import tempfile
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from fake_pool import FakePool
from played_camera import Played

from framefan.settings.run import CameraSettings
from framefan.settings.secret import SourceText
from framefan_capture import kinds
from framefan_capture.sources.opencv import OPTIONS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from network_words import Open

    from framefan_capture.source import Source

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


@pytest.fixture
def opened() -> Iterator[Open]:
    """Opens network cameras; all are closed at the end."""
    made: list[Source] = []

    def open_one(url: str, **options: Any) -> Source:
        settings = CameraSettings(name="cam1", source=SourceText(url), **options)
        made.append(kinds.make(settings))
        made[-1].open()
        return made[-1]

    yield open_one
    for source in made:
        source.close()


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., str]:
    """Writes the user's file and answers the source that names `it` in that file."""

    def write(code: str, name: str = "own.py") -> str:
        (tmp_path / name).write_text("import numpy as np\n" + textwrap.dedent(code))
        return f"py:{tmp_path / name}:it"

    return write


@pytest.fixture
def played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Played]:
    one = Played(tmp_path, monkeypatch)
    yield one
    one.close()
