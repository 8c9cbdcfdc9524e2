"""The errors of network streams; `shown` is the URL without secrets."""

from __future__ import annotations

from framefan.errors import SourceError


def ended(shown: str, is_empty: bool) -> SourceError:
    """The stream has ended; `is_empty`: before the first picture."""
    if is_empty:
        return no_picture(shown)
    return SourceError(
        "closed",
        f"{shown} ended its stream",
        "the camera closed the connection",
        "framefan reconnects",
    )


def no_picture(shown: str) -> SourceError:
    return SourceError(
        "unreadable",
        f"{shown} gives no picture",
        "its stream ended, or could not be followed, before the first one",
        "check the path in the URL; ffprobe shows what the camera sends",
    )


def corrupt(shown: str, limit_s: float) -> SourceError:
    return SourceError(
        "corrupt",
        f"{shown} sends pictures that cannot be decoded",
        f"there was no good one for {limit_s:g} s",
        "framefan reconnects; ffprobe shows what the camera sends",
    )


def timeout(shown: str, done: str, limit_s: float) -> SourceError:
    """The camera has not `done` something, such as `sent a picture`, for `limit_s`."""
    return SourceError(
        "timeout",
        f"{shown} has not {done} for {limit_s:g} s",
        "the connection stands, but nothing comes",
        "framefan reconnects; open_timeout_s and read_timeout_s set the limits",
    )
