"""The other side of the pool, played by a test over the real sockets.

The players check what they hear as it comes: a slot that is freed twice, a seq out of order, a
ledger that does not add up fail the test at that moment.
"""

from __future__ import annotations

import os
import socket
from collections import defaultdict
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
import zmq
from peers import HEIGHT, WIDTH, Player

from framefan.base import clock
from framefan.errors import LinkClosed
from framefan.ipc import bus, links, processes
from framefan.ipc.messages import (
    Cameras,
    Free,
    HelloCapture,
    Ready,
    RingMade,
    SourceStatus,
    Stop,
    Table,
    ToCapture,
    ToSupervisor,
    Welcome,
)
from framefan.ipc.records import OutcomeRecord, StateRecord, StatusRecord
from framefan.ipc.ring import RingWriter
from framefan.settings.run import CameraSettings, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

T = TypeVar("T")
_FOUND_BY = {"detections": "results", "value": "results", "error": "errors", "lost": "lost"}


class PlayedCapture:
    """One camera's capture process, as the pool sees it."""

    def __init__(
        self, settings: Settings, name: str, ring: int = 1, frame: int = 0, pid: int = 4711
    ) -> None:
        self.name = name
        self.link: links.Link[Any] = links.Link(links.connect(settings.path("pool")), ToCapture)
        self.link.send(HelloCapture(name, pid, frame))
        self.open = True
        self.welcome: Welcome | None = None
        self.frame = frame
        self.ring_id = ring
        self.ring: RingWriter | None = None
        self.lent: set[int] = set()
        """Slots that are the pool's."""
        self.freed: list[int] = []
        self.captured = self.bad = self.no_slot = self.max_fps = 0

    def hear(self) -> bool:
        """Take in what came; false at the end of the link."""
        try:
            messages = self.link.receive()
        except LinkClosed:
            return False
        for message in messages:
            match message:
                case Welcome():
                    self.welcome = message
                    self.frame = message.frame
                    if message.ended:
                        self.status("ended")
                    else:
                        self.make_ring(self.ring_id, message.slots)
                case Free(ring, slots):
                    assert self.ring is not None
                    assert ring == self.ring.ring, "a slot of a retired ring was freed"
                    for slot in slots:
                        self.lent.remove(slot)  # raises when it was not lent
                        self.ring.give_back(slot)
                        self.freed.append(slot)
        return True

    def make_ring(self, ring: int, slots: int) -> None:
        if self.ring:
            self.ring.close()
        self.lent.clear()
        self.ring = RingWriter(ring, slots, HEIGHT * WIDTH * 3)
        fd = self.ring.share()
        self.link.send(RingMade(ring, slots, self.ring.slot_bytes), fd)
        os.close(fd)
        self.link.send(SourceStatus("live", fps=30.0, width=WIDTH, height=HEIGHT))

    def ready(
        self, height: int = HEIGHT, width: int = WIDTH, pts: float | None = None
    ) -> int | None:
        """The next frame, its pixels its number; answers its slot, or None without a free one."""
        assert self.ring is not None
        slot = self.ring.take()
        self.captured += 1
        if slot is None:
            self.no_slot += 1
            return None
        self.ring.view(slot, height, width)[:] = self.frame % 256
        self.lent.add(slot)
        stamps = (clock.now(), clock.wall(), width, height)
        counts = (self.captured, self.bad, self.no_slot, self.max_fps)
        self.link.send(Ready(self.ring.ring, slot, self.frame, *stamps, *counts, pts))
        self.frame += 1
        return slot

    def status(self, state: str, **facts: Any) -> None:
        counts = {"captured": self.captured, "bad": self.bad, "no_slot": self.no_slot}
        counts["max_fps"] = self.max_fps
        self.link.send(SourceStatus(state, **counts | facts))

    def close(self) -> None:
        self.link.close()
        if self.ring:
            self.ring.close()
            self.ring = None


