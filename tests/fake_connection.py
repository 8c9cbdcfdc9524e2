"""What the fake camera's two protocols share: requests, waiting, logins, one script per connection.

A connection lives in one thread of its own. It ends with the last step of its script, or by `Gone`
as soon as the client leaves or the test cuts it: every wait is a wait on the socket.
"""

from __future__ import annotations

import abc
import base64
import contextlib
import hashlib
import re
import select
import socket
from http.client import responses
from typing import TYPE_CHECKING, NamedTuple

from framefan.base.clock import now

if TYPE_CHECKING:
    from fake_camera import FakeCamera

REALM = "camera"
NONCE = "b7a1"


class Gone(Exception):
    """The client went away, or the test cut the connection."""


class Request(NamedTuple):
    method: str
    url: str
    headers: dict[str, str]
    """Their names in lower case."""


class Connection(abc.ABC):
    """One client. The steps of a script call `reach`, `send...`, `start_stream` and `pause`."""

    protocol = ""
    """As in a status line: `HTTP/1.1`."""

    def __init__(self, sock: socket.socket, camera: FakeCamera) -> None:
        self.camera = camera
        self.streaming = False
        self._sock = sock
        self._unread = b""
        self._request: Request | None = None

    def serve(self) -> None:
        """Answer until the script is over. A client that never asks uses up no script."""
        with self._sock, contextlib.suppress(Gone):
            self.before_script()
            for step in self.camera.take_script():
                step.play(self)

    def cut(self) -> None:
        """End it, from any thread."""
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    @property
    def request(self) -> Request:
        """The one that has no answer yet; waits for it."""
        if self._request is None:
            self._request = self._read_request()
        return self._request

    def reply(self, answer: bytes) -> None:
        self.send(answer)
        self._request = None

    @abc.abstractmethod
    def before_script(self) -> None:
        """Wait for the first request, and answer what is answered alike under every script."""

    @abc.abstractmethod
    def reach(self, method: str) -> None:
        """Answer well until the request is this one; `""`: whichever comes."""

    @abc.abstractmethod
    def answer(self) -> bytes:
        """The good answer to the request."""

    @abc.abstractmethod
    def start_stream(self) -> None:
        """Answer well until pictures may be sent."""

    @abc.abstractmethod
    def send_picture(self, data: bytes, claimed: int) -> None:
        """One picture; `claimed` is added to the length that is told for it, where one is told."""

    def status(self, code: int, *headers: str) -> bytes:
        lines = [f"{self.protocol} {code} {responses.get(code, 'Failed')}", *headers, "", ""]
        return "\r\n".join(lines).encode()

    def unauthorised(self) -> bytes:
        asked = f'Digest realm="{REALM}", nonce="{NONCE}"'
        if self.camera.auth == "basic":
            asked = f'Basic realm="{REALM}"'
        return self.status(401, f"WWW-Authenticate: {asked}", "Content-Length: 0")

    def may_enter(self) -> bool:
        """Whether the request brings the account, if one is demanded."""
        account, scheme = self.camera.account, self.camera.auth
        if not account:
            return True
        entered = is_login(self.request, account, scheme)
        self.camera.count(self.camera.logins, scheme if entered else "refused")
        return entered

    def send(self, data: bytes) -> None:
        try:
            self._sock.sendall(data)
        except OSError:
            raise Gone from None

    def pause(self, seconds: float) -> None:
        """Send nothing for so long, but hear the client."""
        end = now() + seconds
        while True:
            self.heard()
            left = max(0.0, end - now())
            if select.select([self._sock], [], [], min(left, 60.0))[0]:
                self.receive()
            elif not left:
                return

    @abc.abstractmethod
    def heard(self) -> None:
        """Answer what came in, where no request is waited for."""

    def receive(self) -> None:
        try:
            data = self._sock.recv(65536)
        except OSError:
            raise Gone from None
        if not data:
            raise Gone
        self._unread += data

    def _read_request(self) -> Request:
        while (request := self.take_request()) is None:
            self.receive()
        return request

    def take_request(self) -> Request | None:
        """The next request, if the whole of it has come in."""
        head, end, rest = self._unread.partition(b"\r\n\r\n")
        if not end:
            return None
        self._unread = rest
        request = parse_request(head.decode("latin-1"))
        if request is None:
            return self.take_request()  # FFmpeg answers garbage, as if that had asked something
        self.camera.count(self.camera.requests, request.method)
        return request


def parse_request(head: str) -> Request | None:
    """None if it is something else. No request that we know has a body."""
    first, *lines = head.split("\r\n")
    line = re.fullmatch(r"([A-Z_]+) (\S+) \w+/\d\.\d", first)
    fields = re.findall(r"^([^:]+):\s*(.*?)\s*$", "\n".join(lines), re.MULTILINE)
    return line and Request(line[1], line[2], {name.lower(): value for name, value in fields})


def is_login(request: Request, account: str, scheme: str) -> bool:
    """Whether a request proves `user:password`, by Basic or by Digest (RFC 2617, without qop)."""
    header = request.headers.get("authorization", "")
    if scheme == "basic":
        return header == f"Basic {base64.b64encode(account.encode()).decode()}"
    if not header.startswith("Digest "):
        return False
    said = dict(re.findall(r'(\w+)="?([^",]*)"?', header))
    user, _, password = account.partition(":")
    secret = _md5(user, REALM, password)
    return said.get("response") == _md5(secret, NONCE, _md5(request.method, said.get("uri", "")))


def _md5(*parts: str) -> str:
    return hashlib.md5(":".join(parts).encode()).hexdigest()
