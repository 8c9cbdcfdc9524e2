"""The worker groups of a run: the workers of each predictor, with their changes.

A group has its own workers, its own change under way and its own watched files. Only two things are
shared: the numbers of workers (roster), so that a number names one worker of the run, and the
ledger, which keeps the groups apart (leases/group.py).

A reload adds and removes predictors. A new one starts its workers as a run does; if they fail, that
is their state, and the run goes on. The workers of a removed one finish their frames and end. Its
cameras have other predictors by then.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from framefan.errors import LinkClosed
from framefan.ipc.records import AT_WORK, PredictorFacts
from framefan_inference.leases.group import GroupRules
from framefan_inference.pool.changes import Changes
from framefan_inference.pool.workers import Roster

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    import msgspec

    from framefan.ipc.messages import Scale, Swap
    from framefan.ipc.records import WorkerFacts
    from framefan.settings.run import PredictorSettings, Settings
    from framefan_inference.leases.camera_queue import Grant
    from framefan_inference.leases.ledger import Ledger
    from framefan_inference.pool.changes import SlotOwner
    from framefan_inference.pool.loop import Loop
    from framefan_inference.pool.publisher import Publisher
    from framefan_inference.pool.rings import Rings
    from framefan_inference.pool.supervisor_link import SupervisorLink


def rules(settings: Settings) -> GroupRules:
    """The rules of a group; `settings`: as the workers of its predictor see them."""
    limits = settings.limits
    return GroupRules(
        limits.order_wait_s,
        limits.batch_wait_ms / 1000,
        (limits.circuit_deaths, limits.circuit_within_s, limits.circuit_retry_s),
    )


class WorkerGroups:
    """The groups by the names of their predictors."""

    def __init__(
        self,
        supervisor: SupervisorLink,
        loop: Loop,
        ledger: Ledger,
        publisher: Publisher,
        rings: Rings,
        captures: SlotOwner,
        prints_fd: int,
    ) -> None:
        """`prints_fd`: the descriptor that the workers' stdout and stderr go to."""
        self._supervisor = supervisor
        self._loop = loop
        self._ledger = ledger
        self._publisher = publisher
        self._rings = rings
        self._captures = captures
        self._roster = Roster(prints_fd)
        self._leaving: set[str] = set()
        names = [each.name for each in supervisor.settings.all_predictors]
        self._groups = {name: self._made(name) for name in names}

    def _made(self, name: str) -> Changes:
        return Changes(
            name,
            self._supervisor,
            self._loop,
            self._ledger,
            self._publisher,
            self._rings,
            self._captures,
            self._roster,
        )

    # ---- life -------------------------------------------------------------------------------

    def start_all(self) -> None:
        for group in self._groups.values():
            group.workers.start_all()

    def tend(self, now: float) -> None:
        """Do what is due by the clock in each group; drop removed groups without workers."""
        for name, group in self._groups.items():
            group.workers.tend(now)
            if name not in self._leaving:
                group.tick(now)
        for name in list(filter(self._has_left, self._leaving)):
            self._leaving.remove(name)
            del self._groups[name]
            self._ledger.remove_group(name)

    def _has_left(self, name: str) -> bool:
        """Whether a removed group has neither a worker nor a camera that is still leaving."""
        return not (any(self._groups[name].workers) or self._ledger.group(name).schedule.cameras)

    def stop(self) -> None:
        """Stop all workers; each may finish its current frame."""
        for group in self._groups.values():
            group.workers.stop()

    def kill(self) -> None:
        for group in self._groups.values():
            group.workers.kill()

    @property
    def is_alive(self) -> bool:
        return any(worker.child for worker in self._roster)

    # ---- requests ---------------------------------------------------------------------------

    def scale(self, request: Scale) -> None:
        self._asked(request.predictor_name).scale(request.workers)

    def swap(self, request: Swap) -> None:
        self._asked(request.predictor_name).swap(request.predictor)

    def _asked(self, name: str) -> Changes:
        """The supervisor has checked the name; without one there is one predictor."""
        return self._groups[name] if name else next(iter(self._groups.values()))

    def add(self, predictors: Sequence[PredictorSettings]) -> None:
        """Start the groups of those that are new."""
        settings = self._supervisor.settings
        for each in predictors:
            known = self._groups.get(each.name)
            if known and each.name not in self._leaving:
                continue
            self._leaving.discard(each.name)
            if known is None:
                self._ledger.add_group(each.name, rules(settings.of(each.name)))
                known = self._groups[each.name] = self._made(each.name)
            known.workers.late = True
            if not self._supervisor.stopping:
                known.workers.start_all()

    def remove(self, predictors: Sequence[PredictorSettings]) -> None:
        """End the groups of all others, once no camera is in them any more."""
        names = {each.name for each in predictors}
        for name in self._groups.keys() - names - self._leaving:
            self._leaving.add(name)
            self._groups[name].leave()

    # ---- leases and outcomes ----------------------------------------------------------------

    def borrow(self) -> None:
        """Borrow the frames for self-tests that are due. Call before leasing."""
        for group in self._groups.values():
            group.borrow()

    def lease(self, number: int, grants: Sequence[Grant]) -> None:
        """Send a worker the frames of one call."""
        worker = self._roster[number]
        for grant in grants:
            grant.holder = worker
        rings = [(each, self._rings[each.camera, each.frame.ring]) for each in grants]
        with contextlib.suppress(LinkClosed):  # its end is read elsewhere
            worker.lease(rings, self._publisher.previews.of)

    def draw(self, grant: Grant, detections: msgspec.Raw) -> None:
        """The ids of a frame are known: its worker makes the picture with boxes, if asked to."""
        grant.holder.draw(grant.lease, bytes(detections))

    def predicted(self, grant: Grant, kind: str, started_at: float, finished_at: float) -> None:
        grant.holder.predicted(kind, started_at, finished_at)

    def model_of(self, grant: Grant) -> str:
        """The model name of the worker that had this lease."""
        return str(grant.holder.facts.model)

    def tracks(self, grant: Grant) -> bool:
        """Whether the detections of this lease get track ids."""
        return bool(grant.holder.settings.track)

    def detach(self, camera: str, ring: int) -> None:
        """Make all workers unmap this ring; no lease on it will follow."""
        for worker in self._roster:
            worker.detach(camera, ring)

    # ---- state ------------------------------------------------------------------------------

    def measure(self, now: float) -> list[WorkerFacts]:
        return [worker.measure(now) for worker in self._roster]

    def facts(self) -> dict[str, PredictorFacts]:
        """What each predictor is, and how many of its workers are ready."""
        return dict(self._facts())

    def _facts(self) -> Iterator[tuple[str, PredictorFacts]]:
        for each in self._supervisor.settings.all_predictors:
            workers = self._groups[each.name].workers.regular
            ready = sum(worker.facts.state in AT_WORK for worker in workers)
            yield (
                each.name,
                PredictorFacts(predictor=each.predictor, workers=each.workers, ready=ready),
            )
