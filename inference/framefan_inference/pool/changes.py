r"""Changes of a worker group: another number of workers, another predictor, a fresh worker.

One change runs at a time in a group, and all take the same steps. New workers start beside the old
ones and get no leases yet. For another predictor, the first new worker must make a result from a
frame that is borrowed from a camera; only then do the others start. When all are ready, it switches
between two leases: each seq goes to an old worker or to a new one, and no frame waits for the
switch. Then the old workers finish their frames and end. A failure before the switch ends the new
workers only.

    hiring -> trying -> hiring the others -> retiring -> done
       \________|______________/
                v
             failed: the old workers have never stopped
"""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING, Literal, Protocol

from framefan.base import clock, host, logs
from framefan.errors import EXIT_FAILED, LinkClosed
from framefan.ipc.messages import Changed, Changing, NotDone, Tried
from framefan.ipc.records import AT_WORK, StatusRecord
from framefan.settings import predictor_ref
from framefan_inference.pool.workers import Workers
from framefan_inference.predictors.file_watch import FileWatch

if TYPE_CHECKING:
    from collections.abc import Iterable

    from framefan.settings.run import Settings
    from framefan_inference.leases.ledger import Ledger
    from framefan_inference.pool.loop import Loop
    from framefan_inference.pool.publisher import Publisher
    from framefan_inference.pool.rings import Rings
    from framefan_inference.pool.supervisor_link import SupervisorLink
    from framefan_inference.pool.worker_handle import WorkerHandle
    from framefan_inference.pool.workers import Roster

FRAME_S = 3.0
"""How long the first worker of another predictor waits for a frame for its self-test."""
_MEMORY_EVERY_S = 1.0
_MEMORY_AGAIN_S = 60.0
"""Pause after a worker could not be replaced."""
_LOADING = "loading"
What = Literal["workers", "predictor", "memory"]
UNDER_WAY = NotDone(
    EXIT_FAILED,
    "another change is under way",
    "workers are being started or retired",
    "wait until it ends, then try again",
)


def to_retire(workers: Iterable[WorkerHandle], count: int) -> list[WorkerHandle]:
    """Choose `count` workers: first those that are not up, then the highest numbers."""
    order = sorted(workers, key=lambda it: (it.facts.state in AT_WORK, -it.number))
    return order[:count]


class SlotOwner(Protocol):
    """The captures, which make the slots of the cameras."""

    def resize(self, predictor: str, slots: int) -> None:
        """Ask the captures of its cameras for at least so many slots."""

    def want_frames_for(self, predictor: str) -> None:
        """Ask the captures of its cameras for a frame each, even if nothing moves there."""


class _Change:
    """One change, from its first new worker to the end of its last old one."""

    def __init__(self, what: What, settings: Settings, reason: str) -> None:
        self.what = what
        self.settings = settings
        """The settings that apply once the change is done."""
        self.reason = reason
        self.asked = reason in ("scale", "swap")
        """A command waits for its end."""
        self.was = ""
        self.now = ""
        self.notes: list[str] = []
        self.new: list[WorkerHandle] = []
        self.old: list[WorkerHandle] = []
        self.ready: set[int] = set()
        self.frame_by = math.inf
        """How long to wait for a frame; inf: no frame is needed."""
        self.lent_by = ""
        """The camera whose frame is used for the self-test."""
        self.retires = False


