"""One camera as the pool sees it: what it makes of frames and of what capture says; totals."""

from __future__ import annotations

import math
from typing import Any

import pytest
from camera_words import FROZEN, LARGER, LARGEST, SETTINGS, hello, ready, said, told
from ledger_world import ONE_GROUP, outcome_of

from framefan.base import clock
from framefan.errors import LinkGarbled
from framefan_inference.leases.camera_queue import MAX_FPS, NO_SLOT, Frame
from framefan_inference.leases.ledger import Ledger
from framefan_inference.leases.sequencer import WORKER_DIED
from framefan_inference.pool.cameras import Camera

# ---- what capture says ---------------------------------------------------------------------------


def test_the_first_frame_makes_it_live_and_the_next_is_no_news(camera: Camera) -> None:
    assert camera.facts.state == "connecting"
    record = camera.ready(ready(0))
    assert record is not None
    assert (record.subject, record.camera) == ("camera", "cam")
    assert told(record) == ("live", "")
    assert camera.ready(ready(1)) is None
    assert camera.facts.been_live
    assert (camera.facts.width, camera.facts.height) == (640, 480)


def test_what_capture_says_is_news_once(camera: Camera) -> None:
    backoff = said("backoff", "refused", message="nobody there", next_try_s=0.5)
    record = camera.source_status(backoff)
    assert record is not None
    assert (record.state, record.reason, record.message) == ("backoff", "refused", "nobody there")
    assert record.next_try_s == 0.5
    assert camera.source_status(backoff) is None
    again = said("backoff", "refused", message="nobody there", next_try_s=1.0)
    assert told(camera.source_status(again)) == ("backoff", "refused")
    assert told(camera.source_status(said("backoff", "timeout"))) == ("backoff", "timeout")
    assert not camera.facts.been_live


def test_the_next_try_counts_down_and_is_told_once(camera: Camera, at: Any) -> None:
    ledger = Ledger([SETTINGS], ONE_GROUP)
    camera.source_status(said("backoff", "refused", next_try_s=3.0))
    since = camera.facts.since
    for now, left in ((101.05, 2.0), (102.1, 0.85), (103.5, 0.0)):
        at(now)
        assert camera.source_status(said("backoff", "refused", next_try_s=left)) is None
        assert camera.measure(ledger, 5).next_try_s == pytest.approx(103 - min(now, 103))
    assert camera.facts.since == since
    camera.source_status(said("live"))
    assert camera.measure(ledger, 5).next_try_s is None


def test_since_is_when_the_state_began(camera: Camera, monkeypatch: pytest.MonkeyPatch) -> None:
    for wall, event in [
        (1.0, lambda: camera.ready(ready())),
        (2.0, lambda: camera.source_status(FROZEN)),
        (3.0, lambda: camera.ready(ready(1, LARGER))),
        (4.0, lambda: camera.ready(ready(2, LARGEST))),
    ]:
        monkeypatch.setattr(clock, "wall", lambda wall=wall: wall)
        event()
        assert camera.facts.since == wall
    monkeypatch.setattr(clock, "wall", lambda: 9.0)
    for message in (said("live"), FROZEN):
        camera.ready(ready(3, LARGEST))
        camera.source_status(message)
    assert (camera.facts.state, camera.facts.since) == ("frozen", 9.0)


def test_a_report_without_a_size_keeps_the_size(camera: Camera) -> None:
    camera.source_status(said("live", width=1280, height=720, fps=25.0))
    camera.source_status(said("backoff", "timeout"))
    assert (camera.facts.width, camera.facts.height, camera.facts.fps) == (1280, 720, 0.0)


def test_a_state_that_is_in_no_table_is_no_message_of_ours(camera: Camera) -> None:
    for state, reason in (("asleep", ""), ("backoff", "moon"), ("backoff", ""), ("failed", "")):
        with pytest.raises(LinkGarbled):
            camera.source_status(said(state, reason))
    assert camera.facts.state == "connecting"


def test_frozen_outlasts_frames_and_ends_when_capture_says_so(camera: Camera) -> None:
    camera.ready(ready())
    record = camera.source_status(FROZEN)
    assert record is not None
    assert (record.state, record.reason, record.message) == (
        "frozen",
        "same_picture",
        "nothing moves",
    )
    assert camera.ready(ready(1)) is None
    assert camera.source_status(FROZEN) is None
    assert told(camera.source_status(said("live"))) == ("live", "")


# ---- stalled -------------------------------------------------------------------------------------


