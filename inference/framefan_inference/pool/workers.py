"""The workers of one predictor: their links, leases and deaths.

A worker's link carries its messages. The end of the link counts as its death, and SIGKILL and
waitpid follow (worker_handle.py). Only then does the ledger free its slots.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from framefan.base import clock, logs
from framefan.errors import LinkError
from framefan.ipc import setup_death
from framefan.ipc.messages import (
    Fatal,
    Notice,
    Returned,
    Tried,
    WorkerFailed,
    WorkerReady,
    WorkerStep,
)
from framefan.ipc.processes import KILL_S
from framefan_inference.leases import sequencer as sequencing
from framefan_inference.pool.worker_handle import SHORTLY_S, WorkerHandle

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from framefan.settings.run import Settings
    from framefan_inference.leases.ledger import Ledger
    from framefan_inference.pool.loop import Loop
    from framefan_inference.pool.publisher import Publisher
    from framefan_inference.pool.supervisor_link import SupervisorLink

_HANGS = "no answer within the predict deadline"
_SLOW_START = "not ready within the start deadline"
_AT_STOP = "killed at stop"
_STAYS = "did not end when it was retired"
_DISMISSED = "no longer needed"


class Events(Protocol):
    """Receives events of workers that are on trial, retiring or starting."""

    def step(self, worker: WorkerHandle) -> None: ...
    def ready(self, worker: WorkerHandle) -> None: ...
    def loaded(self, worker: WorkerHandle) -> None: ...
    def tried(self, worker: WorkerHandle, result: Tried) -> None: ...
    def ended(self, worker: WorkerHandle, ending: str) -> None: ...


def lowest_free(taken: Collection[int]) -> int:
    """The number of a new worker."""
    return next(number for number in range(1, len(taken) + 2) if number not in taken)


class Roster:
    """All workers of a run by number; a number belongs to one worker at a time."""

    def __init__(self, prints_fd: int) -> None:
        """`prints_fd`: the descriptor that the workers' stdout and stderr go to."""
        self._prints_fd = prints_fd
        self._workers: dict[int, WorkerHandle] = {}

    def __iter__(self) -> Iterator[WorkerHandle]:
        return iter([worker for _, worker in sorted(self._workers.items())])

    def __getitem__(self, number: int) -> WorkerHandle:
        return self._workers[number]

    def add(self, settings: Settings, predictor: str) -> WorkerHandle:
        number = lowest_free(self._workers)
        worker = WorkerHandle(number, settings, self._prints_fd, predictor)
        self._workers[number] = worker
        return worker

    def has(self, worker: WorkerHandle) -> bool:
        return self._workers.get(worker.number) is worker

    def remove(self, worker: WorkerHandle) -> None:
        del self._workers[worker.number]


