"""Cameras and their captures in a real pool: reload, ends, sizes, stalls, counters."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import msgspec
import psutil
import pytest
from faults import GATED, Gate
from ledger_world import ONE_GROUP
from peers import HEIGHT, WIDTH
from played_run import PlayedCapture, PlayedRun

from framefan.ipc.messages import (
    ChildFacts,
    Children,
    HelloCapture,
    Ready,
    Table,
)
from framefan.settings.run import CameraSettings, Settings
from framefan.settings.secret import SourceText
from framefan_inference.leases.camera_queue import MAX_FPS, NEWER, REMOVED
from framefan_inference.leases.ledger import Ledger
from framefan_inference.pool import capture_links
from framefan_inference.pool.capture_links import CaptureLinks
from framefan_inference.pool.loop import Loop
from framefan_inference.pool.rings import Rings

if TYPE_CHECKING:
    from framefan.settings.run import Mode

REMOVAL = ("ended", "removed")


def row(name: str, mode: Mode = "live", stalled_s: float = 30.0) -> CameraSettings:
    return CameraSettings(name=name, source=SourceText("demo"), mode=mode, stalled_s=stalled_s)


# ---- reload: cameras that come -------------------------------------------------------------------


def test_a_camera_that_is_added_is_served(sees: str) -> None:
    with PlayedRun(sees) as run:
        run.wait_ready()
        run.reload(row("cam"), row("new"))
        run.state(lambda state: list(state.cameras) == ["cam", "new"])
        assert run.told("new") == [("connecting", "")]
        capture = run.capture("new")
        run.frame(capture)
        assert run.outcome(0, "new").kind == "value"
        assert run.told("new")[-1] == ("live", "")
        assert run.told("cam") == []
        assert run.settled().cameras["new"].results == 1


def test_a_capture_that_is_there_before_its_camera_loses_nothing(
    sees: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with PlayedRun(sees) as run:
        run.wait_ready()
        early = PlayedCapture(run.settings, "new")
        run.until(lambda: not early.hear())  # as capture does, it tries again
        assert early.welcome is None
        early.close()
        pool = psutil.Process(run.child.pid)
        pool.suspend()  # else it may read the capture's link before there is a reload to read
        late = PlayedCapture(run.settings, "new")
        run.reload(row("cam"), row("new"))
        pool.resume()
        run.until(lambda: late.hear() and late.ring)
        run.captures.append(late)
        for _ in range(3):
            run.frame(late)
        run.outcome(0, "new")
        assert run.settled().cameras["new"].captured == 3
    assert "stranger" not in capfd.readouterr().err


# ---- reload: cameras that go ---------------------------------------------------------------------


def test_a_removed_camera_finishes_what_is_leased_and_leaves(gate: Gate) -> None:
    with PlayedRun(GATED) as run:
        capture = run.capture()
        run.wait_ready()
        gate.arm("predict")
        capture.ready()
        caught = gate.caught()
        capture.ready()
        run.state(lambda state: state.cameras["cam"].waiting == 1)
        run.reload(row("other"))
        run.until(lambda: not capture.hear())
        run.captures.remove(capture)
        left = run.state(lambda state: "other" in state.cameras).cameras["cam"]
        assert (left.superseded_by, left.running, left.waiting) == ({REMOVED: 1}, 1, 0)
        assert REMOVAL not in run.told()
        again = PlayedCapture(run.settings, "cam")
        run.until(lambda: not again.hear())
        assert again.welcome is None
        again.close()
        caught.release()
        run.state(lambda state: list(state.cameras) == ["other"])
        assert run.outcome(0).kind == "value"
        (last,) = [each for each in run.statuses if (each.state, each.reason) == REMOVAL]
        assert last.camera == "cam"
        assert last.n > run.outcome(0).n
        after = [state.cameras.get("cam") for state in run.states if state.n > last.n]
        (final,) = [each for each in after if each]
        assert (final.state, final.reason, final.captured, final.results) == (*REMOVAL, 2, 1)
        run.until(lambda: run.last_table().state.cameras.keys() == {"other"})
        capture.close()


def test_nothing_stays_open_of_a_camera_that_has_gone(sees: str) -> None:
    with PlayedRun(sees) as run:
        pool, worker = run.child.pid, run.wait_ready().workers[0].pid

        def open_now() -> tuple[int, int, int]:
            """Descriptors of the pool, and of the worker, which has the rings mapped, too."""
            fds = [len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in (pool, worker)]
            maps = Path(f"/proc/{worker}/maps").read_text()
            return fds[0], fds[1], maps.count("framefan-ring")

        before = open_now()
        for number in range(1, 6):
            run.reload(row("cam"), row("guest"))
            capture = run.capture("guest", ring=number, pid=number)
            run.frame(capture)
            run.until(lambda capture=capture: not capture.lent)
            assert open_now()[2] == 1
            run.reload(row("cam"))
            run.until(lambda capture=capture: not capture.open)
            run.drop(capture)
            run.until(lambda: open_now() == before)


def test_a_camera_that_comes_back_goes_on_with_its_numbers(sees: str) -> None:
    with PlayedRun(sees) as run:
        run.wait_ready()
        for life in range(3):
            run.reload(row("cam"))
            capture = run.capture(ring=life + 1, pid=life + 1)
            assert capture.frame == 2 * life
            for _ in range(2):
                run.frame(capture)
                run.until(lambda capture=capture: not capture.lent)
            run.outcome(2 * life + 1)
            state = run.settled().cameras["cam"]
            assert (state.captured, state.results, state.next_frame) == (2 * life + 2,) * 3
            run.reload(row("other"))
            run.state(lambda state: list(state.cameras) == ["other"])
            run.drop(capture)
        assert [record.frame for record in run.outcomes["cam"]] == list(range(6))
        a_life = [("connecting", ""), ("live", ""), REMOVAL]
        assert run.told() == (a_life * 3)[1:], "when the run began there was nothing to tell"


def test_a_camera_that_comes_back_before_it_has_left_was_never_gone(gate: Gate) -> None:
    with PlayedRun(GATED) as run:
        capture = run.capture()
        run.wait_ready()
        gate.arm("predict")
        capture.ready()
        caught = gate.caught()
        run.reload(row("other"))
        run.state(lambda state: "other" in state.cameras)
        run.reload(row("cam"))
        run.state(lambda state: list(state.cameras) == ["cam"])
        run.drop(capture)
        back = run.capture(ring=2, pid=8)
        assert back.frame == 1
        caught.release()
        run.frame(back)
        run.outcome(1)
        run.settled()
        assert run.told() == [("live", ""), ("connecting", "restarting"), ("live", "")]


@pytest.fixture
def ledger() -> Ledger:
    return Ledger([], ONE_GROUP)


@pytest.fixture
def room(ledger: Ledger) -> CaptureLinks:
    """Of a run that has no camera yet."""
    publisher: Any = SimpleNamespace(epoch="k3f9", status=lambda record: None)
    supervisor: Any = SimpleNamespace(settings=Settings(), stopping=False)
    return CaptureLinks(supervisor, Loop(), ledger, publisher, Rings())


def test_only_so_many_removed_cameras_are_remembered(
    room: CaptureLinks, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(capture_links, "PARKED", 3)
    queues = ledger.group("").schedule.cameras
    for number in range(10):
        room.reload([row(f"cam{number}")])
        queues[f"cam{number}"].next_seq = 7
        for name in room.part():
            room.let_go(name)
    room.reload([row("cam8"), row("cam5")])
    assert (queues["cam8"].next_seq, queues["cam5"].next_seq) == (7, 0)


def test_a_link_that_ends_is_closed_once_though_its_camera_is_removed_then(
    room: CaptureLinks, link: Any
) -> None:
    room.reload([row("cam")])
    room.greet(link, HelloCapture("cam", 8, 0), [])
    room._listen(
        room.cameras["cam"], link, [Ready(1, 0, 0, 0.0, 0.0, 8, 8, captured=1, bad=0, no_slot=0)]
    )  # no such ring
    assert link.fileno() == -1
    room.reload([])
    assert room.part() == ["cam"]


# ---- reload: cameras that change -----------------------------------------------------------------


def test_a_change_of_mode_holds_from_the_next_frame_on(gate: Gate) -> None:
    with PlayedRun(GATED) as run:
        capture = run.capture()
        run.wait_ready()
        gate.arm("predict")
        capture.ready()
        caught = gate.caught()

        def two_frames(mode: Mode) -> Any:
            run.reload(row("cam", mode))
            before = run.state(lambda state: state.cameras["cam"].mode == mode).cameras["cam"]
            run.frame(capture)
            run.frame(capture)
            table = run.state(lambda s: s.cameras["cam"].captured == before.captured + 2)
            return table.cameras["cam"]

        assert two_frames("every").waiting == 2
        now = two_frames("live")
        assert (now.waiting, now.superseded_by) == (1, {NEWER: 3})
        caught.release()
        run.outcome(1)
        run.settled()


def test_changed_patience_is_in_force_at_once(sees: str) -> None:
    with PlayedRun(sees, stalled_s=30.0) as run:
        run.wait_ready()
        run.frame(run.capture())
        run.outcome(0)
        run.reload(row("cam", stalled_s=0.3))
        run.until(lambda: ("stalled", "no_frame") in run.told())


# ---- the end of sources --------------------------------------------------------------------------


def test_a_removed_camera_does_not_keep_a_run_from_its_end(sees: str) -> None:
    with PlayedRun(sees, "cam", "e1") as run:
        run.wait_ready()
        run.frame(run.capture())
        file = run.capture("e1")
        run.frame(file)
        run.outcome(0, "e1")
        file.status("ended")
        run.state(lambda state: state.cameras["e1"].state == "ended")
        assert not run.last_table().all_ended
        run.reload(row("e1", "every", stalled_s=2.0))
        run.until(lambda: any(each.all_ended for each in run.heard(Table)))
        run.until(lambda: run.told()[-1] == REMOVAL)  # the bus may be later than the link


def test_a_new_process_learns_that_the_end_was_reached(sees: str) -> None:
    with PlayedRun(sees) as run:
        capture = run.capture()
        run.frame(capture)
        assert capture.welcome is not None
        assert not capture.welcome.ended
        capture.status("ended")
        run.state(lambda state: state.cameras["cam"].state == "ended")
        run.drop(capture)
        died = ChildFacts("capture", "cam", 0, "backoff", 1, "decoder_died", 0.5)
        run.child.link.send(Children(1, "", [died]))
        run.state(lambda state: state.cameras["cam"].restarts == 1)
        again = PlayedCapture(run.settings, "cam", ring=2, pid=8)
        run.until(lambda: again.hear() and again.welcome)
        assert again.welcome is not None
        assert again.welcome.ended
        again.close()
        run.listen(0.1)
        assert run.told() == [("live", ""), ("ended", "")]


# ---- states --------------------------------------------------------------------------------------


def test_a_capture_that_waits_for_its_next_start(sees: str) -> None:
    with PlayedRun(sees) as run:
        capture = run.capture()
        run.frame(capture)
        run.until(run.told)
        run.drop(capture)
        died = ChildFacts("capture", "cam", 0, "backoff", 1, "no_progress", 0.5)
        run.child.link.send(Children(1, "", [died]))
        state = run.state(lambda state: state.cameras["cam"].reason == "no_progress")
        assert 0 <= (state.cameras["cam"].next_try_s or 9) <= 0.5
        run.state(lambda state: state.cameras["cam"].next_try_s == 0)
        started = ChildFacts("capture", "cam", 8, "starting", 1)
        run.child.link.send(Children(1, "", [started]))
        run.frame(run.capture(ring=2, pid=8))
        run.until(lambda: run.told()[-1] == ("live", ""))
        restarting = ("connecting", "restarting")
        told = [each for each in run.told() if each != restarting]
        assert told == [("live", ""), ("backoff", "no_progress"), ("live", "")]
        assert run.told()[-2] == restarting


def test_a_stall_is_told_in_time(sees: str) -> None:
    """Within 0.3 s of the announced 0.6, whenever in a round of the pool's loop it falls due."""
    with PlayedRun(sees, stalled_s=0.6, state_every_s=1.0) as run:
        run.wait_ready()
        capture = run.capture()
        late = []
        for number in range(4):
            run.frame(capture)
            record = run.outcome(number)
            run.until(lambda n=number: run.told().count(("stalled", "no_frame")) == n + 1)
            late.append(run.statuses[-1].ts - record.ts - 0.6)
        assert 0 <= min(late) <= max(late) < 0.3, late


