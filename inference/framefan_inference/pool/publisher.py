"""The pool's sockets on the bus: one XPUB with one numbering, and a bound SUB for its workers.

Pictures have sockets of their own: picture_bus.py.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import zmq

from framefan.base import clock
from framefan.ipc import bus
from framefan.ipc.outcomes import WorkerOutcome, WorkerPreview
from framefan.ipc.records import PICTURES, OutcomeRecord, PreviewRecord, StateRecord, StatusRecord
from framefan_inference.pool.camera_log import CameraLog
from framefan_inference.pool.picture_bus import PictureBus, room_for_shared, subscriptions
from framefan_inference.pool.previews import RESULTS, Preview, Previews
from framefan_inference.pool.publish_endpoint import open_outlet

if TYPE_CHECKING:
    from framefan.settings.run import Settings
    from framefan_inference.leases.sequencer import Entry

# Plain ints: enums are combined in Python code.
_NOBLOCK, _SNDMORE = int(zmq.NOBLOCK), int(zmq.SNDMORE)
_AT_ONCE = 256
"""Most outcomes that one drain reads, so that a flood of them does not block the pool."""
_EVENTS, _POLLIN, _RCVMORE = int(zmq.EVENTS), int(zmq.POLLIN), int(zmq.RCVMORE)


class _Topics(dict[str, bytes]):
    """The topic of each camera's results, built on first use."""

    def __missing__(self, camera: str) -> bytes:
        topic = self[camera] = f"{bus.RESULT}{camera}/".encode()
        return topic


class Publisher:
    """Publishes all records of a run in one order; `n` counts them."""

    def __init__(self, settings: Settings, epoch: str, results_fd: int = -1) -> None:
        """Binds the results endpoint, and publishes at the listening socket `results_fd` too.

        Raises zmq.ZMQError when it cannot.
        """
        self.epoch = epoch
        self.n = 0
        self.table_due = clock.now()
        """When the next state table is due; anyone may move it forward."""
        self._camera_log = CameraLog()
        self.has_readers = False
        """Whether anybody has subscribed to results since the start."""
        self.previews = Previews(settings.limits.picture_bytes)
        self._encoder = msgspec.msgpack.Encoder()
        self._topics = _Topics()
        self.socket = bus.publisher(settings.limits, room_for_shared(settings.limits))
        self.socket.bind(settings.results_endpoint)
        self._pictures = PictureBus(settings, self.socket)
        self.doorman = open_outlet(self.socket, settings, results_fd) if results_fd >= 0 else None

    def fileno(self) -> int:
        """Readable when subscriptions may have arrived.

        A send can clear that, so call `new_subscriptions` from time to time anyway.
        """
        return int(self.socket.getsockopt(zmq.FD))

    def outcome(self, entry: Entry, model: str, now: float) -> None:
        """Publish a settled seq: what its worker sent, or that it is lost and why."""
        grant = entry.grant
        frame = grant.frame
        sent: WorkerOutcome | None = entry.outcome
        self._send(
            self._topics[grant.camera],
            OutcomeRecord(
                epoch=self.epoch,
                n=self.n,
                kind=sent.kind if sent else "lost",
                camera=grant.camera,
                seq=grant.seq,
                frame=frame.frame,
                ts=frame.ts,
                captured_at=frame.captured_at,
                started_at=sent.started_at if sent else now,
                finished_at=sent.finished_at if sent else now,
                width=frame.width,
                height=frame.height,
                model=model,
                worker=grant.worker,
                payload=sent.payload if sent else self._raw(entry.cause),
                pts=frame.pts,
            ),
        )

    @property
    def picture_sockets(self) -> list[zmq.Socket[bytes]]:
        """Their descriptors are readable when `new_watchers` may have something to do."""
        return self._pictures.sockets

    def preview(self, preview: Preview) -> None:
        head = preview.head
        topic = f"{bus.PREVIEW}{head.camera}/{head.picture}/"
        places = self.previews.places(topic)
        if not places:
            return
        record = PreviewRecord(
            epoch=self.epoch,
            camera=head.camera,
            seq=head.seq,
            frame=head.frame,
            picture=head.picture,
            jpeg=preview.jpeg,
        )
        self._pictures.send(topic.encode(), self._encoder.encode(record), places)

    def forget(self, camera: str) -> None:
        """The camera has left: drop what is kept for it."""
        self._topics.pop(camera, None)
        self.previews.forget(camera)

    def status(self, record: StatusRecord | None) -> None:
        """Publish a status change, unless it is None; the state table follows at once."""
        if record is None:
            return
        self.table_due = now = clock.now()
        if record.subject == "camera":
            self._camera_log.changed(record, now)
        topic = f"{bus.STATUS}{record.camera}/" if record.camera else bus.STATUS
        record.epoch, record.n, record.ts = self.epoch, self.n, clock.wall()
        self._send(topic.encode(), record)

    def tick(self, now: float) -> None:
        self._camera_log.tick(now)

    def state(self, record: StateRecord) -> None:
        record.epoch, record.n, record.ts = self.epoch, self.n, clock.wall()
        self._send(bus.STATE.encode(), record)

    def _raw(self, value: object) -> msgspec.Raw:
        return msgspec.Raw(self._encoder.encode(value))

    def _send(self, topic: bytes, record: msgspec.Struct) -> None:
        self.n += 1
        self.socket.send(topic, _SNDMORE)
        self.socket.send(self._encoder.encode(record), 0)

    def new_subscriptions(self) -> bool:
        """Whether anybody subscribed since the last call to anything but previews."""
        found = False
        for starts, topic in subscriptions(self.socket):
            if not self.previews.watched(topic, starts, RESULTS) and starts:
                found = True
                self.has_readers |= _covers_results(topic)
        return found

    def new_watchers(self) -> None:
        """Read what began and ended at the sockets for pictures."""
        for place, sock in enumerate(self.picture_sockets, RESULTS + 1):
            for starts, topic in subscriptions(sock):
                self.previews.watched(topic, starts, place)

    def close(self) -> None:
        """Close; messages already sent get half a second to leave."""
        self._pictures.close()
        self.socket.close(linger=500)
        if self.doorman:
            self.doorman.close()


