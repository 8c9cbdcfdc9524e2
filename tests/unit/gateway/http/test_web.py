"""Who is answered over HTTP, and what."""

from __future__ import annotations

import asyncio
import inspect
import json
import re
import uuid
from types import SimpleNamespace
from typing import Any

import pytest
from gateway_fakes import parts, state
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from framefan.ipc import proto_schema, protocol
from framefan.ipc.records import CameraFacts, GatewayFacts, PredictorFacts, WorkerFacts
from framefan.settings.run import CameraSettings, Settings
from framefan.settings.secret import Secret, SourceText
from framefan_gateway.delivery.hub import Hub
from framefan_gateway.delivery.subscribers import Writer
from framefan_gateway.delivery.subscription import DEFAULT, Subscription
from framefan_gateway.http import client_list, web
from framefan_gateway.http.web import Web
from framefan_gateway.intake import Intake


class Site:
    def __init__(self, token: str = "", **changes: Any) -> None:
        cameras = (CameraSettings(name="cam", source=SourceText("demo")),)
        self.hub = Hub(1000, 1 << 20)
        self.intake = Intake(self.hub, 3.0)
        self.connections: list[Any] = []
        self.now = 100.0
        settings = Settings(cameras=cameras, token=Secret(token), **changes)
        self.web = Web(settings, 1, self.hub, self.intake, clients=self.clients)

    def clients(self) -> Any:
        return client_list.facts(tuple(self.connections), self.now)

    def connect(self, subscription: Subscription = DEFAULT, **changes: Any) -> Any:
        """A connection as the list of clients sees it, with a client of the hub."""
        client = self.hub.join(subscription, Writer(len, len), lambda _: None, 0.0)
        facts = {
            "id": uuid.uuid4(),
            "remote_address": ("127.0.0.1", 4711),
            "request": Request("/ws", Headers({"User-Agent": "viewer/1"})),
            "client": client,
            "joined_at": 90.0,
            "blocked_since": None,
        }
        self.connections.append(SimpleNamespace(**(facts | changes)))
        return self.connections[-1]

    def state(self, record: Any, now: float = 0.0) -> None:
        self.intake.take(parts("state/", record), now, 0.0)

    def ask(self, path: str, method: str = "GET", **headers: str) -> Any:
        head = Headers({"Host": "localhost:8765"} | headers)
        return self.web.answer(Request(path, head, method))

    def get(self, path: str, method: str = "GET", **headers: str) -> Response:
        response = self.ask(path, method, **headers)
        if inspect.isawaitable(response):
            response = asyncio.run(_waited(response))
        assert isinstance(response, Response)
        return response

    async def read(self, path: str, method: str = "GET", **headers: str) -> Response:
        """Also what is written in slices."""
        response = self.ask(path, method, **headers)
        if inspect.isawaitable(response):
            response = await response
        assert isinstance(response, Response)
        return response


async def _waited(answer: Any) -> Response:
    return await answer


@pytest.fixture
def site() -> Site:
    return Site()


@pytest.mark.parametrize("path", ["/", "/main.js", "/style.css", "/icon.svg"])
def test_the_page_and_its_files(site: Site, path: str) -> None:
    response = site.get(path)
    assert response.status_code == 200
    policy = response.headers["Content-Security-Policy"]
    assert policy == "default-src 'self'; frame-ancestors 'none'"
    assert int(response.headers["Content-Length"]) == len(response.body) > 100
    head = site.get(path, method="HEAD")
    assert head.body == b""
    assert head.headers["Content-Length"] == response.headers["Content-Length"]


def test_the_page_uses_no_other_host_and_writes_no_markup(site: Site) -> None:
    html = site.get("/").body.decode()
    assert "//" not in html.replace("<!--", "")
    assert "style=" not in html
    for name in web._SCRIPTS:
        script = site.get(f"/{name}.js").body.decode()
        for word in ("innerHTML", "outerHTML", "insertAdjacent", "document.write", "http:"):
            assert word not in script
        for imported in re.findall(r'from "\./(\w+)\.js"', script):
            assert imported in web._SCRIPTS


