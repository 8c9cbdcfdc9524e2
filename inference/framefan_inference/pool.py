"""The pool: inference's front door. It owns leases, outcomes and order, and its workers' lives.

One thread, one poll, over the supervisor's link, the listening socket, the links of captures,
gateways and workers, and both ZeroMQ sockets. Each round: take in what arrived, hand free workers
the frames that wait, publish the seqs that may leave, then whatever is due by the clock.

The decisions are made in ledger.py, without I/O: who gets which frame, and what becomes of a seq.
Here they are carried out.
"""

from __future__ import annotations

import contextlib
import math
import os
import select
import socket
from functools import partial
from typing import TYPE_CHECKING, Any

from framefan import clock, links, logs
from framefan.errors import LinkClosed, LinkError
from framefan.messages import (
    Cameras,
    Children,
    Fatal,
    GatewayReport,
    HelloCapture,
    HelloGateway,
    Notice,
    Progress,
    Returned,
    Stop,
    Table,
    ToPool,
    WorkerFailed,
    WorkerReady,
)
from framefan.records import StatusRecord
from framefan_inference import sequencer as sequencing
from framefan_inference.captures import Captures
from framefan_inference.ledger import Ledger
from framefan_inference.loop import Loop
from framefan_inference.publisher import OutcomeReader, Publisher
from framefan_inference.table import Tables
from framefan_inference.workers import Worker

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from framefan.links import Link
    from framefan.processes import Parent
    from framefan_inference.sequencer import Entry

_ROUND_S = 0.25
"""How often deadlines of workers are looked at; they are seconds long."""
_AUDIENCE_S = 5.0
"""How long a new pool waits for the first subscriber to results, where each of them counts."""
_HANGS = "no answer within the predict deadline"
_SLOW_START = "not ready within the start deadline"