def test_a_size_is_told_before_the_first_result_of_it(sees: str) -> None:
    with PlayedRun(sees) as run:
        capture = run.capture()
        run.wait_ready()
        run.frame(capture)
        first = run.outcome(0)
        capture.ready(HEIGHT // 2, WIDTH // 2)
        second = run.outcome(1)
        assert (first.height, second.height) == (HEIGHT, HEIGHT // 2)
        (status,) = [each for each in run.statuses if each.reason == "size_changed"]
        assert first.n < status.n < second.n
        assert (status.state, status.message) == ("live", "8x6, was 16x12")
        capture.status("live", fps=3.0)
        state = run.state(lambda state: state.cameras["cam"].fps == 3.0)
        assert state.cameras["cam"].reason == "size_changed"


# ---- counters and clocks -------------------------------------------------------------------------


def test_frames_beyond_max_fps_are_in_the_ledger(sees: str) -> None:
    with PlayedRun(sees) as run:
        capture = run.capture()
        run.wait_ready()
        capture.captured = capture.max_fps = 4
        run.frame(capture)
        run.outcome(0)
        assert run.settled().cameras["cam"].superseded_by == {MAX_FPS: 4}
        capture.captured = 7
        capture.max_fps = 6
        capture.status("live")
        camera = run.state(lambda state: state.cameras["cam"].captured == 7).cameras["cam"]
        assert (camera.superseded, camera.leased) == (6, 1)


def test_the_sources_own_clock_comes_with_its_result(written: Any) -> None:
    echo = """
        class Model:
            def predict(self, image, frame):
                return {"pts": frame.pts}
    """
    with PlayedRun(written(echo)) as run:
        capture = run.capture()
        run.wait_ready()
        for seq, pts in enumerate([12.25, None, 0.0]):
            run.until(lambda: not capture.lent)
            capture.ready(pts=pts)
            record = run.outcome(seq)
            assert record.pts == pts
            assert msgspec.msgpack.decode(record.payload) == {"pts": pts}
