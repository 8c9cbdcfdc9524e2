"""Parses a SOURCE of the command line, and shows it without its secrets."""

from __future__ import annotations

import os
import re
import stat
from typing import Literal

from msgspec import Struct

from framefan.errors import UsageError
from framefan.settings import patterns, query, source_url

Kind = Literal["demo", "webcam", "file", "pattern", "rtsp", "http", "callable"]
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_NAMED = re.compile(r"([^=/?:]*)=(.*)", re.DOTALL)
_NETWORK: dict[str, Kind] = {"rtsp": "rtsp", "rtsps": "rtsp", "http": "http", "https": "http"}
_CALLABLE = re.compile(r"py:", re.IGNORECASE)
_TARGET = re.compile(r"(.+\.py):([^:]+)", re.DOTALL)
_DEVICE = re.compile(r"/dev/(?:video\d+$|v4l/by-)", re.ASCII)
_HANDED_OVER = re.compile(r"/dev/std(?:in|out|err)|/(?:dev|proc/self)/fd/\d+", re.ASCII)
"""Inputs that exist only in the process that inherited them, so captures cannot open them."""
_NEXT_ADDRESS = re.compile(r"(?<![^\s\"'<>(\[=,;])(?:rtsps?|https?)://", re.IGNORECASE)
_QUOTE = re.compile(r'(?<!\\)"')
_STARTS_AS_ONE = re.compile(r"\W*(rtsp|http)", re.IGNORECASE)
KNOWN = (
    "demo, a number (webcam), a file, an image pattern, rtsp://, rtsps://, http://, https:// or "
    "py:file.py:name"
)


class SourceSpec(Struct, frozen=True):
    kind: Kind
    value: str

    @property
    def can_wait(self) -> bool:
        """Whether the source can pause while nobody reads it, as `--mode every` needs."""
        return self.kind in ("demo", "file", "pattern", "callable")

    @property
    def is_live(self) -> bool:
        """Whether it is a camera: retried without limit, and read even if no frame is needed."""
        return self.kind in ("webcam", "rtsp", "http", "callable")


def resolve(text: str) -> SourceSpec:
    """The meaning of a SOURCE on this machine: a file of that exact name takes precedence.

    Raises UsageError as `parse` does.
    """
    stripped = text.strip()
    for name in (text, stripped, os.path.expanduser(stripped)):  # noqa: PTH111 - `./` stays
        if _HANDED_OVER.fullmatch(name):
            break
        if mode := _mode(name):
            is_webcam = stat.S_ISCHR(mode) and _DEVICE.fullmatch(os.path.realpath(name))
            return SourceSpec("webcam" if is_webcam else "file", name)
    return parse(text)


def is_file(text: str) -> bool:
    """Whether there is a file of that exact name, of any kind except a folder."""
    return bool(_mode(text))


def printable(path: str) -> str:
    """A file's name for people, with undecodable bytes escaped."""
    return os.fsencode(path).decode(errors="backslashreplace")


def is_demo(text: str) -> bool:
    """Whether it is the demo scene, and no file of that name."""
    return (text == "demo" or text.startswith("demo?")) and not _mode(text)


def _mode(path: str) -> int:
    """The file's mode from os.stat; 0 for a folder, or if the file does not exist."""
    try:
        mode = os.stat(path).st_mode if path else 0  # noqa: PTH116 - no Path: `./` stays
    except (OSError, ValueError):  # ValueError: no file can have this name
        return 0
    return 0 if stat.S_ISDIR(mode) else mode


def parse(text: str) -> SourceSpec:
    """The meaning of a SOURCE by its spelling. Raises UsageError for an unsupported source."""
    text = text.strip()
    if text == "demo" or text.startswith("demo?"):
        return SourceSpec("demo", text)
    if text.isdecimal() or _DEVICE.match(text):
        return SourceSpec("webcam", text)
    if found := _SCHEME.match(text):
        return _of_scheme(found[1], text)
    _check_whole(text)
    if not text:
        raise UsageError("an empty source", f"a source is {KNOWN}", "name one, or leave it out")
    if text == "-" or _HANDED_OVER.fullmatch(text):
        raise not_read(text)
    return SourceSpec("pattern" if patterns.is_pattern(text) else "file", text)


def not_read(text: str) -> UsageError:
    """The error for an input that only this process has inherited, such as standard input."""
    return UsageError(
        f'framefan does not read from "{text}"',
        "each source is opened by a separate process, which does not have this input",
        "use a named pipe: mkfifo pipe.ts, use pipe.ts as the source, and write to it",
    )


def _of_scheme(written: str, text: str) -> SourceSpec:
    scheme = written.lower()
    if scheme in _NETWORK:
        _check_slashes(scheme, text)
        return SourceSpec(_NETWORK[scheme], text)
    if scheme == "py":
        return SourceSpec("callable", ":".join(target(text)))
    _check_whole(text)
    raise UsageError(
        f'framefan does not open "{scheme}:" sources',
        f"a source is {KNOWN}",
        "check the spelling; a local file is given by its plain path",
    )