def _covers_results(topic: str) -> bool:
    return topic.startswith(bus.RESULT) or bus.RESULT.startswith(topic)


class OutcomeReader:
    """Reads what workers publish; a message that does not decode is counted as foreign."""

    def __init__(self, settings: Settings) -> None:
        self.foreign = 0
        self.more = False
        self.previews: list[Preview] = []
        """The previews that the last drain read."""
        self._decoder = msgspec.msgpack.Decoder(WorkerOutcome)
        self._heads = msgspec.msgpack.Decoder(WorkerPreview)
        self.socket = bus.subscriber(settings.limits, b"")
        self.socket.bind(settings.outcomes_endpoint)

    def fileno(self) -> int:
        """Readable when something arrives; not again for messages that `drain` left."""
        return int(self.socket.getsockopt(zmq.FD))

    def drain(self) -> list[WorkerOutcome]:
        """Read the outcomes that have arrived; `more`: some were left for the next call."""
        outcomes: list[WorkerOutcome] = []
        self.previews = []
        for _ in range(_AT_ONCE):
            self.more = bool(int(self.socket.getsockopt(_EVENTS)) & _POLLIN)
            if not self.more:  # this check is far cheaper than a zmq.Again
                break
            data = self.socket.recv(_NOBLOCK)
            try:
                if self.socket.getsockopt(_RCVMORE):
                    self.previews.append(self._preview(data))
                else:
                    outcomes.append(self._decoder.decode(data))
            except (msgspec.MsgspecError, UnicodeDecodeError):
                self.foreign += 1
        return outcomes

    def _preview(self, head: bytes) -> Preview:
        """Read a preview, which has two parts. Raises msgspec.MsgspecError for anything else."""
        parts = []
        while self.socket.getsockopt(_RCVMORE):  # all parts of a message arrive together
            parts.append(self.socket.recv(_NOBLOCK))
        found = self._heads.decode(head)
        if len(parts) != 1 or found.picture not in PICTURES:
            raise msgspec.ValidationError(found.picture)
        return Preview(found, parts[0])

    def close(self) -> None:
        self.socket.close(linger=0)
