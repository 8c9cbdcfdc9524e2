"""One camera as the pool sees it: states, the totals of several capture processes, the stall."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest
from ledger_world import outcome_of

from framefan import clock, links
from framefan.messages import ChildFacts, Ready, SourceStatus, ToPool
from framefan.secret import SourceText
from framefan.settings import CameraSettings
from framefan_inference.cameras import Camera
from framefan_inference.ledger import Ledger
from framefan_inference.schedule import NO_SLOT, Frame
from framefan_inference.sequencer import WORKER_DIED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SETTINGS = CameraSettings(name="cam", source=SourceText("demo"), stalled_s=2.0)


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the time."""

    def set_to(seconds: float) -> None:
        monkeypatch.setattr(clock, "now", lambda: seconds)

    set_to(100.0)
    return set_to


@pytest.fixture
def camera(at: Any) -> Camera:
    return Camera(SETTINGS)


@pytest.fixture
def link() -> Iterator[links.Link[Any]]:
    ours, theirs = socket.socketpair()
    made: links.Link[Any] = links.Link(ours, ToPool)
    yield made
    made.close()
    theirs.close()


def ready(frame: int = 0, captured: int = 1, bad: int = 0, no_slot: int = 0) -> Ready:
    return Ready(1, 0, frame, 100.0, 5.0, 640, 480, captured, bad, no_slot)


def told(record: Any) -> tuple[str, str] | None:
    return None if record is None else (record.state, record.reason)


# ---- states --------------------------------------------------------------------------------------


def test_the_first_frame_makes_it_live_and_the_next_is_no_news(camera: Camera) -> None:
    assert camera.facts.state == "connecting"
    record = camera.ready(ready(0))
    assert record is not None
    assert (record.subject, record.camera, record.state) == ("camera", "cam", "live")
    assert camera.ready(ready(1)) is None
    assert camera.facts.been_live
    assert (camera.facts.width, camera.facts.height) == (640, 480)


def test_what_capture_says_is_news_once(camera: Camera) -> None:
    backoff = SourceStatus("backoff", "refused", "nobody there", next_try_s=0.5)
    record = camera.source_status(backoff)
    assert record is not None
    assert (record.state, record.reason, record.message) == ("backoff", "refused", "nobody there")
    assert record.next_try_s == 0.5
    assert camera.source_status(backoff) is None
    again = SourceStatus("backoff", "refused", "nobody there", next_try_s=1.0)
    assert told(camera.source_status(again)) == ("backoff", "refused")
    assert told(camera.source_status(SourceStatus("backoff", "timeout"))) == ("backoff", "timeout")
    assert not camera.facts.been_live


def test_a_report_without_a_size_keeps_the_size(camera: Camera) -> None:
    camera.source_status(SourceStatus("live", width=1280, height=720, fps=25.0))
    camera.source_status(SourceStatus("backoff", "timeout"))
    assert (camera.facts.width, camera.facts.height, camera.facts.fps) == (1280, 720, 0.0)


def test_it_stalls_when_no_frame_comes(camera: Camera, at: Any) -> None:
    camera.ready(ready())
    assert camera.tick(102.0, waiting=0) is None
    record = camera.tick(102.1, waiting=0)
    assert told(record) == ("stalled", "no_frame")
    assert record is not None
    assert record.message == "no frame for 2 s"
    assert camera.tick(103.0, waiting=0) is None
    at(104.0)
    assert told(camera.ready(ready(1))) == ("live", "")
    assert camera.tick(105.9, waiting=0) is None


def test_a_live_source_without_frames_stays_stalled(camera: Camera) -> None:
    camera.ready(ready())
    camera.tick(110.0, waiting=0)
    assert camera.source_status(SourceStatus("live", fps=30.0)) is None
    assert camera.facts.state == "stalled"


def test_frames_that_wait_for_workers_are_no_stall(camera: Camera) -> None:
    camera.ready(ready())
    assert camera.tick(200.0, waiting=3) is None


def test_frozen_may_stall_but_backoff_and_ended_may_not(camera: Camera) -> None:
    for state in ("backoff", "ended", "failed", "connecting"):
        camera.source_status(SourceStatus(state))
        assert camera.tick(1000.0, waiting=0) is None
    camera.source_status(SourceStatus("frozen"))
    assert told(camera.tick(1000.0, waiting=0)) == ("stalled", "no_frame")


def test_a_source_that_comes_back_has_its_time_to_bring_a_frame(camera: Camera, at: Any) -> None:
    camera.source_status(SourceStatus("backoff", "refused"))
    at(500.0)
    camera.source_status(SourceStatus("live"))
    assert camera.tick(501.9, waiting=0) is None
    assert told(camera.tick(502.1, waiting=0)) == ("stalled", "no_frame")


def test_without_its_capture_it_connects_again_unless_it_was_done(camera: Camera) -> None:
    camera.ready(ready())
    assert told(camera.gone()) == ("connecting", "restarting")
    for state in ("ended", "failed"):
        camera.source_status(SourceStatus(state))
        assert camera.gone() is None
        assert camera.facts.state == state


def test_the_supervisor_says_when_it_gives_up(camera: Camera) -> None:
    assert camera.child(ChildFacts("capture", "cam", 7, "running", 1)) is None
    assert camera.facts.restarts == 1
    failed = ChildFacts("capture", "cam", 0, "failed", 5)
    assert told(camera.child(failed)) == ("failed", "crash_loop")
    assert camera.child(failed) is None


# ---- totals --------------------------------------------------------------------------------------


def test_totals_go_on_over_capture_processes(camera: Camera, link: Any) -> None:
    ledger = Ledger([SETTINGS], 0.5)
    assert camera.hello(link, 7, 0) == 0
    camera.ready(ready(0, captured=10, bad=2, no_slot=3))
    camera.source_status(SourceStatus("live", captured=12, bad=3, no_slot=4))
    camera.gone()
    assert camera.hello(link, 8, 0) == 1
    camera.ready(ready(1, captured=1))
    facts = camera.measure(ledger, slots=5)
    assert (facts.captured, facts.bad, facts.superseded_by) == (13, 3, {NO_SLOT: 4})
    assert (facts.pid, facts.slots) == (8, 5)


def test_frame_numbers_never_go_back(camera: Camera, link: Any) -> None:
    assert camera.hello(link, 7, 40) == 40, "an earlier pool had counted so far"
    camera.ready(ready(40))
    assert camera.hello(link, 8, 3) == 41
    assert camera.hello(link, 9, 90) == 90


def test_its_part_of_the_ledger_adds_up(camera: Camera) -> None:
    ledger = Ledger([SETTINGS], 0.5)
    ledger.schedule.worker_up(1)
    ledger.schedule.worker_up(2)
    ledger.schedule.worker_up(3)
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
