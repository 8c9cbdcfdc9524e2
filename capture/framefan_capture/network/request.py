"""A plain request to a camera, over HTTP or RTSP, with login and redirects.

One time limit covers everything. No text from here contains a user name or password.
"""

from __future__ import annotations

import re
import socket
import ssl
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urljoin

from framefan.base import clock
from framefan.errors import SourceError
from framefan.settings import source_url
from framefan_capture.network import login, tcp_connect

if TYPE_CHECKING:
    from collections.abc import Sequence

    from framefan.settings.source_url import SourceUrl

_MOST_HEAD = 16384
_LEAST_S = 0.02
_MOST_REQUESTS = 6
_REDIRECTS = (301, 302, 303, 307, 308)
_SCHEMES = {"rtsp": ("rtsp", "rtsps"), "http": ("http", "https")}
_HEAD_ENDS = re.compile(rb"\r?\n\r?\n")


class Answer(NamedTuple):
    status: int
    fields: list[tuple[str, str]]
    """Headers in their order, with lower-case names."""

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.fields if key == name]

    def first(self, name: str) -> str:
        return next(iter(self.all(name)), "")


class Conversation:
    """One connection to a camera: sends requests and reads the headers of responses.

    The body is `rest`, followed by all further bytes from the socket.
    """

    def __init__(self, url: SourceUrl, until: float) -> None:
        """Raises SourceError if there is no connection, OSError if TLS fails."""
        self.url = url
        self.sock = _secured(tcp_connect.connect(url, _left(until)), url, until)
        self.rest = b""

    def ask(self, proof: str | None, until: float) -> Answer | None:
        """Send one request; return None if the response is invalid. Raises SourceError, OSError."""
        self.sock.settimeout(_left(until))
        self.sock.sendall(_request(self.url, proof))
        head = self._head(until)
        if not head:
            raise SourceError(
                "closed",
                f"{shown(self.url)} takes the connection and closes it",
                "it does so without an answer",
                "the camera may have reached its limit of connections; framefan tries again",
            )
        return parse_answer(head)

    def receive(self, until: float) -> bytes:
        """Read the next bytes; empty at the end. Raises OSError; TimeoutError if nothing came."""
        if self.rest:
            data, self.rest = self.rest, b""
            return data
        left_s = until - clock.now()
        if left_s <= 0:
            raise TimeoutError
        self.sock.settimeout(left_s)
        return self.sock.recv(65536)

    def close(self) -> None:
        self.sock.close()

    def _head(self, until: float) -> bytes:
        """Read up to the empty line; the time limit covers all of it."""
        head = b""
        while (end := _HEAD_ENDS.search(head)) is None and len(head) < _MOST_HEAD:
            data = self.receive(until)
            if not data:
                return head
            head = (head + data).lstrip(b"\r\n")  # may end the previous response
        if end is not None:
            head, self.rest = head[: end.end()], head[end.end() :]
        return head


class Reached(NamedTuple):
    """The final response after logins and redirects."""

    talk: Conversation
    """Its connection, still open."""
    answer: Answer
    challenges: list[str]
    """The challenges of the login that it needed."""


def reach_answer(
    url: SourceUrl, until: float, challenges: Sequence[str] = (), count: int = 1
) -> Reached | None:
    """The response after logins and redirects; None if it is not that of a camera.

    `challenges`: from an earlier request to this URL; `count`: how many requests have used them.
    Raises SourceError, also on a timeout.
    """
    challenges, is_new = list(challenges), False
    for asked in range(_MOST_REQUESTS):
        found = _asked(url, proof(url, challenges, 1 if is_new else count), until)
        if found is None:
            return None
        talk, answer = found
        wanted = answer.all("www-authenticate") if answer.status == 401 else []
        place = _followed(url, answer.first("location")) if answer.status in _REDIRECTS else None
        if not is_new and proof(url, wanted):
            challenges, is_new = wanted, True
        elif place is not None:
            url, challenges, is_new = place, [], False
        else:
            break
        if asked < _MOST_REQUESTS - 1:
            talk.close()
    return Reached(talk, answer, challenges)