class PlayedRun(Player):
    """The pool's supervisor, captures and a subscriber to all it publishes."""

    def __init__(self, predictor: str, *cameras: str, workers: int = 1, **limits: Any) -> None:
        super().__init__(predictor, *cameras, workers=workers, **limits)
        self.outcomes: defaultdict[str, list[OutcomeRecord]] = defaultdict(list)
        self.statuses: list[StatusRecord] = []
        self.states: list[StateRecord] = []
        self.to_supervisor: list[Any] = []
        self.captures: list[PlayedCapture] = []
        self._next_n: int | None = None
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(self.settings.path("pool"))
        self._listener.listen()
        self._socket = bus.subscriber(self.settings.limits, b"")
        self._socket.connect(self.settings.results_endpoint)
        fd = self._listener.fileno()
        self.child = processes.Child(processes.POOL, "", self.settings, ToSupervisor, fd)
        self.closed = False

    # ---- listening --------------------------------------------------------------------------

    def pump(self, seconds: float) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        if not self.closed:
            poller.register(self.child.link.fileno(), zmq.POLLIN)
        by_fd = {capture.link.fileno(): capture for capture in self.captures if capture.open}
        for fd in by_fd:
            poller.register(fd, zmq.POLLIN)
        for source, _ in poller.poll(int(seconds * 1000) + 1):
            if source is self._socket:
                self._take(*self._socket.recv_multipart())
            elif source in by_fd:
                by_fd[source].open = by_fd[source].hear()
            else:
                self._from_pool()

    def _from_pool(self) -> None:
        try:
            self.to_supervisor += self.child.link.receive()
        except LinkClosed:
            self.closed = True

    def _take(self, topic: bytes, body: bytes) -> None:
        kind = topic.decode().split("/")[0]
        record: Any
        if kind == "result":
            record = msgspec.msgpack.decode(body, type=OutcomeRecord)
            assert topic.decode() == f"{bus.RESULT}{record.camera}/"
            mine = self.outcomes[record.camera]
            assert record.seq == len(mine), "a seq came twice, never or out of order"
            mine.append(record)
        elif kind == "status":
            record = msgspec.msgpack.decode(body, type=StatusRecord)
            self.statuses.append(record)
        else:
            record = msgspec.msgpack.decode(body, type=StateRecord)
            self._check(record)
            self.states.append(record)
        assert self._next_n in (None, record.n), "a record is missing"
        self._next_n = record.n + 1

    def _check(self, state: StateRecord) -> None:
        """The table is exact in itself, and agrees with the records that came before it."""
        for name, camera in state.cameras.items():
            assert camera.captured == (
                camera.leased + camera.superseded + camera.bad + camera.waiting
            ), camera
            assert camera.leased == (
                camera.results + camera.errors + camera.lost + camera.running
            ), camera
            assert camera.superseded == sum(camera.superseded_by.values())
            assert camera.lost == sum(camera.lost_by.values())
            told = {"results": 0, "errors": 0, "lost": 0}
            for record in self.outcomes[name]:
                told[_FOUND_BY[record.kind]] += 1
            known = {"results": camera.results, "errors": camera.errors, "lost": camera.lost}
            assert known == told, "the table does not agree with what was published"

    # ---- acting -----------------------------------------------------------------------------

    def capture(
        self, name: str = "cam", ring: int = 1, frame: int = 0, pid: int = 4711
    ) -> PlayedCapture:
        """A capture that is connected and has its ring; nothing of it is published unheard."""
        self.until(lambda: self.states)
        made = PlayedCapture(self.settings, name, ring, frame, pid)
        self.captures.append(made)
        self.until(lambda: made.ring)
        return made

    def frame(self, capture: PlayedCapture) -> int:
        """The next frame, once there is a slot for it; answers its slot."""
        self.until(lambda: capture.ring and capture.ring.free)
        slot = capture.ready()
        assert slot is not None
        return slot

    def drop(self, capture: PlayedCapture) -> None:
        self.captures.remove(capture)
        capture.close()

    def reload(self, *cameras: CameraSettings) -> None:
        """From now on there are these cameras."""
        self.child.link.send(Cameras(list(cameras)))

    def told(self, camera: str = "cam") -> list[tuple[str, str]]:
        """State and reason of each status of a camera."""
        mine = [each for each in self.statuses if each.camera == camera]
        return [(each.state, each.reason) for each in mine]

    def wait_ready(self, workers: int | None = None) -> StateRecord:
        wanted = self.settings.workers if workers is None else workers
        return self.state(
            lambda state: sum(w.state in ("ready", "busy") for w in state.workers) >= wanted
        )

    def state(self, condition: Callable[[StateRecord], Any], seconds: float = 10.0) -> StateRecord:
        """The first table from now on of which the condition holds."""
        begin = len(self.states)

        def found() -> StateRecord | None:
            return next((state for state in self.states[begin:] if condition(state)), None)

        state = self.until(found, seconds)
        assert state is not None
        return state

    def outcome(self, seq: int, camera: str = "cam", seconds: float = 10.0) -> OutcomeRecord:
        self.until(lambda: len(self.outcomes[camera]) > seq, seconds)
        return self.outcomes[camera][seq]

    def heard(self, kind: type[T]) -> list[T]:
        return [message for message in self.to_supervisor if isinstance(message, kind)]

    def stop(self) -> int:
        """Stop as the supervisor does; answers the exit code."""
        self.child.link.send(Stop())
        return self.exit_code()

    def exit_code(self, seconds: float = 10.0) -> int:
        self.until(lambda: self.child.process.poll() is not None, seconds)
        self.until(lambda: self.closed)
        while self._socket.poll(100):
            self.pump(0.0)
        code = self.child.process.returncode
        assert code is not None
        return code

    def settled(self) -> StateRecord:
        """A table in which every camera has all its slots back and nothing runs or waits."""
        state = self.state(
            lambda state: not any(c.slots_out or c.running for c in state.cameras.values())
        )
        for capture in self.captures:
            assert capture.lent == set()
        return state

    def last_table(self) -> Table:
        return self.heard(Table)[-1]

    def close(self) -> None:
        for capture in self.captures:
            capture.close()
        self.child.kill()
        self._socket.close(linger=0)
        self._listener.close()

    def __str__(self) -> str:
        counts = {name: len(records) for name, records in self.outcomes.items()}
        return f"outcomes {counts}, last state {self.states[-1:]}"


def kinds(records: Iterable[OutcomeRecord]) -> list[str]:
    return [record.kind for record in records]
