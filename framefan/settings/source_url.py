"""Parses addresses of network cameras in one way for checking, showing, probing and opening them.

Users type passwords unescaped, with `#`, `/`, `?`, `@` and spaces. So an address can be read in two
ways: by RFC 3986, where the first of `/?#` ends the host, or as the user meant it, where the last
`@` ends the login. If only one way gives a valid address, it is used; if both do, the address is
refused. OpenCV gets the address with its login escaped, so that all libraries read it alike.
"""

from __future__ import annotations

import base64
import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from urllib.parse import quote, unquote, unquote_to_bytes

from msgspec import Struct

from framefan.errors import UsageError

PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
"""The schemes of network cameras, each with its usual port."""
WRITE_IT = "put user:password@ before the host of {}://host:port/path"
"""Worded so that redaction does not treat it as a real address with a password."""
_ESCAPES = "special characters are %XX (%40 for @, %23 for #, %2F for /, %3F for ?)"
_PLACE = re.compile(r"(\[[^\[\]@]*\]|[^\[\]:@]*)(?::([0-9]*))?")
_NAME = re.compile(r"[\w.~-]+")
_ZONE = re.compile(r"[^\s/?#@%\[\]]+")
_NO_TEXT = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
"""Control characters, and bytes that are not UTF-8."""
_LAST_PORT = 65535
_PLAIN = "!$&'()*+,;="
"""Characters of a login that need no escape. FFmpeg keeps only 127 characters of an RTSP login."""


class SourceUrl(Struct, frozen=True):
    """A parsed address. `host` is in the form that the system looks up: IPv6 without brackets, with
    its zone after `%`. `target` is the path, the query and all that follows them.
    """

    scheme: str
    login: str
    """As it was written; empty if there is none."""
    host: str
    port: int
    target: str
    has_port: bool = False

    def __repr__(self) -> str:
        return "SourceUrl(***)"

    @property
    def account(self) -> tuple[str, str] | None:
        """User name and password, unescaped; None if there is no login."""
        if not self.login:
            return None
        user, _, password = self.login.partition(":")
        return unquote(user), unquote(password)

    @property
    def is_secured(self) -> bool:
        """Whether the connection uses TLS."""
        return self.scheme in ("rtsps", "https")

    def place(self, host: str) -> str:
        """Host and port as in an address; the port only if it was given."""
        bracketed = f"[{host}]" if ":" in host else host
        return f"{bracketed}:{self.port}" if self.has_port else bracketed

    @property
    def for_ffmpeg(self) -> str:
        """The complete address, including the password, in a form that FFmpeg parses correctly.

        FFmpeg accepts no login without a colon, no scheme in capitals, and no escape in a zone.
        """
        login = f"{_escaped_login(self.login)}@" if self.login else ""
        target = self.target.replace(" ", "%20")
        return f"{self.scheme}://{login}{self.place(self.host)}{target}"


def read(text: str) -> SourceUrl | None:
    """The parsed address; None if it is incomplete or ambiguous."""
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in PORTS or _NO_TEXT.search(text):
        return None
    strict, meant = _strict(scheme, rest), _meant(scheme, rest)
    if "@" not in _parted(rest)[1] or meant is None:
        return strict
    if strict is None:
        return meant
    # A user name alone has no `/`, `?` or `#`, and no user has a name like an IP address.
    is_strict = ":" not in meant.login or _is_ip(strict.host)
    return strict if is_strict else None


def checked(text: str) -> SourceUrl:
    """The parsed address. Raises UsageError if it is incomplete or ambiguous."""
    url = read(text)
    if url is not None:
        return url
    scheme, _, rest = text.partition("://")
    if _strict("rtsp", rest) and _meant("rtsp", rest):
        why = "its login or its path contains characters that end a host name"
    else:
        why = "it names no host, or no port from 1 to 65535"
    raise UsageError(
        f'"{shown(text)}" is not a complete address',
        why,
        f"{_ESCAPES}; {WRITE_IT.format(scheme.lower())}",
    )


def shown(text: str) -> str:
    """The address as it may be shown: without login, and without query, which often contains keys.

    If a part of a login could be anywhere in it, only the scheme is shown.
    """
    scheme, _, rest = text.partition("://")
    url = read(text)
    login, at, place = rest.rpartition("@")
    is_doubtful = "@" in _parted(rest)[1] and ("?" in login or _strict("rtsp", rest) is not None)
    if url is None or is_doubtful:
        return f"{scheme}://***"
    path = re.split(r"[?#]", place, maxsplit=1)[0]
    query = f"{place[len(path)]}***" if len(path) < len(place) else ""
    return f"{scheme}://{'***@' if at else ''}{path}{query}"


def secrets_in(text: str) -> set[str]:
    """The texts of an address that must be hidden, for each way to parse and spell its login."""
    _, separator, rest = text.partition("://")
    if not separator:
        return set()
    found = set()
    for login in (rest.rpartition("@")[0], _parted(rest)[0].rpartition("@")[0]):
        user, _, password = login.partition(":")
        if password:
            basic = f"{unquote(user)}:{unquote(password)}".encode(errors="replace")
            found |= {password, unquote(password), _escaped(password)}
            found.add(base64.b64encode(basic).decode())
    return found


def _parted(rest: str) -> tuple[str, str]:
    """The text before the first of `/?#`, and the rest."""
    end = re.search(r"[/?#]", rest)
    return (rest[: end.start()], rest[end.start() :]) if end else (rest, "")


def _strict(scheme: str, rest: str) -> SourceUrl | None:
    """The address as RFC 3986 reads it."""
    authority, target = _parted(rest)
    login, _, place = authority.rpartition("@")
    return _made(scheme, login, place, target)


def _meant(scheme: str, rest: str) -> SourceUrl | None:
    """The address as meant by a user who typed an unescaped password."""
    login, _, after = rest.rpartition("@")
    return _made(scheme, login, *_parted(after))


def _made(scheme: str, login: str, place: str, target: str) -> SourceUrl | None:
    found = _PLACE.fullmatch(place)
    host = _host(found[1]) if found else None
    if not found or host is None:
        return None
    port = int(found[2]) if found[2] and len(found[2]) <= len(str(_LAST_PORT)) else None
    if found[2] and not (port and port <= _LAST_PORT):
        return None
    return SourceUrl(scheme, login, host, port or PORTS[scheme], target, bool(port))


def _host(written: str) -> str | None:
    """The host as the system looks it up; None if it is not a host."""
    if written.startswith("["):
        return _ipv6(written[1:-1])
    name = unquote(written)
    if not _NAME.fullmatch(name):
        return None
    try:
        return name if name.isascii() else name.encode("idna").decode()
    except UnicodeError:
        return None


def _ipv6(text: str) -> str | None:
    """The IPv6 address with its zone, which RFC 6874 writes after `%25`, many users after `%`."""
    address, percent, zone = text.partition("%")
    try:
        IPv6Address(address)
    except AddressValueError:
        return None
    zone = unquote(zone.removeprefix("25"))
    if percent and not _ZONE.fullmatch(zone):
        return None
    return address + percent + zone


def _is_ip(host: str) -> bool:
    try:
        IPv4Address(host)
    except AddressValueError:
        return ":" in host
    return True


def _escaped_login(login: str) -> str:
    """`user:password`, also if only a user was given."""
    user, _, password = login.partition(":")
    return f"{_escaped(user)}:{_escaped(password)}"


def _escaped(text: str) -> str:
    """The text, decoded and escaped again; a `%` that begins no escape becomes `%25`."""
    return quote(unquote_to_bytes(text.encode(errors="surrogatepass")), safe=_PLAIN)
