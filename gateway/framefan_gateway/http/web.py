"""HTTP on the WebSocket's port: which requests are answered, and with what.

Host and Origin are checked first, on every path: see access.py. A request without Origin is not
from a browser's page and is allowed. If a token is set, every path that shows data of cameras needs
it in a header, because URLs end up in logs. WebSocket clients may send it in their first message
instead: see session.py.

Responses that take more than a few milliseconds are built in slices, so that the event loop is not
blocked.
"""

from __future__ import annotations

import asyncio
import hmac
import importlib
from importlib import resources
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import msgspec
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from framefan.base import clock, logs
from framefan.ipc import proto_schema, protocol
from framefan.ipc.records import AT_WORK
from framefan.settings import query
from framefan_gateway.http import access, client_list, snapshots
from framefan_gateway.http.replies import JSON, POLICY, pack, reply
from framefan_gateway.http.snapshots import Snapshots
from framefan_gateway.run_stats import RunStats
from framefan_gateway.stats import Stats

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from framefan.ipc.records import CameraFacts, StateRecord
    from framefan.settings.run import Settings
    from framefan_gateway.delivery.hub import Hub
    from framefan_gateway.http.client_list import ClientFacts
    from framefan_gateway.http.metrics import Metrics
    from framefan_gateway.intake import Intake

    Answer = Response | Awaitable[Response] | None

