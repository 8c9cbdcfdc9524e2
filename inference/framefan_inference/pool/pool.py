"""The pool: leases frames, orders the outcomes, starts and ends the workers.

One thread polls the supervisor's link, the listening socket, the links of captures, gateways and
workers, and the ZeroMQ sockets. Each round it reads what has arrived, leases waiting frames to idle
workers, publishes the seqs whose turn has come, and does what is due by the clock.

ledger.py decides, without I/O, which worker gets which frame and how each seq is settled.
capture_links.py talks to the captures, workers.py to the workers, and changes.py replaces workers.
groups.py holds the workers of each predictor.
None of them calls the pool. What they cause (a freed slot, a table that is due, an unused ring) is
recorded in the ledger, the publisher and the rings until the pool's next round.
"""

from __future__ import annotations

import contextlib
import math
import os
import socket
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import zmq

from framefan.base import clock, logs
from framefan.errors import LinkError
from framefan.ipc import links
from framefan.ipc.messages import (
    Cameras,
    Children,
    GatewayReport,
    HelloCapture,
    HelloGateway,
    Scale,
    Stop,
    Swap,
    ToPool,
)
from framefan.ipc.records import BOXES, CIRCUIT, StatusRecord
from framefan_inference.leases.ledger import Ledger
from framefan_inference.pool.capture_links import CaptureLinks
from framefan_inference.pool.failures import Failures
from framefan_inference.pool.groups import WorkerGroups, rules
from framefan_inference.pool.loop import Loop
from framefan_inference.pool.publisher import OutcomeReader, Publisher
from framefan_inference.pool.rings import Rings
from framefan_inference.pool.supervisor_link import SupervisorLink
from framefan_inference.pool.table import Parts, Tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from framefan.ipc.links import Link
    from framefan.ipc.processes import Parent
    from framefan.settings.run import CameraSettings, PredictorSettings, Settings
    from framefan_inference.leases.sequencer import Entry
    from framefan_inference.tracking.track_ids import TrackIds

_ROUND_S = 0.25
"""How often the deadlines of workers are checked; they are seconds long."""
_AUDIENCE_S = 5.0
"""How long a new pool with `every` cameras waits for the first subscriber to results."""


