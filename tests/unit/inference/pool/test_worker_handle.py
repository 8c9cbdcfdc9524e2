"""A worker's place in the pool: states, deadlines and rings, around a process that is played."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from framefan.base import clock
from framefan.errors import LinkClosed
from framefan.ipc.messages import Attach, Detach, Lease, Stop, WorkerFailed
from framefan.ipc.processes import DUMP_SIGNAL, describe_exit
from framefan.settings.run import Limits, Settings
from framefan_inference.leases.camera_queue import Frame, Grant
from framefan_inference.pool import worker_handle
from framefan_inference.pool.rings import Ring
from framefan_inference.pool.worker_handle import DUMP_S, EXIT_S, SHORTLY_S, WorkerHandle

if TYPE_CHECKING:
    from collections.abc import Callable

LIMITS = Limits(predict_s=10.0, worker_start_s=120.0, restarts=3, restart_first_s=0.5)


class FakeLink:
    def __init__(self) -> None:
        self.sent: list[Any] = []
        self.closed = False

    def send(self, message: Any, fd: int | None = None) -> None:
        if self.closed:
            raise LinkClosed("a peer closed its link")
        self.sent.append(message)


class FakeChild:
    """A process that ends when it is killed, or with the exit code it is given."""

    pid = 4711

    def __init__(self, *_: Any, **__: Any) -> None:
        self.link = FakeLink()
        self.process = self
        self.code: int | None = None
        self.killed = False
        self.stuck = False

    def poll(self) -> int | None:
        return self.code

    def wait(self, seconds: float) -> None:
        assert seconds <= SHORTLY_S, "the other workers wait meanwhile"
        if self.code is None:
            raise subprocess.TimeoutExpired("worker", seconds)

    def kill(self, patience_s: float) -> bool:
        assert patience_s <= SHORTLY_S, "the other workers wait meanwhile"
        self.killed = True
        if self.stuck:
            return False
        if self.code is None:
            self.code = -9
        return True

    @property
    def ending(self) -> str:
        return describe_exit(self.code)


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    sent: list[tuple[int, int]] = []
    monkeypatch.setattr(worker_handle.os, "kill", lambda pid, number: sent.append((pid, number)))
    return sent


@pytest.fixture
def at(monkeypatch: pytest.MonkeyPatch, signals: Any) -> Callable[[float], None]:
    def set_to(seconds: float) -> None:
        monkeypatch.setattr(clock, "now", lambda: seconds)

    monkeypatch.setattr(worker_handle.processes, "Child", FakeChild)
    set_to(100.0)
    return set_to


@pytest.fixture
def worker(at: Any) -> WorkerHandle:
    return WorkerHandle(1, Settings(limits=LIMITS, predictor="motion"))


def bury(worker: WorkerHandle, reason: str = "") -> str:
    assert worker.kill(reason)
    return worker.bury(reason)


def started(worker: WorkerHandle) -> FakeChild:
    child: Any = worker.start()
    worker.ready("Model")
    return child  # type: ignore[no-any-return]


def grant(ring: int = 1) -> Grant:
    return Grant(9, 1, "cam", 5, Frame(ring, 2, 40, 7.5, 1.25, 640, 480))


def ring(number: int = 1) -> Ring:
    return Ring(3, Attach("cam", number, 4, 4096))


def test_it_starts_is_ready_and_has_no_deadline_while_idle(worker: WorkerHandle) -> None:
    worker.start()
    assert (worker.facts.state, worker.facts.pid, worker.deadline) == ("starting", 4711, 220.0)
    worker.ready("Model")
    assert (worker.facts.state, worker.facts.model, worker.deadline) == ("ready", "Model", None)


def test_a_lease_goes_out_whole_after_its_ring(worker: WorkerHandle) -> None:
    child = started(worker)
    worker.lease([(grant(), ring())])
    attach, lease = child.link.sent
    assert attach == Attach("cam", 1, 4, 4096)
    assert lease == Lease(9, "cam", 1, 2, 5, 40, 7.5, 1.25, 640, 480)
    assert (worker.facts.state, worker.deadline) == ("busy", 110.0)
    worker.returned()
    assert (worker.facts.state, worker.deadline) == ("ready", None)


def test_a_ring_is_attached_once_and_detached_once(worker: WorkerHandle) -> None:
    child = started(worker)
    for number in (1, 1, 2):
        worker.lease([(grant(number), ring(number))])
    worker.detach("cam", 1)
    worker.detach("cam", 1)
    worker.detach("other", 2)
    kinds = [type(message) for message in child.link.sent]
    assert kinds == [Attach, Lease, Lease, Attach, Lease, Detach]
    worker.lease([(grant(1), ring(1))])
    assert type(child.link.sent[-2]) is Attach


def test_a_new_process_knows_no_rings(worker: WorkerHandle) -> None:
    started(worker)
    worker.lease([(grant(), ring())])
    bury(worker, "it hung")
    child = started(worker)
    worker.detach("cam", 1)
    worker.lease([(grant(), ring())])
    assert [type(message) for message in child.link.sent] == [Attach, Lease]


def test_a_lease_that_cannot_be_sent_has_its_deadline_all_the_same(worker: WorkerHandle) -> None:
    """A worker that has stopped reading closes nothing, so only the deadline ends its lease."""
    child = started(worker)
    child.link.closed = True
    with pytest.raises(LinkClosed):
        worker.lease([(grant(), ring())])
    assert (worker.facts.state, worker.deadline) == ("busy", 110.0)


def test_one_that_hangs_writes_its_stacks_before_it_is_given_up(
    worker: WorkerHandle, signals: Any
) -> None:
    started(worker)
    worker.lease([(grant(), ring())])
    assert not worker.hangs(110.0)
    assert signals == [(4711, DUMP_SIGNAL)]
    assert worker.deadline == 110.0 + DUMP_S
    assert worker.hangs(110.0 + DUMP_S)
    assert len(signals) == 1


def test_waits_grow_with_each_death_until_it_has_failed(worker: WorkerHandle) -> None:
    waits = []
    for _ in range(3):
        child: Any = worker.start()
        bury(worker, "it hung")
        assert child.killed
        assert worker.child is None
        assert worker.deadline is not None
        waits.append((worker.facts.state, worker.deadline - 100.0))
    assert [state for state, _ in waits] == ["backoff", "backoff", "failed"]
    assert 0.375 <= waits[0][1] <= 0.5
    assert 0.75 <= waits[1][1] <= 1.0
    assert waits[2][1] == LIMITS.restarts_within_s
    assert (worker.facts.restarts, worker.facts.pid, worker.facts.reason) == (3, 0, "it hung")


ENDINGS = {
    "it was killed": (-9, "", "killed by SIGKILL"),
    "it exited by itself": (7, "", "exit code 7"),
    "it said why": (3, "no weights: OSError", "no weights: OSError"),
    "it aborted": (
        -6,
        "",
        "killed by SIGABRT: did predict call cv2.imshow, which needs a display?",
    ),
}


@pytest.mark.parametrize(("code", "said", "told"), ENDINGS.values(), ids=ENDINGS)
def test_its_end_is_told_in_words(worker: WorkerHandle, code: int, said: str, told: str) -> None:
    child: Any = worker.start()
    child.code = code
    worker.failed = WorkerFailed(1, *said.split(": "), "") if said else None
    assert bury(worker) == told
    assert worker.facts.reason == told
    worker.start()
    assert worker.failed is None


def test_stop_is_sent_to_a_process_and_survives_its_end(worker: WorkerHandle) -> None:
    worker.stop()
    assert worker.facts.state == "stopping"
    child = started(worker)
    worker.stop()
    assert child.link.sent == [Stop()]
    child.link.closed = True
    worker.stop()
    worker.ready("Model")
    assert worker.facts.state == "stopping"


def test_busy_is_the_share_of_time_in_predict(worker: WorkerHandle, at: Any) -> None:
    started(worker)
    worker.predicted("value", 100.0, 100.2)
    worker.predicted("error", 100.2, 100.5)
    assert worker.measure(100.1).busy == 0.0, "too short a time to say"
    facts = worker.measure(101.0)
    assert (facts.busy, facts.results, facts.errors) == (0.5, 1, 1)
    assert worker.measure(102.0).busy == 0.0
    worker.predicted("value", 101.0, 110.0)
    assert worker.measure(103.0).busy == 1.0


def test_a_status_is_about_this_worker(worker: WorkerHandle) -> None:
    record = worker.status("ready", "restarted")
    assert (record.subject, record.worker, record.state, record.reason, record.message) == (
        "worker",
        1,
        "ready",
        "restarted",
        "",
    )


def test_who_was_killed_and_stays_is_asked_again(at: Any, worker: WorkerHandle) -> None:
    child = started(worker)
    child.stuck = True
    assert not worker.kill("it hung")
    assert worker.deadline is not None
    assert 100.0 < worker.deadline <= 100.5
    assert worker.child is not None
    child.stuck = False
    assert worker.kill("another reason")
    assert worker.dies_of is None


def test_one_that_closed_its_link_is_killed_only_if_it_does_not_exit(
    at: Any, worker: WorkerHandle
) -> None:
    child = started(worker)
    assert not worker.kill("")
    at(100.0 + EXIT_S / 2)
    assert not worker.kill("")
    assert not child.killed
    child.code = 7
    assert worker.kill("")
    assert worker.bury("") == "exit code 7"
    child = started(worker)
    assert not worker.kill("")
    at(100.0 + 2 * EXIT_S)
    assert worker.kill("")
    assert child.killed
