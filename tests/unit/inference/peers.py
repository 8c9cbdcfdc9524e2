"""The other side of a worker, played by a test over the real sockets."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import msgspec
import zmq
from waiting import SCALE

from framefan.base import clock
from framefan.errors import LinkClosed
from framefan.ipc import bus, processes
from framefan.ipc.messages import Attach, FromWorker, Lease, Returned, WorkerFailed, WorkerReady
from framefan.ipc.outcomes import WorkerOutcome
from framefan.ipc.records import OutcomeRecord
from framefan.ipc.ring import RingWriter
from framefan.settings.run import CameraSettings, Limits, Settings
from framefan.settings.secret import SourceText

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
HEIGHT, WIDTH = 12, 16


def payload(record: OutcomeRecord | WorkerOutcome) -> Any:
    return msgspec.msgpack.decode(record.payload)


class Player:
    """A folder, settings, and a poller; subclasses say what they listen to."""

    def __init__(self, predictor: str, *cameras: str, workers: int = 1, **limits: Any) -> None:
        """`cameras` are names, of mode `every` when they begin with e."""
        stalled_s = limits.pop("stalled_s", 2.0)
        self.folder = Path(tempfile.mkdtemp(prefix="ff-"))
        rows = tuple(
            CameraSettings(
                name=name,
                source=SourceText("demo"),
                mode="every" if name[0] == "e" else "live",
                stalled_s=stalled_s,
            )
            for name in cameras or ("cam",)
        )
        self.settings = Settings(
            run_dir=str(self.folder),
            cameras=rows,
            workers=workers,
            predictor=predictor,
            log_level="debug",
            limits=Limits(**{"state_every_s": 0.05, "restart_first_s": 0.1} | limits),
        )

    def pump(self, seconds: float) -> None:
        """Take in what arrives within so many seconds, or nothing."""
        raise NotImplementedError

    def until(self, condition: Callable[[], T], seconds: float = 10.0) -> T:
        """Listen until the condition is true; answers its value."""
        deadline = clock.now() + seconds * SCALE
        while not (found := condition()):
            left = deadline - clock.now()
            assert left > 0, f"{condition} did not come true within {seconds * SCALE:g} s: {self}"
            self.pump(min(left, 0.05))
        return found

    def listen(self, seconds: float) -> None:
        """Take in everything for so long: for what must not come."""
        deadline = clock.now() + seconds
        while (left := deadline - clock.now()) > 0:
            self.pump(left)

    def close(self) -> None:
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
        shutil.rmtree(self.folder)


class PlayedPool(Player):
    """A worker's pool: starts the worker, makes a ring, leases its slots, hears the outcomes."""

    def __init__(self, predictor: str, **limits: Any) -> None:
        super().__init__(predictor, **limits)
        self.outcomes: list[WorkerOutcome] = []
        self.messages: list[Any] = []
        self.closed = False
        self._leases = 0
        self.rings: dict[int, RingWriter] = {}
        self._socket = bus.subscriber(self.settings.limits, b"")
        self._socket.bind(self.settings.outcomes_endpoint)
        self.child = processes.Child(processes.WORKER, "1", self.settings, FromWorker)
        self._poller = zmq.Poller()
        self._poller.register(self.child.link.fileno(), zmq.POLLIN)
        self._poller.register(self._socket, zmq.POLLIN)

    def pump(self, seconds: float) -> None:
        for source, _ in self._poller.poll(int(seconds * 1000) + 1):
            if source is self._socket:
                data = self._socket.recv()
                self.outcomes.append(msgspec.msgpack.decode(data, type=WorkerOutcome))
            else:
                self._hear()

    def _hear(self) -> None:
        try:
            self.messages += self.child.link.receive()
        except LinkClosed:
            self.closed = True
            self._poller.unregister(self.child.link.fileno())

    def heard(self, kind: type[T]) -> list[T]:
        return [message for message in self.messages if isinstance(message, kind)]

    def ready(self) -> WorkerReady:
        return self.until(lambda: self.heard(WorkerReady))[0]

    def failed(self) -> WorkerFailed:
        return self.until(lambda: self.heard(WorkerFailed))[0]

    def attach(self, ring: int = 1, slots: int = 4, damage: int = 0) -> RingWriter:
        """`damage` is a bit pattern to spoil the ring's header with."""
        writer = self.rings[ring] = RingWriter(ring, slots, HEIGHT * WIDTH * 3)
        writer._map[12] ^= damage
        fd = writer.share()
        self.child.link.send(Attach("cam", ring, slots, writer.slot_bytes), fd)
        os.close(fd)
        return writer

    def lease(self, value: int, ring: int = 1, slot: int = 0) -> int:
        """Lease a slot whose pixels are all `value`, which also is the frame's number."""
        self._leases += 1
        self.rings[ring].view(slot, HEIGHT, WIDTH)[:] = value % 256
        facts = (clock.now(), clock.wall(), WIDTH, HEIGHT)
        message = Lease(self._leases, "cam", ring, slot, self._leases - 1, value, *facts)
        self.child.link.send(message)
        return self._leases

    def served(self, lease: int) -> WorkerOutcome:
        """The outcome of a lease, once it is returned too."""
        self.until(lambda: any(m.lease == lease for m in self.heard(Returned)))
        mine = self.until(lambda: [each for each in self.outcomes if each.lease == lease])
        assert len(mine) == 1
        return mine[0]

    def predict(self, value: int, **where: int) -> tuple[str, Any]:
        """Kind and value of what the worker makes of such a frame."""
        outcome = self.served(self.lease(value, **where))
        assert outcome.started_at <= outcome.finished_at <= clock.now()
        return outcome.kind, payload(outcome)

    def exit_code(self, seconds: float = 10.0) -> int:
        self.until(lambda: self.child.process.poll() is not None, seconds)
        code = self.child.process.returncode
        assert code is not None
        return code

    def close(self) -> None:
        self.child.kill()
        self._socket.close(linger=0)
        for ring in self.rings.values():
            ring.close()
