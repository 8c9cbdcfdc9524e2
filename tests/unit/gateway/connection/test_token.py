"""A token, where one is set: who has to show it, and how."""

from __future__ import annotations

import json

import pytest
from test_web import Site

TOKEN = "s3cret"
GUARDED = ["/api/status", "/nothing", "/ws/", "//", "/healthz/x"]


@pytest.fixture
def site() -> Site:
    return Site(host="0.0.0.0", token=TOKEN)


@pytest.mark.parametrize("path", GUARDED)
@pytest.mark.parametrize(
    "shown",
    [None, "", "Bearer", "Bearer ", "Bearer S3cret", "Bearer s3cret2", "Bearer s3cre", TOKEN,
     f"Basic {TOKEN}", "Bearer \u00e9", "Bearer " + "x" * 7000],
)  # fmt: skip
def test_without_the_token_it_is_401(site: Site, path: str, shown: str | None) -> None:
    headers = {} if shown is None else {"Authorization": shown}
    response = site.get(path, **headers)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"] == "Bearer"
    assert response.headers["Content-Type"] == "application/json"
    assert "token" in json.loads(response.body)["error"]
    assert TOKEN.encode() not in response.body


@pytest.mark.parametrize("shown", ["", "Bearer", "Bearer s3cre", TOKEN, f"Basic {TOKEN}"])
def test_a_client_with_a_wrong_token_is_refused_at_once(site: Site, shown: str) -> None:
    assert site.get("/ws", Upgrade="websocket", Authorization=shown).status_code == 401
    assert site.get("/ws").status_code == 401


def test_the_token_may_be_the_first_message(site: Site) -> None:
    assert site.ask("/ws", Upgrade="websocket") is None


@pytest.mark.parametrize("method", ["HEAD", "POST"])
def test_any_method_needs_the_token(site: Site, method: str) -> None:
    assert site.get("/api/status", method).status_code == 401


@pytest.mark.parametrize("token", ["t", TOKEN, "x" * 5000])
@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_with_the_token_it_is_answered(token: str, scheme: str) -> None:
    site = Site(token=token)
    shown = f"{scheme} {token}"
    assert site.ask("/ws", Upgrade="websocket", Authorization=shown) is None
    assert site.get("/api/status", Authorization=shown).status_code == 503  # no state yet
    assert site.get("/nothing", Authorization=shown).status_code == 404


@pytest.mark.parametrize("path", ["/", "/main.js", "/style.css", "/icon.svg", "/healthz"])
def test_the_page_and_the_probes_need_none(site: Site, path: str) -> None:
    assert site.get(path).status_code == 200
    assert site.get("/readyz").status_code == 503


@pytest.mark.parametrize("query", [f"token={TOKEN}", "token", "a=1&access_token=x", "to%6ben=x"])
def test_a_token_in_the_address_is_refused(site: Site, query: str) -> None:
    for headers in ({}, {"Authorization": f"Bearer {TOKEN}"}):
        response = site.get(f"/ws?{query}", Upgrade="websocket", **headers)
        assert response.status_code == 400
        assert TOKEN.encode() not in response.body


def test_without_a_token_set_nobody_needs_one() -> None:
    assert Site().ask("/ws", Upgrade="websocket") is None


def test_a_foreign_origin_with_the_token_is_still_refused(site: Site) -> None:
    shown = {"Authorization": f"Bearer {TOKEN}", "Origin": "http://evil.example"}
    assert site.get("/ws", Upgrade="websocket", **shown).status_code == 403