def test_it_stalls_when_no_frame_comes(camera: Camera, at: Any) -> None:
    camera.ready(ready())
    assert camera.stalls_at == 102.0
    assert camera.tick(101.9, waiting=0) is None
    record = camera.tick(102.0, waiting=0)
    assert told(record) == ("stalled", "no_frame")
    assert record is not None
    assert record.message == "no frame for 2 s"
    assert camera.stalls_at == math.inf
    assert camera.tick(103.0, waiting=0) is None
    at(104.0)
    assert told(camera.ready(ready(1))) == ("live", "")
    assert camera.tick(105.9, waiting=0) is None


@pytest.mark.parametrize("before", [True, False], ids=["said before", "said while it is stalled"])
def test_a_frame_after_a_stall_brings_back_what_capture_says(camera: Camera, before: bool) -> None:
    camera.ready(ready())
    if before:
        camera.source_status(FROZEN)
    camera.tick(110.0, waiting=0)
    assert camera.source_status(FROZEN) is None
    record = camera.ready(ready(1))
    assert record is not None
    assert (record.state, record.reason, record.message) == (
        "frozen",
        "same_picture",
        "nothing moves",
    )


def test_a_live_source_without_frames_stays_stalled(camera: Camera) -> None:
    camera.ready(ready())
    camera.tick(110.0, waiting=0)
    assert camera.source_status(said("live", fps=30.0)) is None
    assert camera.facts.state == "stalled"


def test_frames_that_wait_for_workers_are_no_stall(camera: Camera) -> None:
    camera.ready(ready())
    assert camera.tick(200.0, waiting=3) is None


def test_frozen_may_stall_but_backoff_and_ended_may_not(camera: Camera) -> None:
    for state, reason in (("backoff", "closed"), ("ended", ""), ("connecting", "")):
        camera.source_status(said(state, reason))
        assert camera.tick(1000.0, waiting=0) is None
    camera.source_status(FROZEN)
    assert told(camera.tick(1000.0, waiting=0)) == ("stalled", "no_frame")


def test_a_source_that_comes_back_has_its_time_to_bring_a_frame(camera: Camera, at: Any) -> None:
    camera.source_status(said("backoff", "refused"))
    at(500.0)
    camera.source_status(said("live"))
    assert camera.tick(501.9, waiting=0) is None
    assert told(camera.tick(502.1, waiting=0)) == ("stalled", "no_frame")


# ---- the motion gate -----------------------------------------------------------------------------

STILL = said("live", "still", message="nothing moves")


def test_frames_that_the_gate_leaves_out_are_frames(camera: Camera, at: Any) -> None:
    camera.ready(ready())
    for second in range(1, 20):
        at(100.0 + second)
        camera.source_status(said("live", "still", still=second * 25, captured=1 + second * 25))
        assert camera.tick(100.0 + second, waiting=0) is None
    assert (camera.facts.state, camera.facts.reason) == ("live", "still")
    assert camera.stalls_at == 121.0
    ledger = Ledger([SETTINGS], ONE_GROUP)
    facts = camera.measure(ledger, 5)
    assert (facts.superseded_by, facts.superseded) == ({"still": 475}, 475)


def test_a_gated_camera_stalls_when_no_frame_comes_at_all(camera: Camera, at: Any) -> None:
    camera.ready(ready())
    report = said("live", "still", still=25)
    camera.source_status(report)
    at(101.0)
    camera.source_status(report)  # the same number: none came
    assert told(camera.tick(102.0, waiting=0)) == ("stalled", "no_frame")
    at(103.0)
    assert camera.source_status(report) is None
    assert told(camera.source_status(said("live", "still", still=26))) == ("live", "still")
    assert camera.stalls_at == 105.0


def test_each_opening_and_closing_of_the_gate_is_told_once(camera: Camera) -> None:
    camera.ready(ready())
    assert told(camera.source_status(STILL)) == ("live", "still")
    assert camera.source_status(STILL) is None
    assert camera.ready(ready(1)) is None  # one that is predicted all the same
    assert told(camera.source_status(said("live"))) == ("live", "")
    assert camera.source_status(said("live")) is None
    assert told(camera.ready(ready(2, LARGER))) == ("live", "size_changed")
    assert camera.source_status(said("live")) is None
    assert told(camera.source_status(STILL)) == ("live", "still")
    assert told(camera.source_status(FROZEN)) == ("frozen", "same_picture")
    assert told(camera.source_status(STILL)) == ("live", "still")


