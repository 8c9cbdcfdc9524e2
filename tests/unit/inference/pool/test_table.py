"""The state table: when it is due, what it gathers, and when everything has ended."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import Any

import pytest
from ledger_world import ONE_GROUP

from framefan.base import clock
from framefan.ipc.messages import ChildFacts, Children, SourceStatus
from framefan.ipc.records import GatewayFacts, PredictorFacts, StateRecord, WorkerFacts
from framefan.settings.run import CameraSettings, Settings
from framefan.settings.secret import SourceText
from framefan_inference.leases.camera_queue import Frame
from framefan_inference.leases.ledger import Ledger
from framefan_inference.pool.capture_links import CaptureLinks
from framefan_inference.pool.failures import Failures
from framefan_inference.pool.loop import Loop
from framefan_inference.pool.previews import Previews
from framefan_inference.pool.rings import Rings
from framefan_inference.pool.table import Parts, Tables

SETTINGS = Settings(
    name="lab",
    run_dir="/run/lab",
    cameras=tuple(CameraSettings(name=name, source=SourceText("demo")) for name in "ab"),
)


class FakePool:
    """The parts of a table, with what it told recorded."""

    def __init__(self) -> None:
        self.ledger = Ledger(SETTINGS.cameras, ONE_GROUP)
        self.published: list[StateRecord] = []
        self.told: list[tuple[StateRecord, bool]] = []
        supervisor: Any = SimpleNamespace(
            settings=SETTINGS, tell=lambda state, all_ended: self.told.append((state, all_ended))
        )
        self.publisher: Any = SimpleNamespace(
            epoch="k3f9",
            n=7,
            state=self.published.append,
            status=lambda record: None,
            previews=Previews(1 << 20),
            table_due=100.0,
        )
        self.captures = CaptureLinks(supervisor, Loop(), self.ledger, self.publisher, Rings())
        self.cameras = self.captures.cameras
        groups: Any = SimpleNamespace(
            measure=lambda now: [WorkerFacts(id=1)], facts=lambda: {"default": PredictorFacts()}
        )
        outcomes: Any = SimpleNamespace(foreign=4)
        self.parts = Parts(
            supervisor,
            self.ledger,
            self.publisher,
            outcomes,
            self.captures,
            groups,
            Failures(),
        )


@pytest.fixture
def pool(at: Any) -> FakePool:
    return FakePool()


@pytest.fixture
def tables(pool: FakePool) -> Tables:
    return Tables(pool.parts)


def test_it_comes_every_second_and_when_brought_forward(pool: FakePool, tables: Tables) -> None:
    for now in (100.0, 100.5, 100.9, 101.0, 101.5):
        tables.tick(now)
    assert len(pool.published) == 2
    pool.publisher.table_due = 101.6
    tables.tick(101.6)
    assert len(pool.published) == 3
    tables.tick(102.5)
    assert len(pool.published) == 3
    assert pool.publisher.table_due == 102.6


def test_the_same_table_goes_to_the_bus_and_the_supervisor(pool: FakePool, tables: Tables) -> None:
    tables.tick(100.0)
    ((told, ended),) = pool.told
    assert told is pool.published[0]
    assert not ended
    assert (told.name, told.run_dir, told.pool.pid) == ("lab", "/run/lab", os.getpid())
    assert told.results_endpoint == "ipc:///run/lab/results"
    assert (told.foreign, told.stale) == (4, 0)
    assert [worker.id for worker in told.workers] == [1]
    assert list(told.predictors) == ["default"]
    assert list(told.cameras) == ["a", "b"]


def test_brought_forward_tables_do_not_tune(
    pool: FakePool, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned: list[float] = []
    monkeypatch.setattr(pool.ledger, "tune", lambda: tuned.append(1.0))
    for now in (100.0, 100.5, 101.0):
        pool.publisher.table_due = now
        tables.tick(now)
    assert len(tuned) == 2


def test_all_ended_needs_every_camera_and_an_empty_ledger(pool: FakePool, tables: Tables) -> None:
    pool.ledger.worker_up(1)
    pool.ledger.ready("a", Frame(1, 0, 0, 0.0, 0.0, 8, 8))
    pool.cameras["a"].source_status(SourceStatus("ended"))

    def ended() -> bool:
        tables.publish(100.0)
        return pool.told[-1][1]

    assert not ended()
    pool.cameras["b"].source_status(SourceStatus("ended"))
    assert not ended(), "a frame still waits"
    (grant,) = pool.ledger.assign()
    assert not ended(), "a frame is in predict"
    pool.ledger.returned(1, grant.lease, 100.0)
    assert not ended(), "its seq has not left"
    pool.ledger.release(101.0)
    assert ended()


GATEWAYS: dict[str, tuple[list[ChildFacts], list[GatewayFacts], list[Any]]] = {
    "none": ([], [], []),
    "started, silent": (
        [ChildFacts("gateway", "1", 50, "running", 2)],
        [],
        [(1, 50, "running", 2, 0)],
    ),
    "started and heard": (
        [ChildFacts("gateway", "1", 50, "running", 2), ChildFacts("capture", "a", 9, "x", 0)],
        [GatewayFacts(id=1, clients=3)],
        [(1, 50, "ready", 2, 3)],
    ),
    "heard before the supervisor spoke": ([], [GatewayFacts(id=2)], [(2, 0, "ready", 0, 0)]),
    "two": (
        [ChildFacts("gateway", "2", 51, "backoff", 1)],
        [GatewayFacts(id=1, clients=1)],
        [(1, 0, "ready", 0, 1), (2, 51, "backoff", 1, 0)],
    ),
}


@pytest.mark.parametrize(("children", "heard", "expected"), GATEWAYS.values(), ids=GATEWAYS)
def test_gateways_by_what_they_say_and_what_the_supervisor_knows(
    pool: FakePool, tables: Tables, children: Any, heard: Any, expected: Any
) -> None:
    tables.children = Children(33, "http://x", children)
    for facts in heard:
        tables.heard(facts)
    tables.publish(100.0)
    (state,) = pool.published
    rows = [(g.id, g.pid, g.state, g.restarts, g.clients) for g in state.gateways]
    assert rows == expected
    assert (state.supervisor.pid, state.url) == (33, "http://x")


def test_a_gateway_that_stands_still_is_silent(
    pool: FakePool, tables: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables.heard(GatewayFacts(id=1, clients=3))
    now = clock.now()
    for later, state in ((1.0, "ready"), (4.0, "silent")):
        monkeypatch.setattr(clock, "now", lambda at=now + later: at)
        tables.publish(100.0)
        (row,) = pool.published[-1].gateways
        assert (row.state, row.clients) == (state, 3)
    tables.heard(GatewayFacts(id=1))
    tables.publish(100.0)
    assert pool.published[-1].gateways[0].state == "ready"


def test_the_pool_knows_how_often_it_was_started_anew(pool: FakePool, tables: Tables) -> None:
    said = [ChildFacts("pool", "", 40, "running", 3), ChildFacts("gateway", "1", 50, "running", 2)]
    tables.children = Children(33, "http://x", said)
    tables.publish(100.0)
    (state,) = pool.published
    assert state.pool.restarts == 3


def test_without_the_removed_ones_all_have_ended(pool: FakePool, tables: Tables) -> None:
    pool.cameras["a"].source_status(SourceStatus("ended"))
    assert not pool.captures.all_ended
    pool.cameras["b"].remove()
    assert pool.captures.all_ended
    pool.cameras["a"].remove()
    assert not pool.captures.all_ended, "with no camera at all there is nothing that ended"
