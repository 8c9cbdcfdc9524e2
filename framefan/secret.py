"""Secrets as a type: what is shown by mistake shows nothing.

A Secret travels between processes like any record. `str`, `repr` and f-strings of it, also inside
the repr of a record that holds it, give the masked text; only `reveal` gives the real one, so each
place that uses a secret can be found by that word.
"""

from __future__ import annotations

import base64
from urllib.parse import parse_qsl, unquote

from msgspec import Struct

from framefan.sources import mask, mask_source

_SHORTEST = 3
"""Shorter passwords are hidden in addresses only: anywhere else they would be part of any word."""
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
        return [self.value] if self.value else []


class SourceText(Secret, frozen=True):
    """A camera's source: shown without user name, password and query."""

    def __str__(self) -> str:
        return mask_source(self.value)

    def words(self) -> list[str]:
        _, separator, rest = self.value.partition("://")
        if not separator:
            return []
        login, _, _ = rest.rpartition("@")
        password = login.partition(":")[2]
        basic = base64.b64encode(unquote(login).encode()).decode() if login else ""
        words = [word for word in (password, unquote(password), basic) if len(word) >= _SHORTEST]
        return words + [value for value in _values(rest) if len(value) >= _SHORTEST_VALUE]


def _values(address: str) -> list[str]:
    """Of the query, as they are written and as they are meant; an `@` may be one's part."""
    _, _, query = address.partition("?")
    written = [pair.partition("=")[2] for pair in query.split("&")]
    return [*written, *(value for _, value in parse_qsl(query))]


class Redaction:
    """Takes known secrets, and the credentials of any address, out of text for people."""

    def __init__(self, *secrets: Secret) -> None:
        words = {word for secret in secrets for word in secret.words()}
        # The longest first: one secret may be part of another.
        self._words = sorted(words, key=len, reverse=True)

    def clean(self, text: str) -> str:
        text = mask(text)
        for word in self._words:
            text = text.replace(word, "***")
        return text
