"""Secrets as a type: what is shown by mistake shows nothing.

A Secret travels between processes like any record. `str`, `repr` and f-strings of it, also inside
the repr of a record that holds it, give the masked text; only `reveal` gives the real one, so each
place that uses a secret can be found by that word.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from msgspec import Struct

from framefan.errors import UsageError
from framefan.settings import query, source_spec, source_url

if TYPE_CHECKING:
    from framefan.settings.source_spec import SourceSpec

_SHORTEST = 3
"""Shorter passwords are hidden in addresses only: anywhere else they would be part of any word."""
_INSIDE_WORDS = 4
"""Shorter secrets are hidden only where they are a word by themselves: `cam` not in `camera`."""
_SHORTEST_VALUE = 8
"""The same for values in a query, most of which (`channel=1`) are no secrets."""


class Secret(Struct, frozen=True):
    value: str

    def reveal(self) -> str:
        return self.value

    def __bool__(self) -> bool:
        return bool(self.value)

    def __str__(self) -> str:
        return "***" if self.value else ""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def words(self) -> list[str]:
        """What must not be seen of it, in each of its spellings."""
        return [self.value] if len(self.value) >= _SHORTEST else []


class SourceText(Secret, frozen=True):
    """A camera's source: shown without user name, password and query."""

    kind: source_spec.Kind | None = None
    """What it was found to be; None: what its spelling says."""
    path: bytes | None = None
    """Of a file whose name is no plain ASCII: its bytes, which need not be text."""

    @staticmethod
    def found(spec: SourceSpec) -> SourceText:
        """Of a source that was looked for, so that nobody takes it for something else later."""
        value = f"py:{spec.value}" if spec.kind == "callable" else spec.value
        kind = None if _says(value) == spec else spec.kind
        if value.isascii() or spec.kind not in _PATHS:
            return SourceText(value, kind)
        return SourceText(source_spec.printable(value), spec.kind, os.fsencode(value))

    @property
    def spec(self) -> SourceSpec:
        """Raises UsageError for what framefan does not open."""
        if self.kind in (None, "callable"):
            return source_spec.parse(self.reveal())
        return source_spec.SourceSpec(self.kind, self.reveal())

    def reveal(self) -> str:
        return self.value if self.path is None else os.fsdecode(self.path)

    def __str__(self) -> str:
        return self.value if self.kind in _PATHS else source_spec.mask_source(self.value)

    def words(self) -> list[str]:
        if self.kind in _PATHS or "://" not in self.value:
            return []
        words = [word for word in source_url.secrets_in(self.value) if len(word) >= _SHORTEST]
        return words + [value for value in _values(self.value) if len(value) >= _SHORTEST_VALUE]


def _says(value: str) -> SourceSpec | None:
    """What its spelling says."""
    try:
        return source_spec.parse(value)
    except UsageError:
        return None


_PATHS = ("file", "pattern", "callable")


def _values(address: str) -> list[str]:
    """Of the query, as they are written and as they are meant; an `@` may be one's part."""
    written = [pair.partition("=")[2] for pair in address.partition("?")[2].split("&")]
    return [*written, *(value for _, value in query.split(address)[1])]


class Redaction:
    """Takes known secrets, and the credentials of any address, out of text for people."""

    def __init__(self, *secrets: Secret) -> None:
        words = {word for secret in secrets for word in secret.words()}
        self._words = sorted(words)

    def clean(self, text: str) -> str:
        """All is found in the text as it came: none hides a part of another from being seen."""
        spans = source_spec.login_spans(text)
        for word in self._words:
            at = text.find(word)
            while at >= 0:
                if len(word) >= _INSIDE_WORDS or _is_word(text, at, at + len(word)):
                    spans.append((at, at + len(word)))
                at = text.find(word, at + 1)
        return source_spec.replaced(text, spans)


def _is_word(text: str, start: int, end: int) -> bool:
    """Whether no letter or digit stands right before or behind."""
    return not text[max(start - 1, 0) : start].isalnum() and not text[end : end + 1].isalnum()
