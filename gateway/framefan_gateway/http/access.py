"""Access control by Host and Origin; a refusal says what to do about it.

A page of a foreign site can send requests to this port: from its script, or by DNS rebinding. Its
browser then names the site in Origin or Host. If the gateway listens on loopback only, Host has to
name this machine. Otherwise a token is required, so any Host is allowed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from framefan.base import net

if TYPE_CHECKING:
    from websockets.datastructures import Headers

    from framefan.settings.run import Settings

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9._~%-]+)?\]|[A-Za-z0-9._-]+)(:[0-9]{0,5})?")
_PROBES = ("/healthz", "/readyz")
"""Load balancers may request these with HTTP/1.0, without Host. Browsers always send Host."""
_SHOWN = 100


def refusal(settings: Settings, headers: Headers, path: str = "", *, is_file: bool = False) -> str:
    """Why a request is refused, and which flag would allow it; empty if it is not refused.

    `is_file`: a file of the page was requested. Its Origin does not matter: the file holds nothing
    of this run, and a page that does not load could not say why.
    """
    hosts = headers.get_all("Host")
    if not hosts and path in _PROBES and "Origin" not in headers:
        return ""
    if len(hosts) != 1:
        return f"exactly one Host header is needed, and there are {len(hosts) or 'none'}"
    wrong_host = _of_host(settings, hosts[0])
    return wrong_host or ("" if is_file else _of_origin(settings, headers, hosts[0]))


def _of_host(settings: Settings, host: str) -> str:
    found = _HOST.fullmatch(host)
    if not found:
        return f"this Host is not a valid name or address with a port: {_short(host)}"
    if net.is_loopback(settings.host) and not net.is_loopback(found[1].strip("[]")):
        return (
            f"this Host is not this machine: {_short(host)}; use localhost or 127.0.0.1, or serve "
            "the network: --host 0.0.0.0 --token-file FILE"
        )
    return ""


def _of_origin(settings: Settings, headers: Headers, host: str) -> str:
    origins = headers.get_all("Origin")
    if not origins:
        return ""
    if len(origins) > 1:
        return f"at most one Origin header is allowed, and there are {len(origins)}"
    origin = origins[0]
    if origin in settings.origins or _is_own(origin, host):
        return ""
    if origin == "null":
        return (
            "this Origin is not allowed: null, which pages opened from a file have; "
            "serve the page over http, or allow it with --origin null and a token"
        )
    if "://" not in origin:
        return f"this Origin is not valid: {_short(origin)}; leave the header out"
    return f"this Origin is not allowed; allow it with --origin {_short(origin)}"


def _is_own(origin: str, host: str) -> bool:
    scheme, separator, authority = origin.partition("://")
    return bool(separator) and scheme in ("http", "https") and authority.lower() == host.lower()


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
