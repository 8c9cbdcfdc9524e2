"""The workers of a run, all together: their links, their leases, their ends.

A worker's link brings what it says; the end of the link is its death, which is followed by SIGKILL
and waitpid (workers.py). Only after that does the ledger hear of it, and its slots are free.
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any

from framefan import clock, logs
from framefan.errors import LinkClosed, LinkError
from framefan.messages import Fatal, Notice, Returned, WorkerFailed, WorkerReady
from framefan_inference import sequencer as sequencing
from framefan_inference.workers import Worker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from framefan.records import WorkerFacts
    from framefan_inference.pool import Pool
    from framefan_inference.rings import Ring
    from framefan_inference.schedule import Grant

_HANGS = "no answer within the predict deadline"
_SLOW_START = "not ready within the start deadline"
_AT_STOP = "killed at stop"


class Crew:
    """Workers by number."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        settings = pool.settings
        self._workers = {n: Worker(n, settings) for n in range(1, settings.workers + 1)}
        self._been_ready = False

    def __getitem__(self, number: int) -> Worker:
        return self._workers[number]

    # ---- life -------------------------------------------------------------------------------

    def start(self) -> None:
        for worker in self._workers.values():
            self._start(worker)

    def _start(self, worker: Worker) -> None:
        try:
            child = worker.start()
        except OSError as error:
            worker.not_born(error)
            return
        self._pool.loop.watch(child.link.fileno(), partial(self._listen, worker))

    def tend(self, now: float) -> None:
        """What is due by the clock: starts, and the ends of workers that hang."""
        for worker in self._workers.values():
            if worker.deadline is None or now < worker.deadline:
                continue
            if worker.child is None:
                if not self._pool.stopping:
                    self._start(worker)
                else:
                    worker.deadline = None
            elif worker.hangs(now):
                slow = worker.facts.state == "starting"
                self._bury(worker, _SLOW_START if slow else _HANGS)

    def _bury(self, worker: Worker, reason: str = "") -> None:
        """A worker is dead or must be: kill, wait, then take back what it had."""
        assert worker.child is not None
        self._pool.loop.forget(worker.child.link.fileno())
        ledger, captures = self._pool.ledger, self._pool.captures
        in_hand = () if self._pool.stopping else ledger.schedule.in_hand(worker.number)
        ending = worker.bury(reason, excused=bool(in_hand) and ledger.circuits.counts)
        cause = sequencing.PREDICT_TIMEOUT if reason == _HANGS else sequencing.WORKER_DIED
        captures.free(ledger.worker_down(worker.number, cause, clock.now()))
        self._pool.blame(in_hand, clock.now())
        captures.collect()
        if not self._pool.stopping:
            self._pool.status(worker.status(worker.facts.state, "died", ending))

    def stop(self) -> None:
        """They may finish the frame in hand."""
        for worker in self._workers.values():
            starting = worker.facts.state == "starting"
            worker.stop()
            if starting:  # it hears nothing before its predictor is set up, and has no frame
                self._bury(worker, _AT_STOP)

    def kill(self) -> None:
        for worker in self._workers.values():
            if worker.child:
                self._bury(worker, _AT_STOP)

    @property
    def is_alive(self) -> bool:
        return any(worker.child for worker in self._workers.values())

    # ---- what they say ----------------------------------------------------------------------

    def _listen(self, worker: Worker) -> None:
        assert worker.child is not None
        try:
            for message in worker.child.link.receive():
                self._hear(worker, message)
        except LinkError:
            self._bury(worker)

    def _hear(self, worker: Worker, message: Any) -> None:
        match message:
            case Returned(lease):
                self._returned(worker, lease)
            case WorkerReady(model, stateful, most):
                self._ready(worker, model, stateful, most)
            case WorkerFailed(code, what, why, fix):
                worker.failure = f"{what}: {why}"
                if not self._been_ready:
                    self._pool.send_supervisor(Fatal(code, what, why, fix))
            case Notice(kind, text):
                self._pool.status(worker.status("notice", kind, text))

    def _returned(self, worker: Worker, lease: int) -> None:
        freed = self._pool.ledger.returned(worker.number, lease, clock.now())
        if freed:
            worker.returned()
            self._pool.captures.free([freed])
            self._pool.captures.collect()

    def _ready(self, worker: Worker, model: str, stateful: bool, most: int) -> None:
        worker.ready(model)
        logs.info("worker ready", worker=worker.number, predictor=model)
        schedule = self._pool.ledger.schedule
        schedule.stateful = stateful
        if not self._pool.stopping:
            schedule.worker_up(worker.number, most)
        if worker.facts.restarts:
            self._pool.status(worker.status("ready", "restarted"))
        self._been_ready = True
        self._pool.tables.due = clock.now()

    # ---- what they are told -----------------------------------------------------------------

    def lease(self, number: int, grants: Sequence[tuple[Grant, Ring]]) -> None:
        """The frames of one call."""
        with contextlib.suppress(LinkClosed):  # its end is read elsewhere
            self._workers[number].lease(*grants)

    def detach(self, camera: str, ring: int) -> None:
        """No lease on this ring will follow."""
        for worker in self._workers.values():
            worker.detach(camera, ring)

    def measure(self, now: float) -> list[WorkerFacts]:
        return [worker.measure(now) for worker in self._workers.values()]