class Changes:
    """The workers of one predictor, and at most one change of them at a time."""

    def __init__(
        self,
        predictor: str,
        supervisor: SupervisorLink,
        loop: Loop,
        ledger: Ledger,
        publisher: Publisher,
        rings: Rings,
        captures: SlotOwner,
        roster: Roster,
    ) -> None:
        """`predictor`: its name in the run."""
        self._predictor = predictor
        self._supervisor = supervisor
        self._ledger = ledger
        self._publisher = publisher
        self._rings = rings
        self._captures = captures
        self.workers = Workers(predictor, supervisor, loop, ledger, publisher, self, roster)
        self._change: _Change | None = None
        self._memory_due = 0.0
        self._memory_guarded = True
        self._edits = self._watched(self._settings.predictor)

    @property
    def _settings(self) -> Settings:
        """The current settings, as the workers of this predictor see them."""
        return self._supervisor.settings.of(self._predictor)

    @property
    def _named(self) -> dict[str, str]:
        """The name of the predictor for the log, if the run names its predictors."""
        return {"predictor_name": self._predictor} if self._supervisor.settings.predictors else {}

    # ---- requests ---------------------------------------------------------------------------

    def scale(self, workers: int) -> None:
        """Change the number of workers; the supervisor gets an answer when it is done."""
        if self._change or self._supervisor.stopping:
            self._supervisor.send(UNDER_WAY)
            return
        change = self._begin("workers", workers=workers, reason="scale")
        change.was, change.now = str(self._settings.workers), str(workers)
        there = self.workers.regular
        for worker in there:
            worker.start_now()  # also those that have failed
        if workers <= len(there):
            change.old = to_retire(there, len(there) - workers)
            self._switch(change)
            return
        self._captures.resize(self._predictor, change.settings.slots)
        self._hire(change, workers - len(there))

    def swap(self, reference: str, reason: str = "swap") -> None:
        """Change the predictor; for reason "swap" the supervisor gets an answer at the end."""
        if self._change or self._supervisor.stopping:
            self._supervisor.send(UNDER_WAY)
            return
        change = self._begin("predictor", predictor=reference, reason=reason)
        change.was, change.now = self._settings.predictor, reference
        self._edits = self._watched(reference) if reason == "swap" else self._edits
        self._say("swapping", reason, f"from {change.was} to {reference}")
        self._hire(change, 1)

    def leave(self) -> None:
        """The predictor was removed: its workers finish their frames and end."""
        if self._change and not self._change.retires:
            self._fail("removed", "the predictor was removed", "a reload removed its table")
        for worker in self.workers.regular:
            self.workers.withdraw(worker)
            self.workers.retire(worker)

    def _begin(self, what: What, reason: str, **to: object) -> _Change:
        settings = self._supervisor.settings.with_predictor(self._predictor, **to)
        self._change = _Change(what, settings.of(self._predictor), reason)
        return self._change

    def _hire(self, change: _Change, count: int) -> None:
        for _ in range(count):
            worker = self.workers.hire(change.settings)
            change.new.append(worker)
            self._tell(f"starting worker {worker.number}")
            self.workers.start(worker)
            if self._change is not change:
                return  # it could not be started, which ended the change

    # ---- events of new workers --------------------------------------------------------------

    def step(self, worker: WorkerHandle) -> None:
        if worker.on_trial:
            self._tell(f"worker {worker.number}: {worker.step}")

    def ready(self, worker: WorkerHandle) -> None:
        """A worker on trial has set up its predictor."""
        change = self._change
        if change is None or worker not in change.new or self._supervisor.stopping:
            return
        change.ready.add(worker.number)
        if change.what == "predictor" and worker is change.new[0]:
            self._tell(f"worker {worker.number}: waiting for a frame for its self-test")
            change.frame_by = clock.now() + FRAME_S
            self._captures.want_frames_for(self._predictor)
        else:
            self._look_complete(change)

    def borrow(self) -> None:
        """Borrow a frame for the self-test of a new predictor, if due. Call before leasing."""
        change = self._change
        if change is None or change.frame_by == math.inf:
            return
        found = self._ledger.borrow(self._predictor)
        if found is None:
            return
        change.lent_by, frame = found
        change.frame_by = math.inf
        first = change.new[0]
        self._tell(f"worker {first.number}: self-test on a frame of {change.lent_by}")
        with contextlib.suppress(LinkClosed):  # its end is read elsewhere
            ring = self._rings[change.lent_by, frame.ring]
            first.try_on(change.lent_by, frame, ring)

    def tried(self, worker: WorkerHandle, result: Tried) -> None:
        change = self._change
        if change is None or not change.lent_by or worker is not change.new[0]:
            return
        worker.deadline = None
        self._return_frame(change)
        if self._supervisor.stopping:
            return
        if result.error:
            self._fail("self_test", f"its self-test failed: {result.error}", result.message)
        else:
            self._go_on(change)

    def _return_frame(self, change: _Change) -> None:
        camera, change.lent_by = change.lent_by, ""
        if camera:
            self._ledger.give_back(camera)

    def _go_on(self, change: _Change) -> None:
        change.frame_by = math.inf
        self._hire(change, change.settings.workers - len(change.new))
        if self._change is change:
            self._look_complete(change)

    def _look_complete(self, change: _Change) -> None:
        wanted = change.settings.workers if change.what == "predictor" else len(change.new)
        if len(change.ready) < wanted:
            return
        if change.what == "predictor":
            change.old = self.workers.regular
        if change.what != "memory" or not self._is_born_large(change):
            self._switch(change)

    def ended(self, worker: WorkerHandle, ending: str) -> None:
        """A worker on trial or a retired one has ended, so it reads no frame any more."""
        change = self._change
        if change is None:
            return
        if change.retires:
            self._look_done(change)
        elif worker in change.new:
            if worker is change.new[0]:
                self._return_frame(change)
            failed = worker.failed
            if failed is None:
                at = f" while {worker.step}" if worker.step else ""
                self._fail("died", f"worker {worker.number} ended{at}", ending)
            else:
                code = failed.exit_code if worker.step == _LOADING else EXIT_FAILED
                reason = "import" if worker.step == _LOADING else "setup"
                self._fail(reason, failed.what, failed.why, failed.fix, code)

    # ---- switch, end, failure ---------------------------------------------------------------

    def _switch(self, change: _Change) -> None:
        """Lease frames to the new workers from now on, and retire the old ones."""
        self._supervisor.settings = self._supervisor.settings.with_predictor(
            self._predictor, workers=change.settings.workers, predictor=change.settings.predictor
        )
        for worker in change.old:
            self.workers.withdraw(worker)
        for worker in change.new:
            self.workers.join(worker)
            self._say("started", change.reason, worker=worker.number)
        for worker in self.workers.regular:
            worker.settings = change.settings  # for its next process
        if change.what == "predictor":
            self._memory_guarded = True
            circuits = self._ledger.group(self._predictor).circuits
            circuits.forget()  # the new predictor has no deaths yet
            self._say("swapped", change.reason, f"from {change.was} to {change.now}")
        if change.new:
            self._edits.watch(change.new[0].files if change.settings.reload else ())
        change.retires = True
        if change.old:
            numbers = ", ".join(str(worker.number) for worker in change.old)
            self._tell(f"retiring worker {numbers}")
        for worker in change.old:
            self.workers.retire(worker)
        self._look_done(change)

    def _look_done(self, change: _Change) -> None:
        if self._change is not change or any(self.workers.has(worker) for worker in change.old):
            return
        self._change = None
        logs.info(f"{change.reason}: done", was=change.was, now=change.now, **self._named)
        if change.asked and change.what != "memory":  # no command asks for that one
            name = self._named.get("predictor_name", "")
            self._supervisor.send(Changed(change.what, change.was, change.now, change.notes, name))

    def _fail(
        self, reason: str, what: str, why: str, fix: str = "", code: int = EXIT_FAILED
    ) -> None:
        """End the new workers; the old ones have never stopped."""
        change, self._change = self._change, None
        assert change is not None
        for worker in change.new:
            self.workers.dismiss(worker)
        if self._supervisor.stopping:
            return
        kept = f"the old predictor stays ({change.was})" if change.what == "predictor" else ""
        fix = fix or "see the run's log, fix the cause and try again"
        logs.warning(f"{change.reason}: not done: {what}", why=why, **self._named)
        if change.what == "predictor":
            self._say("swap_failed", reason, f"{what}: {why}")
        if change.what == "memory":
            self._memory_due = clock.now() + _MEMORY_AGAIN_S
        if change.asked:
            answer = [logs.clean(text) for text in (f"not done: {what}", why, fix)]
            answer[2] += f"; {kept}" if kept else ""
            self._supervisor.send(NotDone(code, *answer))

    # ---- due by the clock -------------------------------------------------------------------

    def tick(self, now: float) -> None:
        change = self._change
        if change is not None and now >= change.frame_by:
            change.notes.append("no camera had a frame, so the self-test was skipped")
            self._go_on(change)
        if self._change is None and not self._supervisor.stopping:
            if self._settings.reload and self._edits.look(now):
                self.swap(self._settings.predictor, "reload")
            elif now >= self._memory_due:
                self._memory_due = now + _MEMORY_EVERY_S
                self._look_at_memory()

    def _watched(self, reference: str) -> FileWatch:
        edits = FileWatch()
        parsed = predictor_ref.parse(reference)
        if parsed.kind == "file":
            edits.watch([parsed.target])
        return edits

    def loaded(self, worker: WorkerHandle) -> None:
        """A regular worker is ready: watch the files that it loaded."""
        self._edits.watch(worker.files)

    def _look_at_memory(self) -> None:
        limit = self._settings.limits.worker_memory_bytes
        if not limit or not self._memory_guarded:
            return
        for worker in self.workers.regular:
            if worker.facts.state not in AT_WORK:
                continue
            has = host.own_bytes(worker.facts.pid)
            if has > limit:
                logs.warning(f"worker {worker.number} uses {has:,} bytes: replacing it")
                change = self._begin("memory", reason="memory")
                change.was = change.now = f"worker {worker.number}"
                change.old = [worker]
                self._hire(change, 1)
                return

    def _is_born_large(self, change: _Change) -> bool:
        """Memory used from the start is no leak: replacing the worker would never end."""
        limit = self._settings.limits.worker_memory_bytes
        has = host.own_bytes(change.new[0].facts.pid)
        if has <= limit:
            return False
        self._memory_guarded = False
        why = f"a new worker uses {has:,} bytes: set limits.worker_memory_bytes above that"
        self._fail("memory", "workers are no longer replaced for their memory", why)
        return True

    # ---- progress and status ----------------------------------------------------------------

    def _tell(self, step: str) -> None:
        logs.debug(step)
        if self._change is not None and self._change.asked:
            self._supervisor.send(Changing(step))

    def _say(self, state: str, reason: str, message: str = "", worker: int | None = None) -> None:
        subject: Literal["worker", "predictor"] = "predictor" if worker is None else "worker"
        if message and self._named:
            message = f"{self._predictor}: {message}"
        self._publisher.status(
            StatusRecord(
                subject=subject, worker=worker, state=state, reason=reason, message=message
            )
        )
