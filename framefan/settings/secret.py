"""A type for secrets, so that a secret that is printed by mistake shows only masked text.

A Secret travels between processes like any record. `str`, `repr` and f-strings give the masked
text, also in the repr of a record that contains it. Only `reveal` gives the real text, so a search
for `reveal` finds every use of a secret.
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
"""Shorter passwords are hidden in addresses only: in other text they occur inside many words."""
_INSIDE_WORDS = 4
"""Shorter secrets are hidden only where they are a whole word: `cam` is not hidden in `camera`."""
_SHORTEST_VALUE = 8
"""Like _SHORTEST, for values in a query, most of which (`channel=1`) are not secrets."""


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
        """The texts that must be hidden: the secret in each of its spellings."""
        return [self.value] if len(self.value) >= _SHORTEST else []


class SourceText(Secret, frozen=True):
    """A camera's source, shown without user name, password and query."""

    kind: source_spec.Kind | None = None
    """The kind of source that was found; None: the kind that its spelling implies."""
    path: bytes | None = None
    """The path's bytes if the path is not plain ASCII; they may be invalid as text."""

    @staticmethod
    def found(spec: SourceSpec) -> SourceText:
        """Made from a source that was looked up, so that its kind cannot change later."""
        value = f"py:{spec.value}" if spec.kind == "callable" else spec.value
        kind = None if _says(value) == spec else spec.kind
        if value.isascii() or spec.kind not in _PATHS:
            return SourceText(value, kind)
        return SourceText(source_spec.printable(value), spec.kind, os.fsencode(value))

    @property
    def spec(self) -> SourceSpec:
        """Raises UsageError for a source that framefan cannot open."""
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
    """The source that the spelling implies, or None if it is invalid."""
    try:
        return source_spec.parse(value)
    except UsageError:
        return None


_PATHS = ("file", "pattern", "callable")


def _values(address: str) -> list[str]:
    """The values of the query, both as written and decoded; a value may contain `@`."""
    written = [pair.partition("=")[2] for pair in address.partition("?")[2].split("&")]
    return [*written, *(value for _, value in query.split(address)[1])]


class Redaction:
    """Removes known secrets, and the credentials in any address, from text for people."""

    def __init__(self, *secrets: Secret) -> None:
        words = {word for secret in secrets for word in secret.words()}
        self._words = sorted(words)

    def clean(self, text: str) -> str:
        """Mask all secrets. Overlapping ones are found too: all searches use the original text."""
        spans = source_spec.login_spans(text)
        for word in self._words:
            at = text.find(word)
            while at >= 0:
                if len(word) >= _INSIDE_WORDS or _is_word(text, at, at + len(word)):
                    spans.append((at, at + len(word)))
                at = text.find(word, at + 1)
        return source_spec.replaced(text, spans)


def _is_word(text: str, start: int, end: int) -> bool:
    """Whether no letter or digit directly precedes or follows."""
    return not text[max(start - 1, 0) : start].isalnum() and not text[end : end + 1].isalnum()
