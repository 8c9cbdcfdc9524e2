"""Addresses of a gateway's WebSocket: parsing a user's text, and adding the query of a client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from framefan.client import position
from framefan.errors import UsageError
from framefan.settings import query

if TYPE_CHECKING:
    from collections.abc import Mapping

    from framefan.client.position import Position

DEFAULT = "ws://127.0.0.1:8765/ws"
_SCHEMES = {"ws": "ws", "wss": "wss", "http": "ws", "https": "wss"}
_IN_QUERY = {"cameras": "camera", "labels": "label"}
"""Names that differ between the query and the protocol's records."""
_QUERY_TOKENS = {"token", "access_token"}


def websocket(text: str, tls: bool = False) -> str:
    """The WebSocket address for `ws://`, `wss://`, `http://`, `https://` or `HOST[:PORT]`.

    Raises UsageError for anything else, and with `tls` for an address without TLS.
    """
    scheme, separator, _ = text.partition("://")
    if not separator:
        scheme, text = ("wss", f"wss://{text}") if tls else ("ws", f"ws://{text}")
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise _unusable(text, str(error)) from None
    if scheme not in _SCHEMES:
        raise _unusable(text, f"{scheme}:// is not an address of a gateway")
    if tls and _SCHEMES[scheme] != "wss":
        raise _unusable(text, f"a certificate is given, but {scheme}:// does not use TLS")
    if not parts.hostname or port == 0:
        raise _unusable(text, "it has no host, or port 0")
    if parts.username is not None or parts.password is not None:
        raise _unusable(text, "user names and passwords are not used; a token is")
    if not _QUERY_TOKENS.isdisjoint(dict(query.pairs(parts.query))):
        raise _unusable(text, "a token in an address ends up in logs; pass it as the token")
    path = "/ws" if parts.path in ("", "/") else parts.path
    return urlunsplit((_SCHEMES[scheme], parts.netloc, path, parts.query, ""))


def _unusable(text: str, why: str) -> UsageError:
    return UsageError(
        f"not an address of a gateway: {text.rpartition('@')[2]}", why, f"write it like {DEFAULT}"
    )


def asking(url: str, subscription: Mapping[str, Any], since: Mapping[str, Position]) -> str:
    """The address with the subscription as its query, which cannot express None, False or []."""
    wanted = {
        _IN_QUERY.get(name, name): _in_query(value)
        for name, value in subscription.items()
        if value is not None and value is not False and value != []
    }
    if since:
        wanted["since"] = ",".join(position.told(*each) for each in since.items())
    parts = urlsplit(url)
    if "ack" in dict(query.pairs(parts.query)):  # as docs/clients.md shows for other libraries
        wanted.pop("ack", None)
    asked = "&".join(filter(None, (parts.query, urlencode(wanted, safe=",:", quote_via=quote))))
    return urlunsplit(parts._replace(query=asked))


def _in_query(value: Any) -> str:
    if value is True:
        return "1"
    if isinstance(value, list | tuple):
        return ",".join(value)
    return str(value)
