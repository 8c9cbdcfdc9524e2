"""The options of the demo scene, parsed from text like `demo?size=1280x720&fps=30`."""

from __future__ import annotations

from msgspec import Struct

from framefan.settings import query

MIN_SIZE = (160, 120)
_WHOLE = query.number(int, 0, 2**32 - 1)
_READERS = {
    "size": (query.size(MIN_SIZE, (7680, 4320)), "WIDTHxHEIGHT from 160x120 to 7680x4320"),
    "fps": (query.number(float, 0.01, 1000), "frames per second, 0.01 to 1000"),
    "seed": (_WHOLE, "a whole number from 0"),
    "frames": (_WHOLE, "a whole number; 0 means endless"),
}


class DemoOptions(Struct, frozen=True):
    """The options in `demo?key=value&...`."""

    width: int = 1280
    height: int = 720
    fps: float = 30.0
    seed: int = 1
    frames: int = 0
    """The source ends after this many frames; 0: never."""


def parse_demo(source: str) -> DemoOptions:
    """The options of `demo` or `demo?size=1280x720&fps=30&seed=1&frames=0`.

    Raises UsageError, which names the invalid key.
    """
    _, values = query.read(source, "the demo scene", _READERS, "demo?size=1280x720&fps=30&seed=1")
    width, height = values.pop("size", (DemoOptions().width, DemoOptions().height))
    return DemoOptions(width, height, **values)
