"""How the states of cameras are told over HTTP: readiness, status, metrics and the page's words."""

from __future__ import annotations

import json
import re

import pytest
from gateway_fakes import parts, state, status
from test_metrics import CAMERA, HOSTILE, Run
from test_web import Site, ready

from framefan.base import clock
from framefan.ipc.records import CameraFacts
from framefan.settings.states import REASONS
from framefan_gateway.delivery import wire


@pytest.fixture
def site() -> Site:
    return Site()


def test_a_camera_counts_for_readiness_while_the_table_has_it(site: Site) -> None:
    cameras = {"cam": CameraFacts(state="live", been_live=True)}
    site.state(state(cameras))
    assert ready(site)[0] == 200
    site.state(state(cameras | {"new": CameraFacts(state="connecting")}))
    assert ready(site)[0] == 503
    site.state(state(cameras | {"new": CameraFacts(state="backoff", reason="dns")}))
    assert ready(site)[0] == 200
    site.state(state({"new": CameraFacts(state="live", been_live=True)}))
    assert list(ready(site)[1]["cameras"]) == ["new"]


def test_a_status_has_the_state_of_a_camera_and_the_time_of_the_next_try(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    down = CameraFacts(
        state="backoff", reason="dns", message="no host", since=90.0, next_try_s=30.0, fps=12.5
    )
    site.state(state({"cam": down, "live": CameraFacts(state="live")}, ts=100.0), now=5.0)
    left = []
    for now in (5.0, 12.0, 99.0):
        monkeypatch.setattr(clock, "now", lambda now=now: now)
        cameras = json.loads(site.get("/api/status").body)["cameras"]
        left.append(cameras["cam"]["next_try_s"])
    assert left == [30.0, 23.0, 0.0]
    told = {name: cameras["cam"][name] for name in ("state", "reason", "message", "since", "fps")}
    assert told == {
        "state": "backoff", "reason": "dns", "message": "no host", "since": 90.0, "fps": 12.5,
    }  # fmt: skip
    assert cameras["live"]["next_try_s"] is None


def test_changes_of_state_are_counted_by_reason() -> None:
    run = Run({"front": CAMERA})
    for name, reason in [("backoff", "dns"), ("backoff", "dns"), ("live", "")]:
        run.take(parts("status/front/", status(name, "front", reason=reason)))
    run.take(parts("status/front/", status(HOSTILE, "front", reason=HOSTILE)))
    samples = run.samples()
    found = {
        (dict(of)["state"], dict(of)["reason"]): count
        for (name, of), count in samples.items()
        if name == "framefan_camera_state_changes_total"
    }
    assert found == {("stalled", ""): 1, ("backoff", "dns"): 2, ("live", ""): 1, ("other",) * 2: 1}


def test_a_gate_that_opens_is_no_change_into_live() -> None:
    run = Run({"front": CAMERA})
    for _ in range(3):
        run.take(parts("status/front/", status("live", "front", reason="still")))
        run.take(parts("status/front/", status("live", "front")))
    run.take(parts("status/front/", status("stalled", "front", reason="no_frame")))
    run.take(parts("status/front/", status("live", "front")))
    found = {
        (dict(of)["state"], dict(of)["reason"]): count
        for (name, of), count in run.samples().items()
        if name == "framefan_camera_state_changes_total"
    }
    assert found.pop(("stalled", "")) == 1
    assert found == {("live", "still"): 3, ("stalled", "no_frame"): 1, ("live", ""): 1}


def test_what_a_camera_that_stands_still_is_told_to_those_who_join() -> None:
    told = [("live", "still", True), ("live", "", False), ("live", "size_changed", False)]
    for name, reason, is_told in told:
        assert wire.is_trouble(wire.status(status(name, "front", reason=reason))) is is_told


def test_the_page_has_the_reasons_of_the_table_in_words(site: Site) -> None:
    script = site.get("/words.js").body.decode()
    table = script.partition("const REASONS = {")[2].partition("};")[0]
    assert dict(re.findall(r'(\w+): "(.*?)",\n', table)) == REASONS
