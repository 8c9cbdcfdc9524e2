"""What is asked of a network camera, and what its failures have to say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from waiting import SCALE

from framefan.base import clock
from framefan.errors import SourceError
from framefan.settings.run import CameraSettings
from framefan.settings.secret import SourceText
from framefan_capture import kinds
from framefan_capture.sources.scene import read_number

if TYPE_CHECKING:
    from collections.abc import Callable

    from framefan_capture.source import Source

    Open = Callable[..., Source]

SECRET = "s3cr3t"
SILENCE_S = 0.8 * SCALE

both = pytest.mark.parametrize("protocol", ["rtsp", "http"])


def numbers(source: Source, frames: int) -> list[int | None]:
    return [read_number(source.retrieve(None)) for frame in range(frames) if source.grab(frame)]


def refusal(url: str, **options: Any) -> SourceError:
    source = kinds.make(CameraSettings(name="cam1", source=SourceText(url), **options))
    with pytest.raises(SourceError) as caught:
        source.open()
    return told_well(caught.value)


def told_well(error: SourceError) -> SourceError:
    """What, why and what to do, without a secret."""
    texts = (error.what, error.why, error.fix, *map(str, [error, error.__cause__]))
    assert all(SECRET not in text for text in texts)
    assert all((error.what, error.why, error.fix))
    return error


def grab_until_it_fails(source: Source) -> SourceError:
    deadline = clock.now() + 20 * SCALE
    while clock.now() < deadline:
        try:
            source.grab(0)
        except SourceError as error:
            return told_well(error)
    raise AssertionError("the source went on")


def is_run_on(seen: list[int | None]) -> bool:
    known = [number for number in seen if number is not None]
    return known == list(range(known[0], known[0] + len(known)))