def test_a_websocket_upgrade_is_let_through(site: Site) -> None:
    assert site.ask("/ws?camera=a", Upgrade="websocket") is None
    assert site.get("/ws").status_code == 426
    assert site.get("/other", Upgrade="websocket").status_code == 404


def test_an_unknown_path_is_answered_with_the_known_ones(site: Site) -> None:
    response = site.get("/metric")
    assert response.status_code == 404
    assert "/api/status" in json.loads(response.body)["paths"]


NEW = ["/metrics", "/api/clients", "/schema/result.v1.json", "/schema/result.v1.proto"]


async def test_every_listed_path_is_served(site: Site) -> None:
    paths = json.loads(site.get("/no/such").body)["paths"]
    assert set(NEW) < set(paths)
    for path in paths:
        whole, head = await site.read(path), await site.read(path, "HEAD")
        assert whole.status_code == head.status_code != 404, path
        assert head.body == b""
        assert whole.body


@pytest.mark.parametrize("path", NEW)
async def test_paths_with_results_and_clients_need_the_token(path: str) -> None:
    site = Site(token="s3cret")
    assert (await site.read(path)).status_code == 401
    assert (await site.read(path, Authorization="Bearer s3cret")).status_code == 200


def test_get_and_head_only(site: Site) -> None:
    response = site.get("/", method="POST")
    assert response.status_code == 405
    assert response.headers["Allow"] == "GET, HEAD"


PATHS = ["/", "/ws", "/healthz", "/api/status", "/nothing", *NEW]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "127.0.0.1.evil.example",
        "localhost.evil:8765",
        "",
        "10.0.0.1",
        "a@localhost",
    ],
)
def test_a_foreign_host_is_refused_everywhere(site: Site, path: str, host: str) -> None:
    assert site.get(path, Host=host, Upgrade="websocket").status_code == 403


@pytest.mark.parametrize("path", [*PATHS, "/readyz"])
def test_a_doubled_host_is_refused_and_an_absent_one_but_for_probes(site: Site, path: str) -> None:
    absent = site.web.answer(Request(path, Headers()))
    with_origin = site.web.answer(Request(path, Headers({"Origin": "null"})))
    double = Headers()
    double["Host"] = "localhost"
    double["Host"] = "localhost"
    doubled = site.web.answer(Request(path, double))
    assert isinstance(absent, Response)
    assert isinstance(doubled, Response)
    assert isinstance(with_origin, Response)
    assert doubled.status_code == with_origin.status_code == 403
    if path in ("/healthz", "/readyz"):  # HTTP/1.0 has no Host
        assert absent.status_code == {"/healthz": 200, "/readyz": 503}[path]
    else:
        assert absent.status_code == 403


NETWORK = {"host": "0.0.0.0", "token": "x"}


@pytest.mark.parametrize(
    ("settings", "host"),
    [
        (NETWORK, "my_project_framefan_1:8765"),
        (NETWORK, "_x"),
        (NETWORK, "box.lan.:80"),
        (NETWORK, "[fe80::1%25eth0]:80"),
        (NETWORK, "box.lan:"),
        ({}, "localhost:"),
        ({}, "[::1]"),
    ],
)
def test_names_as_networks_have_them_are_answered(settings: Any, host: str) -> None:
    assert Site(**settings).ask("/ws", Host=host, Upgrade="websocket") is None


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({"Host": "box.lan"}, ("this Host is not this machine: box.lan", "--host 0.0.0.0")),
        ({"Host": "a b"}, ("this Host is not a valid name", "a b")),
        ({"Host": "x" * 5000}, ("this Host is not this machine: xxx", "--host")),
        ({"Origin": "http://a.example"}, ("allow it with --origin http://a.example",)),
        ({"Origin": "file://"}, ("allow it with --origin file://",)),
        ({"Origin": "null"}, ("--origin null and a token",)),
        ({"Origin": "a.example"}, ("is not valid: a.example", "leave the header out")),
    ],
)
def test_a_refusal_names_its_cause_and_what_helps(
    site: Site, headers: dict[str, str], words: tuple[str, ...]
) -> None:
    error = json.loads(site.get("/ws", Upgrade="websocket", **headers).body)["error"]
    assert len(error) < 300
    for word in words:
        assert word in error


