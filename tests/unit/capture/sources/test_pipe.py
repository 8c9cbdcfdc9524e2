"""Named pipes: opened once, within the time limit, and never closed under a writer."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Self

import cv2
import pytest
from fakes_sources import make_video, pictures
from waiting import is_within

from framefan.base import clock
from framefan.errors import SourceError
from framefan.settings.run import CameraSettings
from framefan.settings.secret import SourceText
from framefan_capture.kinds import make
from framefan_capture.sources.pipe import PipeSource
from framefan_capture.sources.scene import Scene, read_number

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCENE = Scene(320, 240)
FRAMES = 20


class Writer:
    """A program that writes parts into the pipe, each after the test has asked for it."""

    def __init__(self, path: Path, *parts: bytes) -> None:
        self._path = path
        self._parts = parts
        self._asked = threading.Semaphore(1)
        self.failure: OSError | None = None
        self._thread = threading.Thread(target=self._write)

    def _write(self) -> None:
        try:
            with self._path.open("wb", buffering=0) as pipe:
                for part in self._parts:
                    self._asked.acquire()
                    pipe.write(part)
        except OSError as error:
            self.failure = error

    def go_on(self) -> None:
        self._asked.release()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.go_on()
        self._thread.join(10)
        assert not self._thread.is_alive()
        assert self.failure is None, "the pipe was closed under it"


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[PipeSource]:
    os.mkfifo(tmp_path / "pipe.ts")
    source = make(
        CameraSettings(
            name="cam1",
            source=SourceText(str(tmp_path / "pipe.ts")),
            fast=True,
            open_timeout_s=0.5,
            read_timeout_s=0.5,
        )
    )
    assert isinstance(source, PipeSource)
    yield source
    source.close()
    if source._fd is not None:
        os.close(source._fd)


def numbers(source: PipeSource) -> list[int | None]:
    seen = []
    while source.grab(0):
        seen.append(read_number(source.retrieve(None)))
    source.close()
    return seen


def test_a_pipe_without_a_writer_is_waited_for_within_the_limit(pipe: PipeSource):
    before = clock.now()
    with pytest.raises(SourceError, match="brought nothing") as caught:
        pipe.open()
    assert caught.value.reason == "timeout"
    assert is_within(before, 0.5 + 1)


def test_all_that_is_written_is_played_and_the_next_writer_is_waited_for(
    pipe: PipeSource, tmp_path: Path
):
    video = make_video(tmp_path / "a.avi", SCENE, FRAMES, 25, "MJPG").read_bytes()
    assert len(video) > 2 * 65536, "more than the pipe holds"
    for _ in range(2):
        with Writer(tmp_path / "pipe.ts", video):
            pipe.open()
            assert pipe.skip(5) == 5, "what an earlier life has read is gone"
            assert numbers(pipe) == list(range(FRAMES))


def test_a_writer_that_pauses_is_a_timeout_and_goes_on_later(pipe: PipeSource, tmp_path: Path):
    images = [cv2.imencode(".png", image)[1].tobytes() for image in pictures(SCENE, 8)]
    with Writer(tmp_path / "pipe.ts", b"".join(images[:4]), b"".join(images[4:])) as writer:
        pipe.open()
        with pytest.raises(SourceError, match="brought nothing"):
            numbers(pipe)
        pipe.close()
        writer.go_on()
        pipe.open()
        assert numbers(pipe)[-1] == 7
