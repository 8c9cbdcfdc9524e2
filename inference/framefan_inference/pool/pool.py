"""The pool: inference's front door. It owns leases, outcomes and order, and its workers' lives.

One thread, one poll, over the supervisor's link, the listening socket, the links of captures,
gateways and workers, and both ZeroMQ sockets. Each round: take in what arrived, hand free workers
the frames that wait, publish the seqs that may leave, then whatever is due by the clock.

The decisions are made in ledger.py, without I/O: who gets which frame, and what becomes of a seq.
Here they are carried out: for the captures by capture_links.py, for the workers by workers.py.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
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
    Progress,
    Scale,
    Stop,
    Swap,
    Table,
    ToPool,
)
from framefan.ipc.records import CIRCUIT, StatusRecord
from framefan_inference.pool.camera_log import CameraLog
from framefan_inference.pool.capture_links import CaptureLinks
from framefan_inference.pool.circuit import CircuitBreaker
from framefan_inference.pool.failures import Failures
from framefan_inference.pool.ledger import Ledger
from framefan_inference.pool.loop import Loop
from framefan_inference.pool.publisher import OutcomeReader, Publisher
from framefan_inference.pool.table import Tables
from framefan_inference.pool.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

    from framefan.ipc.links import Link
    from framefan.ipc.processes import Parent
    from framefan.settings.run import Settings
    from framefan_inference.pool.sequencer import Entry
    from framefan_inference.tracking.track_ids import TrackIds

_ROUND_S = 0.25
"""How often deadlines of workers are looked at; they are seconds long."""
_AUDIENCE_S = 5.0
"""How long a new pool waits for the first subscriber to results, where each of them counts."""


class Pool:
    """All state of inference but what is inside the workers."""

    def __init__(self, parent: Parent, epoch: str) -> None:
        settings = self.settings = parent.settings
        limits = settings.limits
        self._parent = parent
        self.prints_fd = parent.prints_fd
        """For what workers print."""
        self.ledger = Ledger(
            settings.cameras,
            limits.order_wait_s,
            first_lease=int.from_bytes(os.urandom(5), "little") + 1,
            batch_wait_s=limits.batch_wait_ms / 1000,
            circuits=CircuitBreaker(
                limits.circuit_deaths, limits.circuit_within_s, limits.circuit_retry_s
            ),
        )
        self.publisher = Publisher(settings, epoch, parent.results_fd)
        self.outcomes = OutcomeReader(settings)
        self.track_ids = _track_ids(settings) if settings.track else None
        self.failures = Failures()
        self._camera_log = CameraLog()
        self._born_at = clock.now()
        self._has_begun = False
        self._stop_by: float | None = None
        self.captures = CaptureLinks(self)
        self.crew = Workers(self)
        self.tables = Tables(self)
        self._listener = socket.socket(fileno=parent.inherited_fd)
        self._listener.setblocking(False)
        self._round_due = 0.0
        self.loop = Loop()
        self._has_news = select.poll()
        self._has_news.register(parent.link.fileno(), select.POLLIN)
        self.loop.watch(parent.link.fileno(), self.hear_supervisor)
        self.loop.watch(self._listener.fileno(), self._accept)
        self.loop.watch(self.outcomes.fileno(), self._take_outcomes)
        self.loop.watch(self.publisher.fileno(), self._greet_subscribers)
        for each in self.publisher.picture_sockets:
            self.loop.watch(int(each.getsockopt(zmq.FD)), self.publisher.new_watchers)
        if self.publisher.doorman:
            self.loop.watch(self.publisher.doorman.fileno(), self.publisher.doorman.answer)

    # ---- the loop ---------------------------------------------------------------------------

    def run(self) -> None:
        """Until told to stop and the workers are gone; raises LinkClosed with the supervisor."""
        self.crew.start_all()
        for message in self._parent.early:
            self._obey(message)
        now, lease_due = clock.now(), math.inf
        while not self._finished():
            due = min(self._round_due, self.tables.due, self.ledger.next_due(), lease_due)
            self.loop.turn(0.0 if self.outcomes.more else due - now)
            if self.outcomes.more:
                self._take_outcomes()
            now = clock.now()
            lease_due = self._assign(now)
            self._tell_circuits()
            self._publish(self.ledger.release(now), now)
            self.captures.part()
            if now >= self._round_due or now >= self.tables.due:
                self._look_around(now)
        self._finish()

    def _look_around(self, now: float) -> None:
        """What the clock brings and no message announces; also a signal, and late subscribers."""
        self._round_due = min(now + _ROUND_S, self.captures.look(now))
        if self._parent.stop_asked:
            self._stop()
        self._greet_subscribers()
        self.publisher.new_watchers()
        self.crew.tend(now)
        self._tell_circuits()  # before the table that shows them
        self.tables.tick(now)
        self._camera_log.tick(now)

    # ---- the supervisor ---------------------------------------------------------------------

    def hear_supervisor(self) -> None:
        """Everything that has arrived: what a peer says next may rest on the last of it."""
        while self._has_news.poll(0):  # a message in parts makes an empty read before the last
            for message in self._parent.link.receive():
                self._obey(message)

    def _obey(self, message: Any) -> None:
        match message:
            case Stop():
                self._stop()
            case Cameras(cameras):
                self.captures.reload(cameras)
            case Scale(workers):
                self.crew.changes.scale(workers)
            case Swap(predictor):
                self.crew.changes.swap(predictor)
            case Children():
                self.tables.children = message
                self.captures.heard_of(message)

    def _stop(self) -> None:
        """Lease nothing more; workers may finish the frame in hand, but not for ever."""
        if self._stop_by is None:
            self._stop_by = clock.now() + self.settings.limits.grace_s / 2
            self.crew.stop()

    @property
    def stopping(self) -> bool:
        """Also when a signal to the whole group has just come: what ends now was asked to."""
        return self._stop_by is not None or self._parent.stop_asked

    def _finished(self) -> bool:
        if self._stop_by is None:
            return False
        if clock.now() >= self._stop_by:
            return True
        # What a worker published just before it ended may still be on its way.
        return self.ledger.next_due() == math.inf and not self.crew.is_alive

    def _finish(self) -> None:
        """Every seq is settled and told before the pool ends."""
        self.crew.kill()
        self._take_outcomes()
        self._publish(self.ledger.stop(clock.now()), clock.now())
        self.tables.publish(clock.now(), last=True)
        self.publisher.close()
        self.outcomes.close()
        self.captures.rings.close()

    # ---- peers: captures and gateways -------------------------------------------------------

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # it has gone again, or there is no descriptor just now
            sock, _ = self._listener.accept()
            sock.setblocking(True)
            link: Link[ToPool] = links.Link(sock, ToPool)
            self.loop.watch(link.fileno(), partial(self._from_stranger, link))

    def _from_stranger(self, link: Link[ToPool]) -> None:
        """A peer's first message says who it is; what came with it is handled after."""
        try:
            messages = link.receive()
        except LinkError:
            self.drop(link)
            return
        if not messages:
            return
        first, *rest = messages
        if isinstance(first, HelloCapture):
            self.captures.greet(link, first, rest)
        elif isinstance(first, HelloGateway):
            self.loop.watch(link.fileno(), partial(self._from_gateway, first.id, link))
            self._from_gateway(first.id, link, rest)
        else:
            logs.warning("a stranger spoke to the pool", said=type(first).__name__)
            self.drop(link)

    def drop(self, link: Link[ToPool]) -> None:
        self.loop.forget(link.fileno())
        link.close()

    def _from_gateway(self, number: int, link: Link[ToPool], early: Sequence[Any] = ()) -> None:
        try:
            for message in early or link.receive():
                if isinstance(message, GatewayReport):
                    self.tables.heard(message.facts)
        except LinkError:
            self.tables.gateways.pop(number, None)
            self.drop(link)

    # ---- leases and outcomes ----------------------------------------------------------------

    def _assign(self, now: float) -> float:
        """Lease what can be leased; answers when a worker has waited for company long enough."""
        if self.stopping:
            return math.inf
        self.crew.changes.borrow()
        if not self._may_begin:
            return math.inf
        rings = self.captures.rings
        for worker, grants in groupby(self.ledger.assign(now), attrgetter("worker")):
            self.crew.lease(
                worker, [(each, rings[each.camera, each.frame.ring]) for each in grants]
            )
        return self.ledger.schedule.due

    @property
    def _may_begin(self) -> bool:
        """What may not be lost waits for somebody to read it, but not for ever."""
        if not self._has_begun:
            waits = any(camera.mode == "every" for camera in self.settings.cameras)
            late = clock.now() - self._born_at > _AUDIENCE_S
            self._has_begun = not waits or late or self.publisher.has_readers
        return self._has_begun

    def _take_outcomes(self) -> None:
        now = clock.now()
        for outcome in self.outcomes.drain():
            grant = self.ledger.outcome(outcome, now)
            if grant:
                times = outcome.started_at, outcome.finished_at
                self.crew.predicted(grant, outcome.kind, *times)
        for preview in self.outcomes.previews:
            is_open = self.ledger.is_open(preview.head.lease)
            for each in self.publisher.previews.arrived(preview, is_open):
                self.publisher.preview(each)

    def _publish(self, entries: Iterable[Entry], now: float) -> None:
        for entry in entries:
            model = self.crew.model_of(entry.grant)
            if self.track_ids:
                camera, frame = entry.grant.camera, entry.grant.frame
                entry.outcome = self.track_ids.outcome(camera, model, frame, entry.outcome)
            self.publisher.outcome(entry, model, now)
            self.failures.settled(entry.grant.camera, entry.outcome, now)
            lost = entry.outcome is None
            for preview in self.publisher.previews.left(entry.grant.lease, lost):
                self.publisher.preview(preview)

    def forget(self, camera: str) -> None:
        """The camera has left."""
        self.publisher.forget(camera)
        self.failures.forget(camera)
        if self.track_ids:
            self.track_ids.forget(camera)

    def blame(self, cameras: Collection[str], now: float) -> None:
        """A worker died with frames of these cameras in hand."""
        self.captures.free(self.ledger.blame(cameras, now))

    def _tell_circuits(self) -> None:
        changes = self.ledger.circuits.changes
        for camera, state, message, next_try_s in changes:
            logs.warning(
                f"camera {camera}: its circuit is {state}",
                event="circuit",
                camera=camera,
                state=state,
                why=message,
            )
            self.status(
                StatusRecord(
                    subject="predictor",
                    camera=camera,
                    state=state,
                    reason=CIRCUIT,
                    message=message,
                    next_try_s=next_try_s,
                )
            )
        changes.clear()

    # ---- telling ----------------------------------------------------------------------------

    def _greet_subscribers(self) -> None:
        if self.publisher.new_subscriptions():
            self.tables.due = clock.now()

    def status(self, record: StatusRecord | None) -> None:
        """Publish a change, and the table with it."""
        if record is not None:
            if record.subject == "camera":
                self._camera_log.changed(record, clock.now())
            self.publisher.status(record)
            self.tables.due = clock.now()

    def send_supervisor(self, message: Any) -> None:
        """Raises LinkClosed with the supervisor."""
        self._parent.link.send(message)

    def tell_supervisor(self, state: Any, all_ended: bool) -> None:
        """The table is its proof of progress too: it comes out of the loop that does the work."""
        self._parent.link.offer(Table(state, all_ended))
        self._parent.link.offer(Progress(self.publisher.n))


def _track_ids(settings: Settings) -> TrackIds:
    from framefan_inference.tracking.track_ids import TrackIds  # numpy, only where it is used

    return TrackIds([camera.name for camera in settings.cameras])
