"""The workers of a run, all together: their links, their leases, their ends.

A worker's link brings what it says; the end of the link is its death, which is followed by SIGKILL
and waitpid (worker_handle.py). Only after that does the ledger hear of it, and its slots are free.
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any

from framefan.base import clock, logs
from framefan.errors import LinkClosed, LinkError
from framefan.ipc.messages import (
    Fatal,
    Notice,
    Returned,
    Tried,
    WorkerFailed,
    WorkerReady,
    WorkerStep,
)
from framefan_inference.pool import sequencer as sequencing
from framefan_inference.pool.changes import Changes, lowest_free
from framefan_inference.pool.worker_handle import WorkerHandle

if TYPE_CHECKING:
    from collections.abc import Sequence

    from framefan.ipc.records import WorkerFacts
    from framefan.settings.run import Settings
    from framefan_inference.pool.pool import Pool
    from framefan_inference.pool.rings import Ring
    from framefan_inference.pool.schedule import Grant

_HANGS = "no answer within the predict deadline"
_SLOW_START = "not ready within the start deadline"
_AT_STOP = "killed at stop"
_STAYS = "did not end when it was retired"
_DISMISSED = "not needed any more"


class Workers:
    """Workers by number."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        settings = pool.settings
        self._workers = {
            n: WorkerHandle(n, settings, pool.prints_fd) for n in range(1, settings.workers + 1)
        }
        self._leased: dict[int, WorkerHandle] = {}
        """By lease, until its seq has left: the worker may have gone by then."""
        self._been_ready = False
        self.changes = Changes(pool, self)

    @property
    def regular(self) -> list[WorkerHandle]:
        """Those that fill the run's places: neither on trial nor retiring."""
        return [each for each in self._workers.values() if not (each.on_trial or each.retires)]

    def has(self, worker: WorkerHandle) -> bool:
        return self._workers.get(worker.number) is worker

    # ---- life -------------------------------------------------------------------------------

    def start_all(self) -> None:
        for worker in self._workers.values():
            self.start(worker)

    def start(self, worker: WorkerHandle) -> None:
        try:
            child = worker.start()
        except OSError as error:
            worker.not_born(error)
            if worker.on_trial:
                self._remove(worker, worker.facts.reason)
            return
        self._pool.loop.watch(child.link.fileno(), partial(self._listen, worker))

    def tend(self, now: float) -> None:
        """What is due by the clock: starts, and the ends of workers that hang."""
        for worker in list(self._workers.values()):
            if worker.deadline is None or now < worker.deadline:
                continue
            if worker.child is None:
                if not self._pool.stopping:
                    self.start(worker)
                else:
                    worker.deadline = None
            elif worker.dies_of is not None:
                self._bury(worker, worker.dies_of)
            elif worker.hangs(now):
                self._bury(worker, self._overdue(worker))
        self.changes.tick(now)

    def _overdue(self, worker: WorkerHandle) -> str:
        """What a worker that hangs is to be told of."""
        if worker.facts.state == "starting":
            return _SLOW_START
        retired = worker.retires and not self._pool.ledger.schedule.in_hand(worker.number)
        return _STAYS if retired else _HANGS

    def _bury(self, worker: WorkerHandle, reason: str = "") -> None:
        """A worker is dead or must be: kill it and, once it is gone, take back what it had."""
        assert worker.child is not None
        ledger, captures = self._pool.ledger, self._pool.captures
        if worker.dies_of is None:
            self._pool.loop.forget(worker.child.link.fileno())
        else:
            reason = worker.dies_of
        if not worker.kill(reason):  # it may read its frame for as long as it is there
            ledger.schedule.retire(worker.number)
            return
        in_hand = () if self._pool.stopping else ledger.schedule.in_hand(worker.number)
        excused = bool(in_hand) and ledger.circuits.counts
        ending = worker.bury(reason, excused, asked=self._pool.stopping)
        cause = sequencing.PREDICT_TIMEOUT if reason == _HANGS else sequencing.WORKER_DIED
        if worker.retires and not ledger.schedule.in_hand(worker.number):
            ledger.worker_left(worker.number)
        else:
            captures.free(ledger.worker_down(worker.number, cause, clock.now()))
            self._pool.blame(in_hand, clock.now())
            captures.collect()
        if worker.on_trial or worker.retires:
            self._remove(worker, ending)
        elif not self._pool.stopping:
            self._pool.status(worker.status(worker.facts.state, "died", ending))

    # ---- places -----------------------------------------------------------------------------

    def hire(self, settings: Settings) -> WorkerHandle:
        """A worker on trial, not started yet."""
        worker = WorkerHandle(lowest_free(self._workers), settings, self._pool.prints_fd)
        worker.on_trial = True
        self._workers[worker.number] = worker
        return worker

    def join(self, worker: WorkerHandle) -> None:
        """A worker that is ready gets frames from now on."""
        worker.on_trial = False
        schedule = self._pool.ledger.schedule
        schedule.stateful = worker.stateful
        if not self._pool.stopping:
            schedule.worker_up(worker.number, worker.most)

    def withdraw(self, worker: WorkerHandle) -> None:
        """It gets no more frames."""
        self._pool.ledger.schedule.retire(worker.number)
        worker.retires = True

    def retire(self, worker: WorkerHandle) -> None:
        """One that was withdrawn finishes what it has, and goes."""
        if worker.child is None:
            self._remove(worker, "")
        elif worker.facts.state == "starting":  # it hears nothing before it is set up
            self._bury(worker, _DISMISSED)
        else:
            worker.retire()

    def dismiss(self, worker: WorkerHandle) -> None:
        """End one that is on trial, if it is still there."""
        if self.has(worker) and worker.child:
            self._bury(worker, _DISMISSED)

    def _remove(self, worker: WorkerHandle, ending: str) -> None:
        if not self.has(worker):
            return
        del self._workers[worker.number]
        if worker.retires and not self._pool.stopping:
            self._pool.status(worker.status("retired", "", ending))
        self._pool.tables.due = clock.now()
        self.changes.ended(worker, ending)

    def stop(self) -> None:
        """They may finish the frame in hand."""
        for worker in list(self._workers.values()):
            starting = worker.facts.state == "starting"
            worker.stop()
            if starting:  # it hears nothing before its predictor is set up, and has no frame
                self._bury(worker, _AT_STOP)

    def kill(self) -> None:
        for worker in list(self._workers.values()):
            if worker.child:
                self._bury(worker, _AT_STOP)

    @property
    def is_alive(self) -> bool:
        return any(worker.child for worker in self._workers.values())

    # ---- what they say ----------------------------------------------------------------------

    def _listen(self, worker: WorkerHandle) -> None:
        assert worker.child is not None
        try:
            for message in worker.child.link.receive():
                self._hear(worker, message)
        except LinkError:
            self._bury(worker)

    def _hear(self, worker: WorkerHandle, message: Any) -> None:
        match message:
            case Returned(lease):
                self._returned(worker, lease)
            case WorkerReady():
                self._ready(worker, message)
            case WorkerStep(step):
                worker.step = step
                self.changes.step(worker)
            case Tried():
                self.changes.tried(worker, message)
            case WorkerFailed(code, what, why, fix):
                worker.failed = message
                if not self._been_ready and not worker.on_trial:
                    self._pool.send_supervisor(Fatal(code, what, why, fix))
            case Notice(kind, text):
                self._pool.status(worker.status("notice", kind, text))

    def _returned(self, worker: WorkerHandle, lease: int) -> None:
        freed = self._pool.ledger.returned(worker.number, lease, clock.now())
        if freed:
            worker.returned()
            self._pool.captures.free([freed])
            self._pool.captures.collect()

    def _ready(self, worker: WorkerHandle, message: WorkerReady) -> None:
        worker.ready(message.model)
        worker.stateful, worker.most, worker.files = message.stateful, message.most, message.files
        logs.info("worker ready", worker=worker.number, predictor=message.model)
        if worker.on_trial:
            self.changes.ready(worker)
            return
        if not worker.retires:
            self.join(worker)
            self.changes.loaded(worker)
        if worker.facts.restarts:
            self._pool.status(worker.status("ready", "restarted"))
        self._been_ready = True
        self._pool.tables.due = clock.now()

    # ---- what they are told -----------------------------------------------------------------

    def lease(self, number: int, grants: Sequence[tuple[Grant, Ring]]) -> None:
        """The frames of one call."""
        worker = self._workers[number]
        for grant, _ in grants:
            self._leased[grant.lease] = worker
        with contextlib.suppress(LinkClosed):  # its end is read elsewhere
            worker.lease(grants, self._pool.publisher.previews.of)

    def predicted(self, grant: Grant, kind: str, started_at: float, finished_at: float) -> None:
        self._leased[grant.lease].predicted(kind, started_at, finished_at)

    def model_of(self, grant: Grant) -> str:
        """Of the worker that had the lease, whose seq leaves now."""
        return self._leased.pop(grant.lease).facts.model

    def detach(self, camera: str, ring: int) -> None:
        """No lease on this ring will follow."""
        for worker in self._workers.values():
            worker.detach(camera, ring)

    def measure(self, now: float) -> list[WorkerFacts]:
        return [worker.measure(now) for _, worker in sorted(self._workers.items())]