@pytest.mark.parametrize("origin", ["null", "file://"])
def test_the_advice_for_pages_from_files_can_be_followed(origin: str) -> None:
    site = Site(origins=(origin,), token="x")
    assert site.ask("/ws", Origin=origin, Upgrade="websocket") is None


@pytest.mark.parametrize("path", ["/", "/ws/", "/ws/x", "/api/status", "/nothing"])
@pytest.mark.parametrize("settings", [{}, NETWORK])
def test_a_websocket_at_another_path_is_sent_to_the_right_one(settings: Any, path: str) -> None:
    response = Site(**settings).get(path, Upgrade="WebSocket")
    assert response.status_code == 404
    assert "the WebSocket is at /ws" in json.loads(response.body)["error"]


def test_other_upgrades_are_no_websockets(site: Site) -> None:
    assert site.get("/", Upgrade="h2c").status_code == 200
    assert "the WebSocket is at /ws" in site.get("/ws/").body.decode()


def test_no_foreign_page_frames_ours_or_takes_its_files(site: Site) -> None:
    for path in ("/", "/main.js"):
        head = site.get(path).headers
        assert "frame-ancestors 'none'" in head["Content-Security-Policy"]
        assert head["Cross-Origin-Resource-Policy"] == "same-origin"
    allowed = Site(origins=("https://panel.example", "null")).get("/").headers
    assert "frame-ancestors https://panel.example" in allowed["Content-Security-Policy"]
    assert "null" not in allowed["Content-Security-Policy"]


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:1", "127.0.0.1:8765", "127.9.9.9", "[::1]:80"]
)
def test_this_machine_is_answered(site: Site, host: str) -> None:
    assert site.get("/healthz", Host=host).status_code == 200


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "null",
        "http://localhost:8765.evil.example",
        "http://evil.example/localhost:8765",
        "localhost:8765",
        "http://localhost:9999",
        "file://localhost:8765",
        "",
    ],
)
def test_a_foreign_origin_gets_the_pages_files_and_nothing_else(
    site: Site, path: str, origin: str
) -> None:
    """The files are those of any run; a page that did not load could not say what it lacks."""
    is_file = path == "/"
    status = site.get(path, Origin=origin, Upgrade="" if is_file else "websocket").status_code
    assert status == (200 if is_file else 403)


def test_our_own_and_allowed_origins_are_answered() -> None:
    site = Site(origins=("https://panel.example",))
    assert site.get("/healthz", Origin="http://localhost:8765").status_code == 200
    assert site.get("/healthz", Origin="https://panel.example").status_code == 200
    assert site.get("/healthz", Origin="https://panel.example.evil").status_code == 403


def test_a_host_of_any_name_is_answered_when_bound_to_the_network() -> None:
    site = Site(host="0.0.0.0", token="x")
    assert site.get("/healthz", Host="box.lan:8765").status_code == 200
    assert site.get("/healthz", Host="box.lan", Origin="http://evil.lan").status_code == 403


def test_a_failed_camera_does_not_delay_readiness_at_its_next_try(
    site: Site,
) -> None:
    site.state(state({"cam": CameraFacts(state="failed", reason="unplayable")}))
    assert ready(site)[0] == 200
    site.state(state({"cam": CameraFacts(state="connecting")}))
    assert ready(site)[0] == 200


def ready(site: Site) -> tuple[int, Any]:
    response = site.get("/readyz")
    return response.status_code, json.loads(response.body)