SOCKET_PATH = "/ws"
SCHEMA_PATH = "/schema/result.v1.json"
PROTO_PATH = "/schema/result.v1.proto"
_TEXT = "text/plain; charset=utf-8"
_METRICS = "text/plain; version=0.0.4; charset=utf-8"
_SCRIPTS = (
    *("main", "feed", "ack", "health", "width", "snippets", "words"),
    *("tile", "density", "draw", "strip", "rates"),
)
_FILES = {
    "/": ("index.html", "text/html; charset=utf-8"),
    "/style.css": ("style.css", "text/css; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
} | {f"/{name}.js": (f"{name}.js", "text/javascript; charset=utf-8") for name in _SCRIPTS}
_OPEN = (*_FILES, "/healthz", "/readyz")
"""Paths that need no token: the page's files and the health checks."""
_QUERY_TOKENS = {"token", "access_token"}
_LONG_ONES = 4
"""How many long responses are built at a time, and how many requests to other gateways run."""
_MOST_LOGGED = 8
"""How many different refusals are logged, each once: anybody may cause them."""
_PATIENCE_S = 0.3
_LOOK_S = 0.005
_OF_THE_TABLE = ("pid", "state", "restarts")
"""Fields of a gateway's row that only the supervisor knows."""
_OF_THE_MOMENT = ("clients", "lag_s")
"""Fields that a gateway which has ended no longer has; its counters stay."""


class Web:
    """Answers requests from the current state of the hub and the intake."""

    def __init__(
        self,
        settings: Settings,
        gateway: int,
        hub: Hub,
        intake: Intake,
        run_stats: RunStats | None = None,
        clients: Callable[[], Iterable[ClientFacts]] = tuple,
        snapshot: Callable[[str, str, float], Awaitable[bytes]] | None = None,
        others: Callable[[], Awaitable[tuple[list[bytes], list[int]]]] | None = None,
    ) -> None:
        """`run_stats`: the counts of all gateways; `clients` yields the facts of each client here;
        `snapshot(camera, picture, seconds)` waits for a picture; `others` requests the rows of the
        other gateways' clients: see peers.py.
        """
        self._settings = settings
        self._hub = hub
        self._intake = intake
        self._run_stats = run_stats or RunStats(Stats(gateway, hub, intake), intake)
        self._clients = clients
        self._others = others or _nobody
        self._snapshots = Snapshots(snapshot, intake)
        self._metrics: Metrics | None = None
        self._long_ones = asyncio.Semaphore(_LONG_ONES)
        self._asking = asyncio.Semaphore(_LONG_ONES)
        self._schema = b""
        self._logged: set[str] = set()
        """Refusals of a Host or Origin that are in the log."""
        self._heard_of: set[str] = set()
        """Cameras that have been live or have said why not; readiness does not wait for them."""
        self._services: dict[str, Callable[[Request], Response | Awaitable[Response]]] = {
            SOCKET_PATH: self._socket,
            "/healthz": self._healthz,
            "/readyz": self._readyz,
            "/metrics": self._show_metrics,
            "/api/status": self._status,
            "/api/clients": self._list_clients,
            SCHEMA_PATH: self._show_schema,
            PROTO_PATH: self._show_proto,
        }
        folder = resources.files("framefan_gateway") / "page"
        self._files = {
            path: ((folder / name).read_bytes(), kind) for path, (name, kind) in _FILES.items()
        }
        framed_by = " ".join(each for each in settings.origins if each.startswith("http"))
        framed_by = framed_by or "'none'"
        self._page_headers = {
            "Content-Security-Policy": f"{POLICY}; frame-ancestors {framed_by}",
            "Cross-Origin-Resource-Policy": "same-origin",
        }

    def answer(self, request: Request) -> Answer:
        """The response or an awaitable of it; None for a WebSocket client."""
        try:
            path = urlsplit(request.path).path
        except ValueError as error:
            return self._error(request, 400, f"the address is not valid: {error}")
        refused = self._refused(request, path) or self._unauthorized(request)
        if refused is not None:
            return refused
        if request.method not in ("GET", "HEAD"):
            return self._error(request, 405, f"{request.method} is not served", Allow="GET, HEAD")
        if path == SOCKET_PATH and "Upgrade" in request.headers:
            return None
        if path in self._files:
            body, kind = self._files[path]
            return reply(request, 200, body, kind, **self._page_headers)
        if path.startswith(snapshots.PREFIX):
            return self._snapshots.answer(request)
        served = self._services.get(path)
        if served is None:
            hint = f"; the WebSocket is at {SOCKET_PATH}" if path.startswith(SOCKET_PATH) else ""
            return self._error(request, 404, f"nothing is served at {path[:200]}{hint}")
        return served(request)

    def _healthz(self, request: Request) -> Response:
        return reply(request, 200, b"ok\n", _TEXT)

    def _readyz(self, request: Request) -> Response:
        ready, body = self.readiness()
        return reply(request, 200 if ready else 503, pack(body), JSON)

    async def _status(self, request: Request) -> Response:
        await self._catch_up()
        status = self.status()
        if status is None:
            return self._error(request, 503, "no state from the pool yet; try again soon")
        return reply(request, 200, pack(status), JSON)

    def _show_schema(self, request: Request) -> Response:
        self._schema = self._schema or pack(protocol.schema())
        return reply(request, 200, self._schema, "application/schema+json")

    def _show_proto(self, request: Request) -> Response:
        return reply(request, 200, proto_schema.text().encode(), _TEXT)

    def _socket(self, request: Request) -> Response:
        message = "this is the WebSocket; connect with ws://"
        return self._error(request, 426, message, Upgrade="websocket")

    def _error(self, request: Request, code: int, message: str, **headers: str) -> Response:
        body = {"error": message}
        whole = body | {"paths": ["/", *self._services]} if code == 404 else body
        return reply(request, code, pack(whole), JSON, **headers)

    # ---- answers in slices ------------------------------------------------------------------

    async def _list_clients(self, request: Request) -> Response:
        async with self._asking:
            rows, missing = await self._others()
        async with self._long_ones:
            for part in client_list.rows(self._clients()):
                rows.append(part)
                await asyncio.sleep(0)
        return reply(request, 200, client_list.whole(rows, missing), JSON)

    async def _show_metrics(self, request: Request) -> Response:
        if self._metrics is None:
            # The first import is slow, so it runs in a thread.
            metrics = await asyncio.to_thread(
                importlib.import_module, "framefan_gateway.http.metrics"
            )
            self._metrics = metrics.Metrics(self._run_stats, self._intake)
        await self._catch_up()
        families: list[bytes] = []
        async with self._long_ones:
            for family in self._metrics.parts():
                families.append(family)
                await asyncio.sleep(0)
        return reply(request, 200, b"".join(families), _METRICS)

    async def _catch_up(self) -> None:
        """Wait until the state table is as new as those that other gateways answer from."""
        until = clock.now() + _PATIENCE_S
        while self._run_stats.is_behind() and clock.now() < until:
            await asyncio.sleep(_LOOK_S)

    # ---- access -----------------------------------------------------------------------------

    def refusal(self, headers: Headers, path: str = "") -> str:
        """Why this request is refused; empty if it is not."""
        return access.refusal(self._settings, headers, path, is_file=path in self._files)

    def _refused(self, request: Request, path: str) -> Response | None:
        if refusal := self.refusal(request.headers, path):
            if refusal not in self._logged and len(self._logged) < _MOST_LOGGED:
                self._logged.add(refusal)
                logs.warning(f"refused a request: {refusal}")
            return self._error(request, 403, refusal)
        if path != SOCKET_PATH and _wants_socket(request.headers):
            message = f"the WebSocket is at {SOCKET_PATH}, not at {path[:200]}"
            return self._error(request, 404, message)
        return None

    def _unauthorized(self, request: Request) -> Response | None:
        """The error response if a required token is missing or wrong; else None."""
        address = urlsplit(request.path)
        if not self._settings.token or address.path in _OPEN:
            return None
        if not _QUERY_TOKENS.isdisjoint(dict(query.pairs(address.query))):
            return self._error(
                request, 400, "a token in the address ends up in logs; send it as a Bearer header"
            )
        if shows_token(request.headers, self._settings.token.reveal()):
            return None
        if (
            address.path == SOCKET_PATH
            and "Upgrade" in request.headers
            and ("Authorization" not in request.headers)
        ):
            return None  # it may send the token in its first message, as browsers must
        challenge = {"WWW-Authenticate": "Bearer"}
        wrong = "Authorization" in request.headers
        message = "the token is wrong" if wrong else "a token is needed"
        message += ": Authorization: Bearer TOKEN"
        return self._error(request, 401, message, **challenge)

    # ---- state ------------------------------------------------------------------------------

    def readiness(self) -> tuple[bool, dict[str, Any]]:
        state = self._intake.state
        workers = state.workers if state else []
        ready_workers = sum(worker.state in AT_WORK for worker in workers)
        cameras: dict[str, Any] = {}
        explained = True
        for name, facts in self._cameras():
            cameras[name] = _camera(facts)
            if facts is not None and _explained(facts):
                self._heard_of.add(name)
            explained = explained and name in self._heard_of
        served = state is not None and state.serves
        ready = self._intake.fresh and served and explained
        return ready, {
            "ready": ready,
            "gateway": "ready",
            "pool": "ready" if self._intake.fresh else "silent" if state else "starting",
            "workers": {"ready": ready_workers, "total": len(workers)},
            **_by_predictor(state),
            "cameras": cameras,
        }

    def _cameras(self) -> list[tuple[str, CameraFacts | None]]:
        """The cameras of the state table; before there is one, the configured ones."""
        state = self._intake.state
        if state is None:
            return [(camera.name, None) for camera in self._settings.cameras]
        return list(state.cameras.items())

    def status(self) -> dict[str, Any] | None:
        """The pool's state table, with the gateways' counts and waiting times as of now."""
        state = self._intake.state
        if state is None:
            return None
        whole: dict[str, Any] = msgspec.to_builtins(state)
        age = max(clock.now() - self._intake.state_at, 0.0)
        for camera in whole["cameras"].values():
            if camera["next_try_s"] is not None:
                camera["next_try_s"] = max(round(camera["next_try_s"] - age, 3), 0.0)
        counted = {each.facts.id: each for each in self._run_stats.gateways()}
        for row in whole["gateways"]:
            own = counted.get(row["id"])
            if own is not None:
                names = _OF_THE_TABLE if own.living else (*_OF_THE_TABLE, *_OF_THE_MOMENT)
                known = {name: row[name] for name in names}
                row.update(msgspec.to_builtins(own.facts) | known)
        return whole


def _by_predictor(state: StateRecord | None) -> dict[str, Any]:
    """The workers of each predictor, if there are several."""
    if state is None or not state.has_several:
        return {}
    rows = {
        name: {"ready": each.ready, "total": each.workers}
        for name, each in state.predictors.items()
    }
    return {"predictors": rows}


def _camera(facts: CameraFacts | None) -> dict[str, Any]:
    if facts is None:
        return {"state": "starting", "reason": "", "been_live": False}
    camera = {"state": facts.state, "reason": facts.reason, "been_live": facts.been_live}
    if facts.errors_in_row:  # only the kind of the error: this path needs no token
        kind = facts.last_error.partition(":")[0]
        camera |= {"predictor": "failing", "errors_in_row": facts.errors_in_row, "error": kind}
    return camera


def _explained(facts: CameraFacts) -> bool:
    return facts.been_live or bool(facts.reason or facts.message)


def _wants_socket(headers: Headers) -> bool:
    return any("websocket" in each.lower() for each in headers.get_all("Upgrade"))


async def _nobody() -> tuple[list[bytes], list[int]]:
    """The answer if there are no other gateways."""
    return [], []


def shows_token(headers: Headers, token: str) -> bool:
    """Whether exactly one Authorization header has this token, compared in constant time."""
    shown = headers.get_all("Authorization")
    scheme, _, credentials = shown[0].partition(" ") if len(shown) == 1 else ("", "", "")
    guess = credentials.strip(" ").encode(errors="surrogateescape")
    return hmac.compare_digest(guess, token.encode()) and scheme.lower() == "bearer"
