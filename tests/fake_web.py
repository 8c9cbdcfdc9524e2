"""An HTTP server for tests whose answers are written by hand, byte for byte, one path for each."""

from __future__ import annotations

import contextlib
import socketserver
import ssl
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    Answer = Callable[["Request"], Iterable[bytes]]


class Request:
    def __init__(self, path: str, fields: dict[str, str], number: int) -> None:
        self.path = path
        self.fields = fields
        self.number = number
        """How many came before it."""


class WebServer:
    """At http://127.0.0.1:PORT; `answers` may be changed at any time. Pieces are sent as they come.

    A connection stays for a further request after an answer with a Content-Length. `pem`: a file
    with a key and its certificate, to serve https.
    """

    def __init__(self, *, pem: Path | None = None, **answers: Answer) -> None:
        self.answers = answers
        self._scheme = "https" if pem else "http"
        self.requests: list[Request] = []
        self.connections = 0
        self.current = 0
        self._lock = threading.Lock()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.web = self
        if pem:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pem)
            served = self._server.socket
            self._server.socket = context.wrap_socket(
                served, server_side=True, do_handshake_on_connect=False
            )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))

    def url(self, name: str, login: str = "") -> str:
        return f"{self._scheme}://{login}127.0.0.1:{self._server.server_address[1]}/{name}"

    def answer(self, path: str, fields: dict[str, str]) -> Iterable[bytes]:
        name = path.strip("/").partition("?")[0].partition(".")[0]
        with self._lock:
            request = Request(path, fields, len(self.requests))
            self.requests.append(request)
        if name not in self.answers:
            return [b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"]
        return self.answers[name](request)

    def count(self, opened: bool) -> None:
        with self._lock:
            self.connections += opened
            self.current += 1 if opened else -1

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def whole(body: bytes, kind: str, *more: str) -> bytes:
    """An answer with its length told."""
    lines = ["HTTP/1.1 200 OK", f"Content-Type: {kind}", f"Content-Length: {len(body)}", *more]
    return "\r\n".join([*lines, "", ""]).encode() + body


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    web: WebServer


class _Handler(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        self.server.web.count(opened=True)
        with contextlib.suppress(OSError):
            while self._one():
                pass
        self.server.web.count(opened=False)

    def _one(self) -> bool:
        """Whether a further request may follow."""
        first = self.rfile.readline().decode("latin-1").split()
        fields = {}
        while line := self.rfile.readline().decode("latin-1").strip():
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip()
        if not first:
            return False
        begin = b""
        for piece in self.server.web.answer(first[1], fields):
            begin = begin or piece
            self.wfile.write(piece)
        head = begin.partition(b"\r\n\r\n")[0].lower()
        return b"content-length" in head and b"connection: close" not in head