def _asked(url: SourceUrl, proof: str | None, until: float) -> tuple[Conversation, Answer] | None:
    talk = answer = None
    try:
        talk = Conversation(url, until)
        answer = talk.ask(proof, until)
    except TimeoutError:
        raise SourceError(
            "timeout",
            f"{shown(url)} does not answer",
            "it takes the connection and stays silent",
            "restart the camera, if that goes on",
        ) from None
    except ssl.SSLError as error:
        raise _no_tls(url, error) from None
    except OSError:
        pass
    finally:
        if talk is not None and answer is None:
            talk.close()
    return None if talk is None or answer is None else (talk, answer)


def _no_tls(url: SourceUrl, error: ssl.SSLError) -> SourceError:
    reason = (error.reason or "the handshake failed").replace("_", " ").lower()
    plain = url.scheme.removesuffix("s")
    return SourceError(
        "unreadable",
        f"{shown(url)} does not speak TLS as framefan does",
        f"OpenSSL says: {reason}",
        f"if the camera has no encryption at this port, write {plain}: instead of {url.scheme}:",
    )


def proof(url: SourceUrl, challenges: list[str], count: int = 1) -> str | None:
    """The `Authorization` for these challenges, for the request with that number."""
    if url.account is None or not challenges:
        return None
    return login.authorization(challenges, login.Account(*url.account), *_target(url), count)


def shown(url: SourceUrl) -> str:
    return source_url.shown(url.for_ffmpeg)


def _followed(url: SourceUrl, location: str) -> SourceUrl | None:
    """The target of a redirect if it is the same kind of source: never a file, for example."""
    try:
        place = source_url.read(urljoin(url.for_ffmpeg, location))
    except ValueError:
        return None
    same_kind = place is not None and place.scheme in _SCHEMES[url.scheme[:4]]
    return place if location and same_kind else None


def _target(url: SourceUrl) -> tuple[str, str]:
    """Method and URI of the request; in RTSP the URI is the whole URL."""
    target = url.target.replace(" ", "%20")
    path = target if target.startswith("/") else f"/{target}"
    if url.scheme.startswith("rtsp"):
        return "DESCRIBE", f"{url.scheme}://{_host(url)}{path}"
    return "GET", path


def _host(url: SourceUrl) -> str:
    """Host and port, without an IPv6 zone, which is local to this machine."""
    name = url.host.partition("%")[0]
    return f"[{name}]:{url.port}" if ":" in name else f"{name}:{url.port}"


def _left(until: float) -> float:
    """The seconds left. Raises TimeoutError if they are too few for a look-up and a connection."""
    left_s = until - clock.now()
    if left_s < _LEAST_S:
        raise TimeoutError
    return left_s


def _secured(sock: socket.socket, url: SourceUrl, until: float) -> socket.socket:
    """Start TLS if the scheme needs it. Like FFmpeg, this accepts any certificate: those of cameras
    are self-signed.
    """
    sock.settimeout(max(0.01, until - clock.now()))
    if not url.is_secured:
        return sock
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        return context.wrap_socket(sock, server_hostname=url.host.partition("%")[0])
    except OSError:
        sock.close()
        raise


def _request(url: SourceUrl, proof: str | None) -> bytes:
    method, uri = _target(url)
    lines = [f"{method} {uri} HTTP/1.1", f"Host: {_host(url)}", "Accept: */*"]
    if method == "DESCRIBE":
        lines = [f"{method} {uri} RTSP/1.0", "CSeq: 1", "Accept: application/sdp"]
    lines.append("User-Agent: framefan")
    if proof is not None:
        lines.append(f"Authorization: {proof}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def parse_answer(head: bytes) -> Answer | None:
    """Parse the status line and headers; None if they are invalid."""
    text = head.decode("latin-1")
    found = re.match(r"(?:HTTP|RTSP)/\d\.\d (\d{3})\b", text)
    if found is None:
        return None
    fields = re.findall(r"^([\w-]+):[ \t]*(.*?)[ \t]*\r?$", text, re.MULTILINE)
    return Answer(int(found[1]), [(name.lower(), value) for name, value in fields])
