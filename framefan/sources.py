"""What a SOURCE on the command line means, and how it is shown without its secrets."""

from __future__ import annotations

import re
from typing import Literal
from urllib.parse import urlsplit

from msgspec import Struct

from framefan.errors import UsageError

Kind = Literal["demo", "webcam", "file", "pattern", "rtsp", "http", "callable"]
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_NAMED = re.compile(r"([^=/?:]*)=(.*)", re.DOTALL)
_SIZE = re.compile(r"(\d{1,5})[xX](\d{1,5})", re.ASCII)
_MOST_PIXELS = 65535
_NETWORK: dict[str, Kind] = {"rtsp": "rtsp", "rtsps": "rtsp", "http": "http", "https": "http"}
_WORD = re.compile(r"\S+")
_CALLABLE = re.compile(r"py:", re.IGNORECASE)
_TARGET = re.compile(r"(.+\.py):([^:]+)", re.DOTALL)
_STARTS_AS_ONE = re.compile(r"\W*(rtsp|http)", re.IGNORECASE)
_WRITE_IT = "write it as {}://host:port/path, with user:password@ before the host"
"""In words that no redaction takes for a real address with a password."""
KNOWN = (
    "demo, a number (webcam), a file, an image pattern, rtsp://, rtsps://, http://, https:// or "
    "py:file.py:name"
)


class SourceSpec(Struct, frozen=True):
    kind: Kind
    value: str

    @property
    def can_wait(self) -> bool:
        """Whether the source can stand still while nobody reads it, as `--mode every` needs."""
        return self.kind in ("demo", "file", "pattern", "callable")

    @property
    def is_live(self) -> bool:
        """Whether it is a camera: tried for ever, and drained while nobody wants its frames."""
        return self.kind in ("webcam", "rtsp", "http", "callable")


def parse(text: str) -> SourceSpec:
    """Raises UsageError for a scheme that framefan does not open."""
    text = text.strip()
    if text == "demo" or text.startswith("demo?"):
        return SourceSpec("demo", text)
    if text.isdecimal():
        return SourceSpec("webcam", text)
    found = _SCHEME.match(text)
    if found:
        scheme = found[1].lower()
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
    _check_whole(text)
    if not text:
        raise UsageError("an empty source", f"a source is {KNOWN}", "name one, or leave it out")
    if re.search(r"%0?\d*d", text) or "*" in text:
        return SourceSpec("pattern", text)
    return SourceSpec("file", text)


def _check_slashes(scheme: str, text: str) -> None:
    """Raises UsageError, which repeats nothing: without `://` no one can tell what is secret."""
    if text[len(scheme) :].startswith("://"):
        return
    raise UsageError(
        f'a source begins with "{scheme}:" and is no complete address',
        f'"{scheme}:" is followed by two slashes',
        _WRITE_IT.format(scheme),
    )


def _check_whole(text: str) -> None:
    """Raises UsageError, which repeats nothing, for what an address with a password may be."""
    if _is_garbled(text):
        raise UsageError(
            "a source looks like an address with a password, and is none",
            "an address begins with its scheme, a colon and two slashes, without quotes",
            _WRITE_IT.format("rtsp") + "; a file's path may begin with ./",
        )


def _is_garbled(text: str) -> bool:
    """Whether a password may stand in it before an `@`, as no well-formed address has it."""
    before, at, _ = text.rpartition("@")
    if not at or (text.startswith(("/", ".", "~")) and not text.startswith("//")):
        return False
    scheme, separator, _ = text.partition("://")
    if separator and _SCHEME.fullmatch(f"{scheme}:"):
        return False
    return ":" in before or "//" in before or bool(_STARTS_AS_ONE.match(text))


def check_url(url: str) -> None:
    """Raises UsageError unless the URL names a host, and a port that can be."""
    try:
        whole = bool(urlsplit(url).hostname) and urlsplit(url).port != 0
    except ValueError:
        whole = False
    if not whole:
        raise UsageError(
            f'"{mask_source(url)}" is no complete address',
            "it names no host, or no port from 1 to 65535",
            _WRITE_IT.format(url.partition("://")[0].lower())
            + "; special characters are %XX there",
        )


def target(text: str) -> tuple[str, str]:
    """File and name of `py:file.py:name`. Raises UsageError when it is something else."""
    found = _TARGET.fullmatch(text.partition(":")[2])
    if not found or not found[2].isidentifier():
        raise UsageError(
            f'"{mask_source(text)}" names no function of a Python file',
            "such a source is py:file.py:name, and framefan calls the function of that name",
            "for example py:my_camera.py:frames",
        )
    return found[1], found[2]


def fitted(width: int, height: int, largest: tuple[int, int] | None) -> tuple[int, int]:
    """What a picture is scaled to: within `largest`, in the same shape, never larger."""
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
    found = _SIZE.fullmatch(text)
    width, height = (int(part) for part in found.groups()) if found else (0, 0)
    if not (1 <= width <= _MOST_PIXELS and 1 <= height <= _MOST_PIXELS):
        raise UsageError(
            f'"{text}" is no size of a picture',
            f"max_size is WIDTHxHEIGHT in pixels, each from 1 to {_MOST_PIXELS}",
            "for example 1280x720",
        )
    return width, height


def split_name(text: str) -> tuple[str | None, str]:
    """`NAME=SOURCE` into its parts; None where no name is given."""
    found = _NAMED.fullmatch(text)
    return (found[1], found[2]) if found else (None, text)


def mask(text: str) -> str:
    """The source or any text around it, with user names and passwords in URLs replaced.

    In time that grows with the text's length only: texts of native libraries come by here.
    """
    return _WORD.sub(_mask_word, text) if "@" in text else text


def _mask_word(word: re.Match[str]) -> str:
    before, _, place = word[0].rpartition("@")
    scheme, separator, _ = before.partition("://")
    return f"{scheme}://***@{place}" if separator else word[0]


def mask_source(text: str) -> str:
    """A source as people may see it: no credentials, and no query, where keys often travel.

    People type passwords with `@`, `/`, `?` and spaces in them, unescaped; so all up to the last
    `@` goes, whatever a strict reader of URLs would take it for. With a `?` before it, what follows
    may be the host as well as the rest of a query: nothing but the scheme is shown.
    """
    if _is_garbled(text) and not _CALLABLE.match(text):
        return "***"
    scheme, separator, rest = text.partition("://")
    if not separator:
        return text
    credentials, at, place = rest.rpartition("@")
    if "?" in credentials:
        return f"{scheme}://***"
    place, query, _ = place.partition("?")
    return f"{scheme}://{'***@' if credentials or at else ''}{place}{'?***' if query else ''}"
