"""What `demo?size=1280x720&fps=30` asks of the demo scene: its options, read from the text."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from msgspec import Struct

from framefan.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

MIN_SIZE = (160, 120)
_MAX_SIZE = (7680, 4320)


class DemoOptions(Struct, frozen=True):
    """What `demo?key=value&...` says."""

    width: int = 1280
    height: int = 720
    fps: float = 30.0
    seed: int = 1
    frames: int = 0
    """The source ends after this many frames; 0: never."""


def parse_demo(source: str) -> DemoOptions:
    """The options of `demo` or `demo?size=1280x720&fps=30&seed=1&frames=0`.

    Raises UsageError that names the key it could not take.
    """
    _, _, query = source.partition("?")
    facts: dict[str, float] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key not in _KEYS:
            raise UsageError(
                f'the demo scene has no option "{key}"',
                f"its options are {', '.join(_KEYS)}",
                "for example demo?size=1280x720&fps=30&seed=1",
            )
        read, expected = _KEYS[key]
        try:
            facts |= read(value)
        except ValueError:
            raise UsageError(
                f'the demo scene cannot take {key}="{value}"',
                f"{key} is {expected}",
                "for example demo?size=1280x720&fps=30&seed=1",
            ) from None
    return DemoOptions(**facts)  # type: ignore[arg-type]


def _size(text: str) -> dict[str, float]:
    width, height = (int(part) for part in text.lower().split("x"))
    _within(width, MIN_SIZE[0], _MAX_SIZE[0])
    _within(height, MIN_SIZE[1], _MAX_SIZE[1])
    return {"width": width, "height": height}


def _within(value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise ValueError(value)


def _number(
    key: str, kind: Callable[[str], float], low: float, high: float
) -> Callable[[str], dict[str, float]]:
    def read(text: str) -> dict[str, float]:
        value = kind(text)
        _within(value, low, high)
        return {key: value}

    return read


_KEYS: dict[str, tuple[Callable[[str], dict[str, float]], str]] = {
    "size": (_size, "WIDTHxHEIGHT from 160x120 to 7680x4320"),
    "fps": (_number("fps", float, 0.01, 1000), "frames per second, 0.01 to 1000"),
    "seed": (_number("seed", int, 0, 2**32 - 1), "a whole number from 0"),
    "frames": (_number("frames", int, 0, 2**32 - 1), "a whole number; 0 means endless"),
}