class Workers:
    """The workers of one predictor."""

    def __init__(
        self,
        predictor: str,
        supervisor: SupervisorLink,
        loop: Loop,
        ledger: Ledger,
        publisher: Publisher,
        events: Events,
        roster: Roster,
    ) -> None:
        """`predictor`: its name."""
        self._predictor = predictor
        self._supervisor = supervisor
        self._loop = loop
        self._ledger = ledger
        self._publisher = publisher
        self._events = events
        self._roster = roster
        self.late = False
        """The predictor was added during the run, so its failures do not end the run."""
        self._been_ready = False
        self._told_death = False
        """Whether a death during the predictor's setup was logged."""

    @property
    def regular(self) -> list[WorkerHandle]:
        """Workers that are neither on trial nor retiring."""
        return [each for each in self if not (each.on_trial or each.retires)]

    def __iter__(self) -> Iterator[WorkerHandle]:
        return (each for each in self._roster if each.facts.predictor_name == self._predictor)

    def has(self, worker: WorkerHandle) -> bool:
        return self._roster.has(worker)

    # ---- life -------------------------------------------------------------------------------

    def start_all(self) -> None:
        """Start as many workers as the settings ask for."""
        settings = self._supervisor.settings.of(self._predictor)
        new = [self._roster.add(settings, self._predictor) for _ in range(settings.workers)]
        for worker in new:
            self.start(worker)

    def start(self, worker: WorkerHandle) -> None:
        try:
            child = worker.start()
        except OSError as error:
            worker.not_born(error)
            if worker.on_trial:
                self._remove(worker, worker.facts.reason)
            return
        self._loop.watch(child.link.fileno(), partial(self._listen, worker))

    def tend(self, now: float) -> None:
        """Start workers whose restart is due, and end workers that hang."""
        for worker in list(self):
            if worker.deadline is None or now < worker.deadline:
                continue
            if worker.child is None:
                if not self._supervisor.stopping:
                    self.start(worker)
                else:
                    worker.deadline = None
            elif worker.dies_of is not None:
                self._bury(worker, worker.dies_of)
            elif worker.hangs(now):
                self._bury(worker, self._overdue(worker))

    def _overdue(self, worker: WorkerHandle) -> str:
        """Why a worker that missed its deadline is killed."""
        if worker.facts.state == "starting":
            return _SLOW_START
        retired = worker.retires and not self._ledger.in_hand(worker.number)
        return _STAYS if retired else _HANGS

    def _bury(self, worker: WorkerHandle, reason: str = "") -> None:
        """Kill a worker that is dead or must end; once it is gone, take its slots back."""
        assert worker.child is not None
        ledger = self._ledger
        if worker.dies_of is None:
            self._loop.forget(worker.child.link.fileno())
        else:
            reason = worker.dies_of
        patience_s = KILL_S if self._supervisor.stopping else SHORTLY_S
        if not worker.kill(reason, patience_s):  # while the process exists it may read its frame
            ledger.retire(worker.number)
            return
        was_starting = worker.facts.state == "starting" and not reason and worker.failed is None
        in_hand = () if self._supervisor.stopping else ledger.in_hand(worker.number)
        group = ledger.group(self._predictor)
        excused = bool(in_hand) and group.circuits.counts
        ending = worker.bury(
            reason, excused, asked=self._supervisor.stopping or reason == _DISMISSED
        )
        cause = sequencing.PREDICT_TIMEOUT if reason == _HANGS else sequencing.WORKER_DIED
        if worker.retires and not ledger.in_hand(worker.number):
            ledger.worker_left(worker.number)
        else:
            ledger.worker_down(worker.number, cause, clock.now())
            ledger.blame(in_hand, clock.now(), self._predictor)
        if worker.on_trial or worker.retires:
            self._remove(worker, ending)
        elif not self._supervisor.stopping:
            self._publisher.status(worker.status(worker.facts.state, "died", ending))
            if was_starting and not self._been_ready:
                self._died_in_setup(worker, ending)

    def _died_in_setup(self, worker: WorkerHandle, ending: str) -> None:
        """No worker has been ready yet: log why; end the run if restarts are used up."""
        error = setup_death.told(worker.settings.predictor, ending)
        if worker.facts.state == "failed" and not self.late:
            self._supervisor.send(Fatal(error.exit_code, error.what, error.why, error.fix))
        elif not self._told_death:
            self._told_death = True
            logs.error(error.what, why=error.why, do=error.fix)

    # ---- adding and removing ----------------------------------------------------------------

    def hire(self, settings: Settings) -> WorkerHandle:
        """Add a worker on trial; the caller starts it."""
        worker = self._roster.add(settings, self._predictor)
        worker.on_trial = True
        return worker

    def join(self, worker: WorkerHandle) -> None:
        """Lease frames to a ready worker from now on."""
        worker.on_trial = False
        self._ledger.group(self._predictor).schedule.stateful = worker.stateful
        if not self._supervisor.stopping:
            self._ledger.worker_up(worker.number, worker.most, self._predictor)

    def withdraw(self, worker: WorkerHandle) -> None:
        """Lease no more frames to the worker."""
        self._ledger.retire(worker.number)
        worker.retires = True

    def retire(self, worker: WorkerHandle) -> None:
        """End a withdrawn worker after its current frames."""
        if worker.child is None:
            self._remove(worker, "")
        elif worker.facts.state == "starting":  # it reads no messages before it is set up
            self._bury(worker, _DISMISSED)
        else:
            worker.retire()

    def dismiss(self, worker: WorkerHandle) -> None:
        """End a worker that is on trial, if it still exists."""
        if self.has(worker) and worker.child:
            self._bury(worker, _DISMISSED)

    def _remove(self, worker: WorkerHandle, ending: str) -> None:
        if not self.has(worker):
            return
        self._roster.remove(worker)
        if worker.retires and not self._supervisor.stopping:
            self._publisher.status(worker.status("retired", "", ending))
        self._publisher.table_due = clock.now()
        self._events.ended(worker, ending)

    def stop(self) -> None:
        """Stop all workers; each may finish its current frame."""
        for worker in list(self):
            starting = worker.facts.state == "starting"
            worker.stop()
            if starting:  # it reads no messages during setup, and has no frame to finish
                self._bury(worker, _AT_STOP)

    def kill(self) -> None:
        for worker in list(self):
            if worker.child:
                self._bury(worker, _AT_STOP)

    @property
    def is_alive(self) -> bool:
        return any(worker.child for worker in self)

    # ---- messages from workers --------------------------------------------------------------

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
                self._events.step(worker)
            case Tried():
                self._events.tried(worker, message)
            case WorkerFailed(code, what, why, fix):
                worker.failed = message
                if not (self._been_ready or self.late or worker.on_trial):
                    self._supervisor.send(Fatal(code, what, why, fix))
            case Notice(kind, text):
                self._publisher.status(worker.status("notice", kind, text))

    def _returned(self, worker: WorkerHandle, lease: int) -> None:
        if self._ledger.returned(worker.number, lease, clock.now()):
            worker.returned()

    def _ready(self, worker: WorkerHandle, message: WorkerReady) -> None:
        worker.ready(message.model)
        worker.stateful, worker.most, worker.files = message.stateful, message.most, message.files
        logs.info("worker ready", worker=worker.number, predictor=message.model, **worker.named)
        if worker.on_trial:
            self._events.ready(worker)
            return
        if not worker.retires:
            self.join(worker)
            self._events.loaded(worker)
        if worker.facts.restarts:
            self._publisher.status(worker.status("ready", "restarted"))
        self._been_ready = True
        self._publisher.table_due = clock.now()