# ---- the size of frames --------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["live", "frozen", "stalled", "backoff", "connecting"])
def test_another_size_is_told_whatever_the_state(camera: Camera, state: str) -> None:
    camera.ready(ready())
    if state == "stalled":
        camera.tick(110.0, waiting=0)
    else:
        camera.source_status(
            said(state, {"frozen": "same_picture", "backoff": "closed"}.get(state, ""))
        )
    assert camera.facts.state == state
    record = camera.ready(ready(1, LARGER))
    assert record is not None
    assert told(record) == ("live", "size_changed")
    assert record.message == "1280x720, was 640x480"
    assert camera.ready(ready(2, LARGER)) is None


def test_a_size_that_only_capture_has_told_of_is_one_that_frames_had(camera: Camera) -> None:
    camera.source_status(said("live", width=640, height=480))
    camera.source_status(said("live", width=0, height=0))
    record = camera.ready(ready(7, LARGER))
    assert told(record) == ("live", "size_changed")
    assert record is not None
    assert record.message == "1280x720, was 640x480"


def test_the_size_stays_the_reason_until_something_changes(camera: Camera) -> None:
    camera.source_status(said("live"))
    camera.ready(ready())
    camera.ready(ready(1, LARGER))
    for _ in range(3):
        assert camera.source_status(said("live", fps=25.0)) is None
        assert camera.ready(ready(2, LARGER)) is None
    assert camera.facts.reason == "size_changed"
    record = camera.ready(ready(3))
    assert record is not None
    assert record.message == "640x480, was 1280x720"
    assert told(camera.source_status(FROZEN)) == ("frozen", "same_picture")


def test_a_frozen_camera_whose_size_changes_is_live_for_good(camera: Camera) -> None:
    camera.ready(ready())
    camera.source_status(FROZEN)
    camera.ready(ready(1, LARGER))
    assert camera.source_status(FROZEN) is None, "said before the change"
    assert camera.source_status(said("live")) is None
    assert camera.facts.reason == "size_changed"


# ---- totals --------------------------------------------------------------------------------------


def test_totals_go_on_over_capture_processes(camera: Camera, link: Any) -> None:
    ledger = Ledger([SETTINGS], ONE_GROUP)
    camera.hello(link, hello(7))
    camera.ready(ready(0, captured=10, bad=2, no_slot=3, max_fps=1))
    camera.source_status(said("live", captured=12, bad=3, no_slot=4, max_fps=2))
    camera.gone()
    camera.hello(link, hello(8))
    camera.ready(ready(1, captured=1, max_fps=1))
    facts = camera.measure(ledger, slots=5)
    assert (facts.captured, facts.bad, facts.superseded_by) == (
        13,
        3,
        {NO_SLOT: 4, MAX_FPS: 3},
    )
    assert (facts.pid, facts.slots) == (8, 5)


def test_frame_numbers_never_go_back(camera: Camera, link: Any) -> None:
    camera.hello(link, hello(7, 40))
    assert camera.next_frame == 40, "an earlier pool had counted so far"
    camera.ready(ready(40))
    camera.hello(link, hello(8, 3))
    assert camera.next_frame == 41
    camera.hello(link, hello(9, 90))
    assert camera.next_frame == 90


def test_its_part_of_the_ledger_adds_up(camera: Camera) -> None:
    ledger = Ledger([SETTINGS], ONE_GROUP)
    ledger.worker_up(1)
    ledger.worker_up(2)
    ledger.worker_up(3)
    for number in range(6):
        frame = Frame(1, number, number, 0.0, 0.0, 8, 8)
        ledger.ready("cam", frame)
        for grant in ledger.assign():
            if grant.seq == 0:
                ledger.outcome(outcome_of(grant.lease, "error", 1.0), 1.0)
                ledger.returned(grant.worker, grant.lease, 1.0)
            elif grant.seq == 1:
                ledger.worker_down(grant.worker, WORKER_DIED, 1.0)
        ledger.release(1.0 + number)
        camera.ready(ready(number, captured=number + 1))
    facts = camera.measure(ledger, slots=8)
    assert facts.captured == 6
    assert facts.captured == facts.leased + facts.superseded + facts.bad + facts.waiting
    assert facts.leased == facts.results + facts.errors + facts.lost + facts.running
    assert (facts.errors, facts.lost, facts.lost_by) == (1, 1, {WORKER_DIED: 1})
    assert (facts.running, facts.waiting, facts.slots_out) == (2, 1, 3)
    assert (facts.next_seq, facts.next_frame) == (facts.leased, 6)