class Pool:
    """All state of inference but what is inside the workers."""

    def __init__(self, parent: Parent, epoch: str) -> None:
        settings = self.settings = parent.settings
        self._parent = parent
        self.ledger = Ledger(
            settings.cameras,
            settings.limits.order_wait_s,
            first_lease=int.from_bytes(os.urandom(5), "little") + 1,
        )
        self.workers = {n: Worker(n, settings) for n in range(1, settings.workers + 1)}
        self.publisher = Publisher(settings, epoch)
        self.outcomes = OutcomeReader(settings)
        self._been_ready = False
        self._born_at = clock.now()
        self._has_begun = False
        self._stop_by: float | None = None
        self.captures = Captures(self)
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

    # ---- the loop ---------------------------------------------------------------------------

    def run(self) -> None:
        """Until told to stop and the workers are gone; raises LinkClosed with the supervisor."""
        for worker in self.workers.values():
            self._start(worker)
        for message in self._parent.early:
            self._obey(message)
        now = clock.now()
        while not self._finished():
            due = min(self._round_due, self.tables.due, self.ledger.next_due())
            self.loop.turn(0.0 if self.outcomes.more else due - now)
            if self.outcomes.more:
                self._take_outcomes()
            self._assign()
            now = clock.now()
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
        self._tend_workers(now)
        self.tables.tick(now)

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
            case Children():
                self.tables.children = message
                self.captures.heard_of(message)

    def _stop(self) -> None:
        """Lease nothing more; workers may finish the frame in hand, but not for ever."""
        if self._stop_by is None:
            self._stop_by = clock.now() + self.settings.limits.grace_s / 2
            for worker in self.workers.values():
                starting = worker.facts.state == "starting"
                worker.stop()
                if starting:  # it hears nothing before its predictor is set up, and has no frame
                    self._bury(worker, "killed at stop")

    @property
    def stopping(self) -> bool:
        return self._stop_by is not None

    def _finished(self) -> bool:
        if self._stop_by is None:
            return False
        if clock.now() >= self._stop_by:
            return True
        # What a worker published just before it ended may still be on its way.
        return self.ledger.next_due() == math.inf and not any(
            w.child for w in self.workers.values()
        )

    def _finish(self) -> None:
        """Every seq is settled and told before the pool ends."""
        for worker in self.workers.values():
            if worker.child:
                self._bury(worker, "killed at stop")
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
                    self.tables.gateways[number] = message.facts
        except LinkError:
            self.tables.gateways.pop(number, None)
            self.drop(link)

    # ---- leases and outcomes ----------------------------------------------------------------

    def _assign(self) -> None:
        if self.stopping or not self._may_begin:
            return
        for grant in self.ledger.assign():
            ring = self.captures.rings[grant.camera, grant.frame.ring]
            with contextlib.suppress(LinkClosed):  # its end is read elsewhere
                self.workers[grant.worker].lease(grant, ring)

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
                seconds = outcome.finished_at - outcome.started_at
                self.workers[grant.worker].predicted(outcome.kind, seconds)

    def _publish(self, entries: Iterable[Entry], now: float) -> None:
        for entry in entries:
            self.publisher.outcome(entry, self.workers[entry.grant.worker].facts.model, now)

    # ---- workers ----------------------------------------------------------------------------

    def _start(self, worker: Worker) -> None:
        try:
            child = worker.start()
        except OSError as error:
            worker.not_born(error)
            return
        self.loop.watch(child.link.fileno(), partial(self._from_worker, worker))

    def _from_worker(self, worker: Worker) -> None:
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
            case WorkerReady(model, stateful):
                self._worker_ready(worker, model, stateful)
            case WorkerFailed(code, what, why, fix):
                worker.failure = f"{what}: {why}"
                if not self._been_ready:
                    self._parent.link.send(Fatal(code, what, why, fix))
            case Notice(kind, text):
                self.status(worker.status("notice", kind, text))

    def _returned(self, worker: Worker, lease: int) -> None:
        freed = self.ledger.returned(worker.number, lease, clock.now())
        if freed:
            worker.returned()
            self.captures.free([freed])
            self.captures.collect()

    def _worker_ready(self, worker: Worker, model: str, stateful: bool) -> None:
        worker.ready(model)
        logs.info("worker ready", worker=worker.number, predictor=model)
        self.ledger.schedule.stateful = stateful
        if not self.stopping:
            self.ledger.schedule.worker_up(worker.number)
        if worker.facts.restarts:
            self.status(worker.status("ready", "restarted"))
        self._been_ready = True
        self.tables.due = clock.now()

    def _bury(self, worker: Worker, reason: str = "") -> None:
        """A worker is dead or must be: kill, wait, then take back what it had."""
        assert worker.child is not None
        self.loop.forget(worker.child.link.fileno())
        ending = worker.bury(reason)
        cause = sequencing.PREDICT_TIMEOUT if reason == _HANGS else sequencing.WORKER_DIED
        self.captures.free(self.ledger.worker_down(worker.number, cause, clock.now()))
        self.captures.collect()
        if not self.stopping:
            self.status(worker.status(worker.facts.state, "died", ending))

    def _tend_workers(self, now: float) -> None:
        for worker in self.workers.values():
            if worker.deadline is None or now < worker.deadline:
                continue
            if worker.child is None:
                if not self.stopping:
                    self._start(worker)
                else:
                    worker.deadline = None
            elif worker.hangs(now):
                slow = worker.facts.state == "starting"
                self._bury(worker, _SLOW_START if slow else _HANGS)

    # ---- telling ----------------------------------------------------------------------------

    def _greet_subscribers(self) -> None:
        if self.publisher.new_subscriptions():
            self.tables.due = clock.now()

    def status(self, record: StatusRecord | None) -> None:
        """Publish a change, and the table with it."""
        if record is not None:
            if record.subject == "camera":
                _log(record)
            self.publisher.status(record)
            self.tables.due = clock.now()

    def tell_supervisor(self, state: Any, all_ended: bool) -> None:
        """The table is its proof of progress too: it comes out of the loop that does the work."""
        self._parent.link.offer(Table(state, all_ended))
        self._parent.link.offer(Progress(self.publisher.n))


def _log(record: StatusRecord) -> None:
    """A camera's change for people; that a dead one is tried again is told by how that ends."""
    again_s = None if record.next_try_s is None else round(record.next_try_s, 1)
    facts = {"reason": record.reason, "why": record.message, "next_try_s": again_s}
    told = {key: value for key, value in facts.items() if value not in ("", None)}
    tell = logs.debug if record.state == "connecting" and not record.reason else logs.info
    tell(f"camera {record.camera}: {record.state}", **told)