def test_ready_is_a_gateway_a_worker_and_every_camera_live_once(site: Site) -> None:
    live = {"cam": CameraFacts(state="stalled", been_live=True)}
    starting = [WorkerFacts(id=1, state="starting")]
    assert ready(site)[0] == 503
    site.state(state(live, workers=starting))
    assert ready(site)[0] == 503
    site.state(state({"cam2": CameraFacts(state="connecting")}))
    assert ready(site)[0] == 503
    site.state(state(live))
    code, body = ready(site)
    assert code == 200
    assert body["cameras"] == {"cam": {"state": "stalled", "reason": "", "been_live": True}}
    assert body["workers"] == {"ready": 1, "total": 1}
    site.intake.tick(3.1, 0.0)
    assert ready(site)[0] == 503


@pytest.mark.parametrize("plates", ["ready", "busy", "starting", "backoff", "failed"])
def test_ready_needs_a_worker_of_each_predictor(site: Site, plates: str) -> None:
    workers = [
        WorkerFacts(id=1, state="ready", predictor_name="people"),
        WorkerFacts(id=2, state=plates, predictor_name="plates"),
    ]
    works = plates in ("ready", "busy")
    facts = {
        "people": PredictorFacts(workers=1, ready=1),
        "plates": PredictorFacts(workers=1, ready=int(works)),
    }
    site.state(state(workers=workers, predictors=facts))
    code, body = ready(site)
    assert code == (200 if works else 503)
    assert body["predictors"] == {
        "people": {"ready": 1, "total": 1},
        "plates": {"ready": int(works), "total": 1},
    }
    site.state(state(workers=workers[:1], predictors={"people": facts["people"]}))
    code, body = ready(site)
    assert (code, "predictors" in body) == (200, False)


def test_readiness_reports_a_failing_predictor_without_its_message(site: Site) -> None:
    error = "KeyError: 'secret' (own.py, line 3, in predict)"
    site.state(
        state({"cam": CameraFacts(state="live", been_live=True, errors_in_row=7, last_error=error)})
    )
    code, body = ready(site)
    assert code == 200, "its clients are served: each gets the error"
    told = {"predictor": "failing", "errors_in_row": 7, "error": "KeyError"}
    assert body["cameras"]["cam"].items() >= told.items()
    assert "secret" not in json.dumps(body)


def test_a_camera_that_is_not_live_for_a_reason_does_not_delay_readiness(site: Site) -> None:
    site.state(state({"cam": CameraFacts(state="reconnecting", reason="refused")}))
    assert ready(site)[0] == 200


def test_status_is_the_pools_table_with_our_clients_of_now(site: Site) -> None:
    assert site.get("/api/status").status_code == 503
    site.state(state(gateways=[GatewayFacts(id=1, clients=0), GatewayFacts(id=2, clients=9)]))
    site.hub.join(DEFAULT, Writer(len, len), lambda _: None, 0.0)
    body = json.loads(site.get("/api/status").body)
    assert [gateway["clients"] for gateway in body["gateways"]] == [1, 9]
    shape = {"version", "name", "epoch", "run_dir", "results_endpoint", "supervisor", "pool"}
    assert shape | {"gateways", "workers", "cameras"} <= set(body)
    assert body["cameras"]["cam"]["state"] == "live"


# ---- the schema ----------------------------------------------------------------------------------


def test_the_schema_is_the_protocols(site: Site) -> None:
    response = site.get("/schema/result.v1.json")
    assert response.headers["Content-Type"] == "application/schema+json"
    assert json.loads(response.body) == protocol.schema()
    proto = site.get("/schema/result.v1.proto")
    assert proto.headers["Content-Type"].startswith("text/plain")
    assert proto.body.decode() == proto_schema.text()
    head = site.get("/schema/result.v1.json", "HEAD")
    assert (head.body, head.headers["Content-Length"]) == (b"", str(len(response.body)))
