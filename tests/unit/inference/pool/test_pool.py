"""A real pool with real workers under a played supervisor, played captures and a subscriber."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import msgspec
from faults import GATED, Gate
from peers import HEIGHT, WIDTH, payload
from played_run import PlayedCapture, PlayedRun, kinds

from framefan.ipc import bus, links
from framefan.ipc.messages import (
    ChildFacts,
    Children,
    GatewayReport,
    HelloGateway,
    Progress,
    SourceStatus,
    Table,
    ToCapture,
)
from framefan.ipc.records import GatewayFacts, StateRecord
from framefan_inference.leases.camera_queue import NEWER, NO_SLOT

# ---- the usual course ----------------------------------------------------------------------------


def test_frames_become_results_in_order_and_slots_come_back(sees: str) -> None:
    with PlayedRun(sees, workers=2) as run:
        capture = run.capture()
        run.wait_ready()
        assert capture.welcome is not None
        assert (capture.welcome.frame, capture.welcome.slots) == (0, 2 + 3)
        for number in range(60):
            run.until(lambda: not capture.lent)
            assert capture.ready() is not None
            assert capture.frame == number + 1
        run.outcome(59)
        records = run.outcomes["cam"]
        assert set(kinds(records)) == {"value"}
        assert [record.frame for record in records] == list(range(60))
        assert [payload(record)["frame"] for record in records] == list(range(60))
        assert {record.epoch for record in records} == {capture.welcome.epoch}
        assert {record.model for record in records} == {"Model"}
        assert {(record.width, record.height) for record in records} == {(WIDTH, HEIGHT)}
        for record in records:
            assert record.captured_at <= record.started_at <= record.finished_at
        camera = run.settled().cameras["cam"]
        assert (camera.captured, camera.leased, camera.results) == (60, 60, 60)
        assert run.stop() == 0


def test_live_keeps_the_newest_and_counts_the_rest(gate: Gate) -> None:
    with PlayedRun(GATED) as run:
        capture = run.capture()
        run.wait_ready()
        gate.arm("predict")
        first = capture.ready()
        caught = gate.caught()
        for _ in range(5):
            run.frame(capture)
        run.until(lambda: len(capture.freed) == 4)
        assert first not in capture.freed, "freed while its worker reads it"
        caught.release()
        assert [run.outcome(seq).frame for seq in (0, 1)] == [0, 5]
        camera = run.settled().cameras["cam"]
        assert camera.superseded_by == {NEWER: 4}
        assert (camera.captured, camera.leased) == (6, 2)


def test_every_loses_nothing(sees: str) -> None:
    with PlayedRun(sees, "every", workers=2) as run:
        capture = run.capture("every")
        run.wait_ready()
        for _ in range(100):
            run.frame(capture)
        assert [run.outcome(seq, "every").frame for seq in range(100)] == list(range(100))
        capture.status("ended")
        state = run.settled().cameras["every"]
        assert (state.captured, state.results, state.superseded) == (100, 100, 0)
        table = run.until(lambda: [each for each in run.heard(Table) if each.all_ended])[0]
        assert table.state.cameras["every"].state == "ended"


def test_cameras_share_and_a_slow_start_loses_no_count(sees: str) -> None:
    with PlayedRun(sees, "a", "b", workers=2) as run:
        captures = [run.capture("a"), run.capture("b")]
        for _ in range(8):  # before any worker is up
            for capture in captures:
                run.frame(capture)
        run.wait_ready()
        for name in "ab":
            assert run.outcome(0, name).frame in range(8)
        for name, camera in run.settled().cameras.items():
            assert camera.captured == 8, name
            assert camera.leased + camera.superseded == 8


def test_a_stateful_camera_stays_in_one_worker_until_that_dies(sees_stateful: str) -> None:
    with PlayedRun(sees_stateful, "a", "b", workers=2) as run:
        captures = [run.capture("a"), run.capture("b")]
        run.wait_ready()

        def go_on(to: int) -> dict[str, list[int]]:
            """The pids that served each camera since the last call."""
            begin = {name: len(records) for name, records in run.outcomes.items()}
            while any(len(records) < to for records in run.outcomes.values()):
                for capture in captures:
                    if not capture.lent:
                        capture.ready()
                run.pump(0.05)
            return {
                name: [
                    payload(each)["pid"] for each in records[begin[name] :] if each.kind != "lost"
                ]
                for name, records in run.outcomes.items()
            }

        homes = {name: set(pids) for name, pids in go_on(20).items()}
        assert all(len(pids) == 1 for pids in homes.values())
        assert homes["a"] != homes["b"]
        (victim,) = homes["a"]
        run.settled()
        os.kill(victim, signal.SIGKILL)
        assert victim not in go_on(40)["a"]


# ---- captures ------------------------------------------------------------------------------------


def test_a_capture_that_dies_comes_back_with_a_new_ring_and_goes_on_counting(gate: Gate) -> None:
    with PlayedRun(GATED) as run:
        first = run.capture()
        run.wait_ready()
        gate.arm("predict")
        first.ready()
        caught = gate.caught()
        first.ready()
        run.state(lambda state: state.cameras["cam"].captured == 2)
        run.drop(first)
        gone = run.state(lambda state: state.cameras["cam"].state == "connecting").cameras["cam"]
        assert (gone.reason, gone.waiting, gone.running) == ("restarting", 1, 1)
        second = run.capture(ring=2, frame=0)
        assert second.frame == 2, "a frame number is used once"
        second.ready()
        caught.release()
        run.outcome(1)
        run.until(lambda: not second.lent)
        camera = run.settled().cameras["cam"]
        assert camera.captured == 3
        assert camera.state == "live"


def test_a_larger_ring_retires_the_old_one_and_lets_go_of_it(sees: str) -> None:
    with PlayedRun(sees) as run:
        capture = run.capture()
        state = run.wait_ready()
        pids = [run.child.pid, state.workers[0].pid]

        def serve() -> list[int]:
            capture.ready()
            run.until(lambda: not capture.lent)
            return [len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids]

        serve()
        before = serve()
        for ring in range(2, 12):
            capture.make_ring(ring, 4)
            after = serve()
        assert after == before
        maps = Path(f"/proc/{pids[1]}/maps").read_text()
        assert maps.count("framefan-ring") == 1
        assert run.settled().cameras["cam"].slots == 4


def test_frames_without_a_slot_and_bad_ones_are_in_the_ledger(gate: Gate) -> None:
    with PlayedRun(GATED) as run:
        capture = run.capture()
        run.wait_ready()
        capture.bad = 3
        capture.captured += 3
        capture.status("live")
        state = run.state(lambda state: state.cameras["cam"].bad == 3)
        assert state.cameras["cam"].captured == 3
        while capture.ready() is not None:  # without listening, so none comes back
            pass
        capture.status("live")
        run.state(lambda state: state.cameras["cam"].superseded_by.get(NO_SLOT) == 1)
        run.settled()


def test_a_camera_says_what_it_is_and_the_pool_says_when_it_stalls(sees: str) -> None:
    with PlayedRun(sees, stalled_s=0.5) as run:
        run.wait_ready()
        capture = run.capture()
        capture.ready()
        run.until(lambda: [each for each in run.statuses if each.state == "live"])
        capture.status("backoff", reason="refused", message="nobody there", next_try_s=1.5)
        told = run.until(lambda: [each for each in run.statuses if each.state == "backoff"])[0]
        assert (told.camera, told.reason, told.next_try_s) == ("cam", "refused", 1.5)
        capture.status("live")
        stalled = run.until(lambda: [each for each in run.statuses if each.state == "stalled"])[0]
        assert stalled.reason == "no_frame"
        capture.ready()
        run.state(lambda state: state.cameras["cam"].state == "live")
        states = [each.state for each in run.statuses if each.subject == "camera"]
        assert states == ["live", "backoff", "live", "stalled", "live"]


def test_source_status_fills_the_table(sees: str) -> None:
    with PlayedRun(sees) as run:
        capture = run.capture()
        capture.link.send(SourceStatus("live", fps=12.5, width=640, height=480))
        camera = run.state(lambda state: state.cameras["cam"].fps == 12.5).cameras["cam"]
        assert (camera.width, camera.height, camera.state) == (640, 480, "live")
        assert camera.been_live
        assert str(camera.source) == "demo"


# ---- the supervisor and gateways -----------------------------------------------------------------


def test_all_that_the_supervisor_has_said_comes_before_a_hello(sees: str) -> None:
    others = [ChildFacts("capture", f"other{n}", n, "running", 0) for n in range(700)]
    died = ChildFacts("capture", "cam", 0, "backoff", 1, "decoder_died", 0.5)
    started = ChildFacts("capture", "cam", 8, "starting", 1)
    with PlayedRun(sees) as run:
        run.wait_ready()
        os.kill(run.child.pid, signal.SIGSTOP)
        run.child.link.send(Children(1, "", [*others, died]))
        run.child.link.send(Children(1, "", [started]))
        capture = PlayedCapture(run.settings, "cam", pid=8)
        capture.status("ended")
        os.kill(run.child.pid, signal.SIGCONT)
        run.until(lambda: ("ended", "") in run.told())
        assert run.told()[:2] == [("backoff", "decoder_died"), ("connecting", "restarting")]
        capture.close()


def test_the_supervisor_gets_the_table_and_proof_of_progress(sees: str) -> None:
    with PlayedRun(sees) as run:
        run.wait_ready()
        table = run.until(lambda: run.heard(Table))[-1]
        assert not table.all_ended
        assert table.state.cameras["cam"].mode == "live"
        run.until(lambda: len(run.heard(Progress)) > 2)
        facts = [
            ChildFacts("capture", "cam", 5, "failed", 3),
            ChildFacts("gateway", "1", 6, "x", 2),
        ]
        run.child.link.send(Children(77, "http://here", facts))
        state = run.state(lambda state: state.url)
        assert (state.url, state.supervisor.pid) == ("http://here", 77)
        assert state.pool.pid == run.child.pid
        assert (state.cameras["cam"].state, state.cameras["cam"].restarts) == ("failed", 3)
        assert [(each.id, each.pid, each.state) for each in state.gateways] == [(1, 6, "x")]


def test_a_gateways_report_is_in_the_table_until_it_leaves(sees: str) -> None:
    with PlayedRun(sees) as run:
        link: links.Link[Any] = links.Link(links.connect(run.settings.path("pool")), ToCapture)
        link.send(HelloGateway(1))
        link.send(GatewayReport(GatewayFacts(id=1, clients=12)))
        state = run.state(lambda state: state.gateways)
        assert state.gateways[0].clients == 12
        link.close()
        run.state(lambda state: not state.gateways)


def test_a_new_subscriber_gets_the_table_at_once(sees: str) -> None:
    with PlayedRun(sees, state_every_s=30.0) as run:
        run.until(lambda: run.states)
        late = bus.subscriber(run.settings.limits, bus.STATE)
        try:
            late.connect(run.settings.results_endpoint)
            assert late.poll(3000), "it would have waited for the next turn"
            topic, body = late.recv_multipart()
            assert topic == b"state/"
            assert msgspec.msgpack.decode(body, type=StateRecord).epoch == run.states[0].epoch
        finally:
            late.close()


def test_where_each_result_counts_the_first_waits_for_a_reader(sees: str) -> None:
    with PlayedRun(sees, "every1") as run:
        run._socket.close(linger=0)  # the pool is not there yet: it never hears of this one
        run._socket = bus.subscriber(run.settings.limits, bus.STATE, bus.STATUS)
        run._socket.connect(run.settings.results_endpoint)
        capture = run.capture("every1")
        run.wait_ready()
        capture.ready()
        run.state(lambda state: state.cameras["every1"].waiting == 1)
        run._socket.subscribe(b"result/")
        assert run.outcome(0, "every1").seq == 0
