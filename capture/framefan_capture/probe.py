"""Why a network camera does not open, though its port does: answered in reason codes.

OpenCV says only that it failed. So a plain request is sent after it, with the login the camera asks
for, along its redirects; and the status line that comes back decides. No text made here holds a
user name or password.
"""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urljoin

from framefan import clock, source_url
from framefan.errors import SourceError
from framefan_capture import login, reach

if TYPE_CHECKING:
    from framefan.source_url import SourceUrl

_LIMIT_S = (0.5, 2.0)
"""The least and the most that asking may take."""
_LEAST_S = 0.02
_MOST_REQUESTS = 6
_MOST_BYTES = 16384
_REDIRECTS = (301, 302, 303, 307, 308)
_SCHEMES = {"rtsp": ("rtsp", "rtsps"), "http": ("http", "https")}


class Answer(NamedTuple):
    status: int
    challenges: list[str]
    location: str


def explain(url: SourceUrl, timeout_s: float) -> SourceError:
    """What is wrong with a camera that takes connections, from its answer to a plain request."""
    least_s, most_s = _LIMIT_S
    until = clock.now() + max(least_s, min(timeout_s, most_s))
    try:
        answer = _final_answer(url, until)
    except SourceError as error:
        return error
    return _verdict(_shown(url), answer)


def _verdict(shown: str, answer: Answer | None) -> SourceError:
    if answer is None:
        return SourceError(
            "unreadable",
            f"{shown} cannot be played",
            "something answers there, but not as a camera does",
            "check the scheme, the port and the path in the URL",
        )
    why = f"it answered {answer.status}"
    if answer.status in (401, 403):
        what, fix = "did not let framefan in", "check the user name and password in the URL"
        return SourceError("unauthorised", f"{shown} {what}", why, fix)
    if answer.status in (404, 410):
        what, fix = "does not exist on that camera", "check the path in the URL"
        return SourceError("not_found", f"{shown} {what}", why, fix)
    if answer.status != 200:
        fix = "see what the camera's own log says; framefan tries again"
        return SourceError("unreadable", f"{shown} cannot be played", why, fix)
    return SourceError(
        "unreadable",
        f"{shown} cannot be played",
        "the camera answers, but OpenCV finds no video in what it sends",
        "check the path in the URL, and the camera's transport; ffprobe shows what is there",
    )


def _final_answer(url: SourceUrl, until: float) -> Answer | None:
    """The answer after logins and redirects; None for what is none. Raises SourceError."""
    proof: str | None = None
    for _ in range(_MOST_REQUESTS):
        answer = _ask(url, proof, until)
        if answer is None:
            return None
        if answer.status == 401 and proof is None and url.account is not None:
            account = login.Account(*url.account)
            proof = login.authorization(answer.challenges, account, *_target(url))
            if proof is not None:
                continue
        place = _followed(url, answer.location) if answer.status in _REDIRECTS else None
        if place is None:
            return answer
        url, proof = place, None
    return answer


def _followed(url: SourceUrl, location: str) -> SourceUrl | None:
    """Where a redirect leads, if to the same kind of source: never from the network to a file."""
    try:
        place = source_url.read(urljoin(url.for_ffmpeg, location))
    except ValueError:
        return None
    same_kind = place is not None and place.scheme in _SCHEMES[url.scheme[:4]]
    return place if location and same_kind else None


def _shown(url: SourceUrl) -> str:
    return source_url.shown(url.for_ffmpeg)


def _target(url: SourceUrl) -> tuple[str, str]:
    """Method and URI of the request: RTSP names the whole address."""
    target = url.target.replace(" ", "%20")
    path = target if target.startswith("/") else f"/{target}"
    if url.scheme.startswith("rtsp"):
        return "DESCRIBE", f"{url.scheme}://{_host(url)}{path}"
    return "GET", path


def _host(url: SourceUrl) -> str:
    """Without a zone: it means something on this machine only."""
    name = url.host.partition("%")[0]
    return f"[{name}]:{url.port}" if ":" in name else f"{name}:{url.port}"


def _ask(url: SourceUrl, proof: str | None, until: float) -> Answer | None:
    """One request on a connection of its own. Raises SourceError."""
    try:
        sock = reach.connect(url, _left(until))
        with contextlib.closing(_secured(sock, url, until)) as sock:
            sock.sendall(_request(url, proof))
            head = _head(sock, until)
    except TimeoutError:
        raise SourceError(
            "timeout",
            f"{_shown(url)} does not answer",
            "it takes the connection and stays silent",
            "restart the camera, if that goes on",
        ) from None
    except OSError:
        return None
    if not head:
        raise SourceError(
            "closed",
            f"{_shown(url)} takes the connection and closes it",
            "it does so without an answer",
            "the camera may serve as many as it can; framefan tries again",
        )
    return parse_answer(head)


def _left(until: float) -> float:
    """Raises TimeoutError where too little is left for a look-up and a connection."""
    left_s = until - clock.now()
    if left_s < _LEAST_S:
        raise TimeoutError
    return left_s


def _secured(sock: socket.socket, url: SourceUrl, until: float) -> socket.socket:
    """Over TLS where the scheme says so, and like FFmpeg with any certificate: cameras sign their
    own.
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
    lines = [f"{method} {uri} HTTP/1.0", f"Host: {_host(url)}", "Accept: */*"]
    if method == "DESCRIBE":
        lines = [f"{method} {uri} RTSP/1.0", "CSeq: 1", "Accept: application/sdp"]
    if proof is not None:
        lines.append(f"Authorization: {proof}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _head(sock: socket.socket, until: float) -> bytes:
    """All up to the empty line. A camera that sends a byte now and then is a silent one."""
    head = b""
    while b"\r\n\r\n" not in head and len(head) < _MOST_BYTES:
        if clock.now() > until:
            raise TimeoutError
        data = sock.recv(4096)
        if not data:
            break
        head += data
    return head


def parse_answer(head: bytes) -> Answer | None:
    """Status line and the headers that matter; None for anything else."""
    text = head.decode("latin-1")
    found = re.match(r"(?:HTTP|RTSP)/\d\.\d (\d{3})\b", text)
    if found is None:
        return None
    fields = re.findall(r"^([\w-]+):[ \t]*(.*?)\r?$", text, re.MULTILINE)
    challenges = [value for name, value in fields if name.lower() == "www-authenticate"]
    places = [value for name, value in fields if name.lower() == "location"]
    return Answer(int(found[1]), challenges, places[0] if places else "")
