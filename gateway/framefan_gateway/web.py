"""What is answered over HTTP on the WebSocket's port, and who is answered at all.

Host and Origin are checked here on every path, before anything else: a page of a foreign site that
found its way to this port (by its own script or by a name rebound to this address) gets 403. A
request without Origin is no browser's and is fine. Where a token is set, what tells anything of the
cameras' results or takes a connection needs it, in a header: addresses end up in logs.
"""

from __future__ import annotations

import email.utils
import hmac
import http
import ipaddress
import re
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import msgspec
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

if TYPE_CHECKING:
    from framefan.records import CameraFacts
    from framefan.settings import Settings
    from framefan_gateway.hub import Hub
    from framefan_gateway.intake import Intake

SOCKET_PATH = "/ws"
_JSON = "application/json"
_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/app.js": ("app.js", "text/javascript; charset=utf-8"),
    "/style.css": ("style.css", "text/css; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?")
_OPEN = (*_FILES, "/healthz", "/readyz")
"""Answered without a token: the page, and what watches over processes."""
_QUERY_TOKENS = {"token", "access_token"}
_READY_WORKERS = ("ready", "busy")
_ALWAYS = {
    "Content-Security-Policy": "default-src 'self'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
    "Connection": "close",
}


class Web:
    """Answers requests from the hub's and the intake's present state."""

    def __init__(self, settings: Settings, gateway: int, hub: Hub, intake: Intake) -> None:
        self._settings = settings
        self._gateway = gateway
        self._hub = hub
        self._intake = intake
        folder = resources.files("framefan_gateway") / "page"
        self._files = {
            path: ((folder / name).read_bytes(), kind) for path, (name, kind) in _FILES.items()
        }
        self._loopback = is_loopback(settings.host)

    def answer(self, request: Request) -> Response | None:
        """The response, or None when this is a client for the WebSocket."""
        refusal = self.refusal(request.headers)
        if refusal:
            return self._error(request, 403, refusal)
        unauthorized = self._unauthorized(request)
        if unauthorized is not None:
            return unauthorized
        if request.method not in ("GET", "HEAD"):
            return self._error(request, 405, f"{request.method} is not served", Allow="GET, HEAD")
        path = urlsplit(request.path).path
        if path == SOCKET_PATH and "Upgrade" in request.headers:
            return None
        if path in self._files:
            body, kind = self._files[path]
            return reply(request, 200, body, kind)
        return self._service(request, path)

    def _service(self, request: Request, path: str) -> Response:
        match path:
            case "/healthz":
                return reply(request, 200, b"ok\n", "text/plain; charset=utf-8")
            case "/readyz":
                ready, body = self.readiness()
                return reply(request, 200 if ready else 503, _pack(body), _JSON)
            case "/api/status":
                status = self.status()
                if status is None:
                    return self._error(request, 503, "no state from the pool yet; try again soon")
                return reply(request, 200, _pack(status), _JSON)
            case "/ws":
                return self._error(
                    request, 426, "this is the WebSocket; connect with ws://", Upgrade="websocket"
                )
        return self._error(request, 404, f"nothing is served at {path[:200]}")

    def _error(self, request: Request, code: int, message: str, **headers: str) -> Response:
        body = {"error": message}
        paths = ["/", "/ws", "/healthz", "/readyz", "/api/status"]
        whole = body | {"paths": paths} if code == 404 else body
        return reply(request, code, _pack(whole), _JSON, **headers)

    # ---- who is answered --------------------------------------------------------------------

    def refusal(self, headers: Headers) -> str:
        """Why this request is refused; empty when it is not."""
        hosts = headers.get_all("Host")
        if len(hosts) != 1:
            return "exactly one Host header is needed"
        found = _HOST.fullmatch(hosts[0])
        if not found or (self._loopback and not is_loopback(found[1].strip("[]"))):
            return "this Host is not this machine; use localhost or 127.0.0.1"
        origins = headers.get_all("Origin")
        if not origins:
            return ""
        if len(origins) == 1 and self._own(origins[0], hosts[0]):
            return ""
        return "this Origin is not allowed; allow it with --origin"

    def _own(self, origin: str, host: str) -> bool:
        if origin in self._settings.origins:
            return True
        scheme, separator, authority = origin.partition("://")
        return bool(separator) and scheme in ("http", "https") and authority.lower() == host.lower()

    def _unauthorized(self, request: Request) -> Response | None:
        """The answer to a request that does not show the token it needs."""
        address = urlsplit(request.path)
        if not self._settings.token or address.path in _OPEN:
            return None
        if not _QUERY_TOKENS.isdisjoint(parse_qs(address.query, keep_blank_values=True)):
            return self._error(
                request, 400, "a token in the address ends up in logs; send it as a Bearer header"
            )
        if shows_token(request.headers, self._settings.token):
            return None
        challenge = {"WWW-Authenticate": "Bearer"}
        return self._error(
            request, 401, "a token is needed: Authorization: Bearer TOKEN", **challenge
        )

    # ---- what there is to say ---------------------------------------------------------------

    def readiness(self) -> tuple[bool, dict[str, Any]]:
        state = self._intake.state
        workers = state.workers if state else []
        ready_workers = sum(worker.state in _READY_WORKERS for worker in workers)
        cameras: dict[str, Any] = {}
        explained = True
        for camera in self._settings.cameras:
            facts = state.cameras.get(camera.name) if state else None
            cameras[camera.name] = _camera(facts)
            explained = explained and facts is not None and _explained(facts)
        ready = self._intake.fresh and ready_workers > 0 and explained
        return ready, {
            "ready": ready,
            "gateway": "ready",
            "pool": "ready" if self._intake.fresh else "silent" if state else "starting",
            "workers": {"ready": ready_workers, "total": len(workers)},
            "cameras": cameras,
        }

    def status(self) -> dict[str, Any] | None:
        """The pool's state table, with this gateway's clients as they are now."""
        state = self._intake.state
        if state is None:
            return None
        whole: dict[str, Any] = msgspec.to_builtins(state)
        for gateway in whole["gateways"]:
            if gateway["id"] == self._gateway:
                gateway["clients"] = self._hub.clients
        return whole


def _camera(facts: CameraFacts | None) -> dict[str, Any]:
    if facts is None:
        return {"state": "starting", "reason": "", "been_live": False}
    return {"state": facts.state, "reason": facts.reason, "been_live": facts.been_live}


def _explained(facts: CameraFacts) -> bool:
    return facts.been_live or bool(facts.reason or facts.message)


def shows_token(headers: Headers, token: str) -> bool:
    """Whether exactly one Authorization header shows this token; takes as long for any guess."""
    shown = headers.get_all("Authorization")
    scheme, _, credentials = shown[0].partition(" ") if len(shown) == 1 else ("", "", "")
    guess = credentials.strip(" ").encode(errors="surrogateescape")
    return hmac.compare_digest(guess, token.encode()) and scheme.lower() == "bearer"


def is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _pack(value: Any) -> bytes:
    return msgspec.json.encode(value)


def reply(request: Request, code: int, body: bytes, kind: str, **headers: str) -> Response:
    """A whole response; HEAD gets the same head and no body."""
    head = Headers(
        {"Date": email.utils.formatdate(usegmt=True), "Content-Type": kind} | _ALWAYS | headers
    )
    head["Content-Length"] = str(len(body))
    shown = b"" if request.method == "HEAD" else body
    return Response(code, http.HTTPStatus(code).phrase, head, shown)