class Pool:
    """All state of inference, except what is inside the workers."""

    def __init__(self, parent: Parent, epoch: str) -> None:
        self._supervisor = supervisor = SupervisorLink(parent)
        settings = supervisor.settings
        self._ledger = ledger = _ledger(settings)
        self._publisher = publisher = Publisher(settings, epoch, parent.results_fd)
        self._outcomes = OutcomeReader(settings)
        self._track_ids = _track_ids(settings, settings.cameras)
        self._failures = Failures()
        self._rings = rings = Rings()
        self._loop = loop = Loop()
        self._captures = CaptureLinks(supervisor, loop, ledger, publisher, rings)
        self._groups = WorkerGroups(
            supervisor, loop, ledger, publisher, rings, self._captures, parent.prints_fd
        )
        self._tables = Tables(
            Parts(
                supervisor,
                ledger,
                publisher,
                self._outcomes,
                self._captures,
                self._groups,
                self._failures,
            )
        )
        self._born_at = clock.now()
        self._has_begun = False
        self._round_due = 0.0
        self._listener = socket.socket(fileno=parent.inherited_fd)
        self._listener.setblocking(False)
        self._watch_all()

    def _watch_all(self) -> None:
        loop, publisher = self._loop, self._publisher
        loop.hear_first(self._supervisor.fileno(), self._hear_supervisor)
        loop.watch(self._listener.fileno(), self._accept)
        loop.watch(self._outcomes.fileno(), self._take_outcomes)
        loop.watch(publisher.fileno(), self._greet_subscribers)
        for each in publisher.picture_sockets:
            loop.watch(int(each.getsockopt(zmq.FD)), publisher.new_watchers)
        if publisher.doorman:
            loop.watch(publisher.doorman.fileno(), publisher.doorman.answer)

    # ---- the loop ---------------------------------------------------------------------------

    def run(self) -> None:
        """Run until stopped and all workers have ended; LinkClosed: the supervisor has gone."""
        self._groups.start_all()
        for message in self._supervisor.early:
            self._obey(message)
        publisher, now, lease_due = self._publisher, clock.now(), math.inf
        while not self._finished():
            table_due = publisher.table_due
            due = min(self._round_due, table_due, self._ledger.next_due(), lease_due)
            self._loop.turn(0.0 if self._outcomes.more else due - now)
            if self._outcomes.more:
                self._take_outcomes()
            self._free_slots()
            self._captures.want_frames(publisher.previews.take_begun())
            now = clock.now()
            lease_due = self._assign(now)
            self._tell_circuits()
            self._publish(self._ledger.release(now), now)
            self._part(now)
            if now >= self._round_due or now >= self._publisher.table_due:
                self._look_around(now)
        self._finish()

    def _free_slots(self) -> None:
        """Return freed slots to the captures, and drop retired rings that hold no frame."""
        self._captures.free(self._ledger.take_freed())
        for camera, ring in self._rings.collect(self._ledger.uses):
            self._groups.detach(camera, ring)

    def _look_around(self, now: float) -> None:
        """Do what is due by the clock; also check for a signal and for late subscribers."""
        self._round_due = min(now + _ROUND_S, self._captures.look(now))
        if self._supervisor.signalled:
            self._stop()
        self._greet_subscribers()
        self._publisher.new_watchers()
        self._groups.tend(now)
        self._free_slots()
        self._tell_circuits()  # before the table that shows them
        self._tables.tick(now)
        self._publisher.tick(now)

    def _part(self, now: float) -> None:
        """Drop removed cameras that are settled; one last table shows their final counters."""
        parted = self._captures.part()
        if not parted:
            return
        self._tables.publish(now)
        for name in parted:
            self._captures.let_go(name)
            self._publisher.forget(name)
            self._failures.forget(name)
            if self._track_ids:
                self._track_ids.forget(name)
        self._publisher.table_due = now

    # ---- the supervisor ---------------------------------------------------------------------

    def _hear_supervisor(self) -> None:
        for message in self._supervisor.receive():
            self._obey(message)

    def _obey(self, message: Any) -> None:
        match message:
            case Stop():
                self._stop()
            case Cameras(cameras, predictors):
                self._reload(cameras, predictors)
            case Scale():
                self._groups.scale(message)
            case Swap():
                self._groups.swap(message)
            case Children():
                self._tables.children = message
                self._captures.heard_of(message)

    def _reload(self, cameras: list[CameraSettings], predictors: list[PredictorSettings]) -> None:
        """New predictors first, then the cameras, then those that no camera has any more."""
        if predictors:
            self._supervisor.know(predictors)
            self._groups.add(predictors)
            self._track_ids = self._track_ids or _track_ids(self._supervisor.settings, ())
        self._captures.reload(cameras)
        if predictors:
            self._groups.remove(predictors)

    def _stop(self) -> None:
        """Lease nothing more; workers may finish the current frame until `stop_by`."""
        if self._supervisor.begin_stop():
            self._groups.stop()

    def _finished(self) -> bool:
        stop_by = self._supervisor.stop_by
        if stop_by is None:
            return False
        if clock.now() >= stop_by:
            return True
        # What a worker published just before it ended may not have arrived yet.
        return self._ledger.next_due() == math.inf and not self._groups.is_alive

    def _finish(self) -> None:
        """Settle and publish every seq before the pool ends."""
        self._groups.kill()
        self._take_outcomes()
        self._publish(self._ledger.stop(clock.now()), clock.now())
        self._tables.publish(clock.now(), last=True)
        self._publisher.close()
        self._outcomes.close()
        self._rings.close()

    # ---- peers: captures and gateways -------------------------------------------------------

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the peer has gone, or no descriptor is free now
            sock, _ = self._listener.accept()
            sock.setblocking(True)
            link: Link[ToPool] = links.Link(sock, ToPool)
            self._loop.watch(link.fileno(), partial(self._from_stranger, link))

    def _from_stranger(self, link: Link[ToPool]) -> None:
        """The first message of a peer identifies it; messages that came with it follow."""
        try:
            messages = link.receive()
        except LinkError:
            self._loop.drop(link)
            return
        if not messages:
            return
        first, *rest = messages
        if isinstance(first, HelloCapture):
            self._captures.greet(link, first, rest)
        elif isinstance(first, HelloGateway):
            self._loop.watch(link.fileno(), partial(self._from_gateway, first.id, link))
            self._from_gateway(first.id, link, rest)
        else:
            logs.warning("an unknown peer connected to the pool", said=type(first).__name__)
            self._loop.drop(link)

    def _from_gateway(self, number: int, link: Link[ToPool], early: Sequence[Any] = ()) -> None:
        try:
            for message in early or link.receive():
                if isinstance(message, GatewayReport):
                    self._tables.heard(message.facts)
        except LinkError:
            self._tables.gateways.pop(number, None)
            self._loop.drop(link)

    # ---- leases and outcomes ----------------------------------------------------------------

    def _assign(self, now: float) -> float:
        """Lease what can be leased; return when a worker stops waiting to fill its batch."""
        if self._supervisor.stopping:
            return math.inf
        self._groups.borrow()
        if not self._may_begin:
            return math.inf
        for worker, grants in groupby(self._ledger.assign(now), attrgetter("worker")):
            self._groups.lease(worker, list(grants))
        return self._ledger.grants_due

    @property
    def _may_begin(self) -> bool:
        """In mode `every`, wait for the first subscriber, for at most `_AUDIENCE_S`."""
        if not self._has_begun:
            waits = any(camera.mode == "every" for camera in self._supervisor.settings.cameras)
            late = clock.now() - self._born_at > _AUDIENCE_S
            self._has_begun = not waits or late or self._publisher.has_readers
        return self._has_begun

    def _take_outcomes(self) -> None:
        now = clock.now()
        for outcome in self._outcomes.drain():
            grant = self._ledger.outcome(outcome, now)
            if grant:
                times = outcome.started_at, outcome.finished_at
                self._groups.predicted(grant, outcome.kind, *times)
        for preview in self._outcomes.previews:
            is_open = self._ledger.is_open(preview.head.lease)
            for each in self._publisher.previews.arrived(preview, is_open):
                self._publisher.preview(each)

    def _publish(self, entries: Iterable[Entry], now: float) -> None:
        for entry in entries:
            model = self._groups.model_of(entry.grant)
            if self._track_ids and self._groups.tracks(entry.grant):
                camera, frame = entry.grant.camera, entry.grant.frame
                entry.outcome = self._track_ids.outcome(camera, model, frame, entry.outcome)
            self._publisher.outcome(entry, model, now)
            self._failures.settled(entry.grant.camera, entry.outcome, now)
            self._show(entry)

    def _show(self, entry: Entry) -> None:
        """Send the pictures of a seq that has left, and have the one with track ids made."""
        grant, outcome, previews = entry.grant, entry.outcome, self._publisher.previews
        for preview in previews.left(grant.lease, outcome is None):
            self._publisher.preview(preview)
        watched = self._groups.tracks(grant) and BOXES in previews.of(grant.camera)
        if watched and outcome and outcome.kind == "detections":
            self._groups.draw(grant, outcome.payload)

    def _tell_circuits(self) -> None:
        for camera, state, message, next_try_s in self._ledger.take_circuit_changes():
            logs.warning(
                f"camera {camera}: its circuit is {state}",
                event="circuit",
                camera=camera,
                state=state,
                why=message,
            )
            self._publisher.status(
                StatusRecord(
                    subject="predictor",
                    camera=camera,
                    state=state,
                    reason=CIRCUIT,
                    message=message,
                    next_try_s=next_try_s,
                )
            )

    def _greet_subscribers(self) -> None:
        if self._publisher.new_subscriptions():
            self._publisher.table_due = clock.now()


def _ledger(settings: Settings) -> Ledger:
    names = [each.name for each in settings.all_predictors]
    return Ledger(
        settings.cameras,
        {name: rules(settings.of(name)) for name in names},
        first_lease=int.from_bytes(os.urandom(5), "little") + 1,
    )


def _track_ids(settings: Settings, cameras: Iterable[CameraSettings]) -> TrackIds | None:
    """The trackers, if any predictor's results get ids; `cameras`: those of the start."""
    if not any(each.track for each in settings.all_predictors):
        return None
    from framefan_inference.tracking.track_ids import TrackIds  # imports numpy, only if needed

    return TrackIds([camera.name for camera in cameras])