def _check_slashes(scheme: str, text: str) -> None:
    """Raises UsageError. It does not quote the text: without `://`, any part may be a secret."""
    if text[len(scheme) :].startswith("://"):
        return
    raise UsageError(
        f'a source begins with "{scheme}:" but is not a complete address',
        f'"{scheme}:" must be followed by two slashes',
        source_url.WRITE_IT.format(scheme),
    )


def _check_whole(text: str) -> None:
    """Raises UsageError for text that may be a garbled address with a password. It does not quote
    the text.
    """
    if _is_garbled(text):
        raise UsageError(
            "a source looks like an address with a password, but is not one",
            "an address begins with its scheme, a colon and two slashes, without quotes",
            source_url.WRITE_IT.format("rtsp") + "; a file's path may begin with ./",
        )


def _is_garbled(text: str) -> bool:
    """Whether the text may contain a password before an `@`, but is not a well-formed address."""
    before, at, _ = text.rpartition("@")
    if not at or (text.startswith(("/", ".", "~")) and not text.startswith("//")):
        return False
    scheme, separator, _ = text.partition("://")
    if separator and _SCHEME.fullmatch(f"{scheme}:"):
        return False
    return ":" in before or "//" in before or bool(_STARTS_AS_ONE.match(text))


def target(text: str) -> tuple[str, str]:
    """File and function name of `py:file.py:name`. Raises UsageError for any other text."""
    found = _TARGET.fullmatch(text.partition(":")[2])
    if not found or not found[2].isidentifier():
        raise UsageError(
            f'"{mask_source(text)}" names no function of a Python file',
            "the source must be py:file.py:name; framefan calls the function of that name",
            "for example py:my_camera.py:frames",
        )
    return found[1], found[2]


def fitted(width: int, height: int, largest: tuple[int, int] | None) -> tuple[int, int]:
    """The size to scale a picture to: within `largest`, same aspect ratio, never enlarged."""
    if largest is None:
        return width, height
    scale = min(largest[0] / width, largest[1] / height)
    if scale >= 1:
        return width, height
    return max(1, round(width * scale)), max(1, round(height * scale))


def parse_size(text: str) -> tuple[int, int] | None:
    """Width and height of `1280x720`; None for an empty text. Raises UsageError."""
    if not text:
        return None
    try:
        width, height = query.size()(text)
    except ValueError:
        raise UsageError(
            f'"{text}" is not a picture size',
            f"max_size is WIDTHxHEIGHT in pixels, each from 1 to {query.MOST_PIXELS}",
            "for example 1280x720",
        ) from None
    return width, height


def split_name(text: str) -> tuple[str | None, str]:
    """`NAME=SOURCE` into its parts; None where no name is given."""
    found = _NAMED.fullmatch(text)
    return (found[1], found[2]) if found else (None, text)


def mask(text: str) -> str:
    """Any text, with user names and passwords in addresses replaced."""
    return replaced(text, login_spans(text))


def login_spans(text: str) -> list[tuple[int, int]]:
    """The spans of the logins in addresses in a text: start and end index of each.

    Passwords may contain unescaped `@` and spaces. So everything from `://` to the last `@` of the
    line is treated as a login, or to the last `@` before another network address clearly begins.
    The time is linear in the text's length, because native libraries may print long texts.
    """
    if "@" not in text:
        return []
    spans, start = [], 0
    for line in text.split("\n"):
        spans += [(start + first, start + last) for first, last in _spans_of_line(line)]
        start += len(line) + 1
    return spans


def _spans_of_line(line: str) -> list[tuple[int, int]]:
    first = line.find("://")
    if first < 0:
        return []
    begins = [first + 3, *(found.end() for found in _NEXT_ADDRESS.finditer(line, first + 3))]
    spans = []
    for begin, end in zip(begins, [*begins[1:], len(line)], strict=True):
        if line.startswith('{"') and (quote := _QUOTE.search(line, begin, end)):
            end = quote.start()  # noqa: PLW2901 - a line of JSON: the text ends there
        last = line.rfind("@", begin, end)
        # An address may be masked already; an `@` after it may be in a mail address.
        if last > begin and not line.startswith("***@", begin):
            spans.append((begin, last))
    return spans


def replaced(text: str, spans: list[tuple[int, int]]) -> str:
    """The text with each of these spans, which may overlap, replaced by `***`."""
    parts, done = [], 0
    until = -1
    for first, last in sorted(spans):
        if first > until:
            parts += [text[done:first], "***"]
        done = until = max(until, last)
    return "".join([*parts, text[done:]])


def mask_source(text: str) -> str:
    """A source as it may be shown: without credentials, and without the query, which often
    contains keys.
    """
    if _is_garbled(text) and not _CALLABLE.match(text):
        return "***"
    return source_url.shown(text) if "://" in text else text
