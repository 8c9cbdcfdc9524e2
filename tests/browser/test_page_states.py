"""How the page shows cameras that are not live, on a gateway that this test feeds."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

sys.path.append(str(Path(__file__).parents[1] / "unit" / "gateway"))
from gateway_fakes import state, status
from gateway_thread import Feeder
from waiting import wait_until

from framefan.base import clock
from framefan.ipc.records import CameraFacts

pytestmark = pytest.mark.chromium
VIEWPORT = {"width": 1000, "height": 700}


def test_a_camera_that_is_not_live_says_why_and_when_it_is_tried_next(
    feeder: Feeder, page: Page
) -> None:
    feeder.status("backoff", "refused", next_try_s=30.0)
    page.wait_for_selector(".tile[data-state=backoff]")
    assert "nothing listens on that port" in page.inner_text(".tile .state")
    page.wait_for_function(
        "() => /next try in 2[0-8] s/.test(document.querySelector('.state').textContent)"
    )
    feeder.do(feeder.gateway.publish)  # of a frame that was at a worker before
    feeder.status("frozen", "same_picture", message="the same picture for 10 s")
    page.wait_for_selector(".tile[data-state=frozen]")
    assert page.inner_text(".tile .state") == "frozen · the same picture for 10 s"
    seq = feeder.do(feeder.gateway.publish, ts=clock.wall() + 5)
    page.wait_for_function(f"() => document.body.innerText.includes('seq {seq},')")
    assert page.inner_text(".tile .state").startswith("frozen"), "it is still served"
    assert float(page.eval_on_selector("canvas", "it => getComputedStyle(it).opacity")) < 0.5
    feeder.status("live")
    page.wait_for_selector(".tile[data-state=live]")
    assert page.inner_text(".tile .state") == ""


def test_a_camera_whose_gate_is_closed_is_live_and_says_that_nothing_moves(
    feeder: Feeder, page: Page
) -> None:
    still = {"reason": "still", "message": "nothing moves, so its frames are not predicted"}
    said = "live · nothing moves, so its frames are not predicted"
    feeder.do(feeder.gateway.publish)
    page.wait_for_selector(".tile[data-camera=cam]")
    feeder.take("state/", state({"cam": CameraFacts(state="live", **still)}))
    page.wait_for_function(f"() => document.querySelector('.tile .state').textContent === '{said}'")
    feeder.status("live", "still", message=still["message"])
    seq = feeder.do(feeder.gateway.publish, ts=clock.wall() + 5)  # one is predicted all the same
    page.wait_for_function(f"() => document.body.innerText.includes('seq {seq},')")
    assert page.inner_text(".tile .state") == said
    assert page.get_attribute(".tile", "data-state") == "live"
    assert page.inner_text("#connection") == "live"
    assert float(page.eval_on_selector("canvas", "it => getComputedStyle(it).opacity")) == 1
    feeder.take("state/", state({"cam": CameraFacts(state="live")}, ts=clock.wall() + 60))
    page.wait_for_function("() => document.querySelector('.tile .state').textContent === ''")


def test_frames_that_come_again_show_it_and_a_removed_camera_leaves_the_page(
    feeder: Feeder, page: Page
) -> None:
    feeder.status("stalled", "no_frame")
    page.wait_for_selector(".tile[data-state=stalled]")
    feeder.do(feeder.gateway.publish, ts=clock.wall() + 5)
    page.wait_for_selector(".tile[data-state=live]")
    feeder.take("state/", state({"cam": CameraFacts(state="live")}))
    feeder.take("state/", state({}))
    page.wait_for_selector(".tile", state="detached")
    assert page.is_visible("#empty")


def test_a_camera_that_was_removed_while_the_page_was_away_leaves_it(
    feeder: Feeder, page: Page
) -> None:
    here, gone = CameraFacts(state="live"), CameraFacts(state="backoff", reason="dns")
    feeder.take("state/", state({"here": here, "gone": gone}))
    feeder.do(feeder.gateway.publish, "here")
    page.wait_for_selector(".tile[data-camera=here]")
    page.wait_for_selector(".tile[data-camera=gone]")

    def break_off() -> None:
        for connection in tuple(feeder.gateway.server._connections):
            connection.transport.abort()

    feeder.do(break_off)
    page.wait_for_selector("#connection[data-state=lost]")
    feeder.take("state/", state({"here": here}))
    page.wait_for_selector("#connection[data-state=live]")
    page.wait_for_selector(".tile[data-camera=gone]", state="detached")
    page.wait_for_selector(".tile[data-camera=here]")


def test_a_camera_that_is_asked_for_and_is_not_there_hides_no_other(
    feeder: Feeder, chromium: Browser
) -> None:
    feeder.take("state/", state({"cam": CameraFacts(state="live")}))
    page = chromium.new_page()
    page.goto(f"http://127.0.0.1:{feeder.gateway.port}/#camera=gone")
    page.wait_for_selector(".tile[data-camera=cam]")
    feeder.do(feeder.gateway.publish)
    page.wait_for_selector(".tile[data-camera=cam][data-frame]")
    page.click("#pause")  # it is asked for nothing that is refused
    page.wait_for_function("() => document.getElementById('said').textContent === ''")
    contracts = feeder.gateway.hub._groups
    wait_until(lambda: [(each.cameras, each.preview) for each in list(contracts)] == [(None, 0)])
    page.close()


def test_what_happened_meanwhile_is_told_when_all_cameras_are_shown_again(
    feeder: Feeder, page: Page
) -> None:
    live, down = CameraFacts(state="live"), CameraFacts(state="backoff", reason="dns")
    feeder.take("state/", state({"cam": live, "other": live, "third": live}))
    for name in ("cam", "other", "third"):
        feeder.do(feeder.gateway.publish, name)
    page.wait_for_selector(".tile[data-camera=third]")
    page.click(".tile[data-camera=cam] .open")
    page.wait_for_selector(".tile.large")
    feeder.take("status/other/", status("backoff", "other", reason="dns", ts=clock.wall()))
    feeder.take("state/", state({"cam": live, "other": down}, ts=clock.wall() + 60))
    page.click("#back")
    page.wait_for_selector(".tile[data-camera=other][data-state=backoff]")
    page.wait_for_selector(".tile[data-camera=third]", state="detached", timeout=15_000)
    feeder.take("state/", state({"cam": live, "other": live}, ts=clock.wall() + 61))
    page.wait_for_selector(".tile[data-camera=other][data-state=live]")


def test_a_circuit_and_a_pause_share_a_place(feeder: Feeder, page: Page) -> None:
    feeder.do(feeder.gateway.publish)
    page.wait_for_selector(".tile[data-camera=cam]")
    told = {"subject": "predictor", "reason": "circuit", "message": "three workers died"}
    feeder.take("status/cam/", status("open", ts=clock.wall(), **told))
    page.wait_for_function("() => /Left out/.test(document.querySelector('.cover').innerText)")
    page.click("#pause")
    assert page.inner_text(".cover") == "Paused · Left out: three workers died"
    page.click("#pause")
    assert page.inner_text(".cover") == "Left out: three workers died"
    feeder.take("status/cam/", status("closed", ts=clock.wall(), **told))
    page.wait_for_selector(".cover", state="hidden")
