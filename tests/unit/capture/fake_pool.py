"""The pool and the supervisor played by a test, against the real capture process."""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from waiting import wait_until

from framefan.base import clock
from framefan.errors import LinkClosed
from framefan.ipc import links, processes
from framefan.ipc.messages import (
    Fatal,
    Free,
    HelloCapture,
    Progress,
    Ready,
    RingMade,
    Slots,
    SourceStatus,
    Stop,
    ToPool,
    ToSupervisor,
    Welcome,
)
from framefan.ipc.ring import RingReader
from framefan.settings.run import CameraSettings, Settings
from framefan.settings.secret import SourceText
from framefan_capture.sources.scene import read_number

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from numpy.typing import NDArray


class FakePool:
    """Listens like the pool, starts the capture like the supervisor, records what it says."""

    def __init__(self, folder: Path, source: str, slots: int = 5, **options: Any) -> None:
        """`options` are fields of CameraSettings."""
        camera = CameraSettings(name="cam1", source=SourceText(source), **options)
        self.settings = Settings(run_dir=str(folder), cameras=(camera,))
        self.slots = slots
        self.first_frame: int | None = None
        """What Welcome says; None: what the hello said."""
        self.says_ended = False
        self.free_at_once = True
        self.is_away = False
        """Whether nobody takes the connections that wait at the socket."""
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.settings.path("pool"))
        self.listener.listen()
        self.listener.setblocking(False)
        self.link: links.Link[Any] | None = None
        self.link_closed = False
        self.supervisor_closed = False
        self.started_at = clock.now()
        self.child = processes.Child(processes.CAPTURE, "cam1", self.settings, ToSupervisor)
        self.hellos: list[HelloCapture] = []
        self.progress: list[Progress] = []
        self.fatal: list[Fatal] = []
        self._forget()

    def _forget(self) -> None:
        self.rings: dict[int, RingReader] = {}
        self.made: list[RingMade] = []
        self.ready: list[Ready] = []
        self.numbers: list[int | None] = []
        """Read out of the picture at the moment its Ready arrived."""
        self.statuses: list[SourceStatus] = []
        self.held: set[tuple[int, int]] = set()
        """(ring, slot) that are ours."""
        self.reused: list[Ready] = []
        """Frames in slots that were not free: must stay empty."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.child.kill()
        if self.link is not None:
            self.link.close()
        self.listener.close()

    # ---- playing -------------------------------------------------------------------------------

    def pump(self) -> None:
        """Take in everything that has arrived on both links."""
        self._accept()
        if self.link is not None and not self.link_closed:
            try:
                for message in self.link.receive():
                    self._from_capture(message)
            except LinkClosed:
                self.link_closed = True
        if not self.supervisor_closed:
            try:
                for message in self.child.link.receive():
                    (self.fatal if isinstance(message, Fatal) else self.progress).append(message)
            except LinkClosed:
                self.supervisor_closed = True

    def _accept(self) -> None:
        if self.link is None and not self.is_away:
            with contextlib.suppress(BlockingIOError):
                self.link = links.Link(self.listener.accept()[0], ToPool)
                self.link_closed = False

    def _from_capture(self, message: Any) -> None:
        assert self.link is not None
        match message:
            case HelloCapture():
                self.hellos.append(message)
                frame = message.frame if self.first_frame is None else self.first_frame
                self.link.send(Welcome("e1", frame, self.slots, self.says_ended))
            case RingMade():
                fd = self.link.take_fd()
                self.rings[message.ring] = RingReader(
                    fd, message.ring, message.slots, message.slot_bytes
                )
                self.made.append(message)
            case Ready():
                self._on_ready(message)
            case SourceStatus():
                self.statuses.append(message)

    def _on_ready(self, message: Ready) -> None:
        key = (message.ring, message.slot)
        if key in self.held:
            self.reused.append(message)
        self.held.add(key)
        self.ready.append(message)
        self.numbers.append(read_number(self.image(message)))
        if self.free_at_once:
            self.free(message)

    def image(self, ready: Ready) -> NDArray[np.uint8]:
        size = ready.width * ready.height * 3
        flat = self.rings[ready.ring].base(ready.slot, size)
        return flat.reshape(ready.height, ready.width, 3)

    def free(self, *frames: Ready) -> None:
        assert self.link is not None
        for ready in frames:
            self.held.discard((ready.ring, ready.slot))
            with contextlib.suppress(LinkClosed):
                self.link.send(Free(ready.ring, [ready.slot]))

    def resize(self, slots: int) -> None:
        assert self.link is not None
        self.link.send(Slots(slots))

    def die(self) -> None:
        """The pool is gone; the next `pump` is a new one that knows nothing."""
        assert self.link is not None
        self.link.close()
        self.link = None
        self._forget()

    def stop(self) -> None:
        self.child.link.send(Stop())

    # ---- waiting -------------------------------------------------------------------------------

    def until(self, condition: Callable[[FakePool], object], seconds: float = 10.0) -> None:
        def came_true() -> bool:
            self.pump()
            return bool(condition(self))

        wait_until(came_true, seconds, "what the test waits for")

    def until_exit(self, seconds: float = 5.0) -> int:
        def ended() -> bool:
            self.pump()
            return self.child.process.poll() is not None

        wait_until(ended, seconds, "the end of the capture")
        self.pump()
        return int(self.child.process.returncode)

    @property
    def status(self) -> SourceStatus:
        return self.statuses[-1]

    @property
    def state(self) -> str:
        return self.statuses[-1].state if self.statuses else ""

    def cpu_s(self) -> float:
        """Processor seconds that the capture has used so far."""
        import psutil

        used = psutil.Process(self.child.pid).cpu_times()
        return float(used.user + used.system)


def balanced(pool: FakePool) -> bool:
    """The pool's half of the ledger: each captured frame is accounted for."""
    last = max(pool.ready[-1:] + pool.statuses[-1:], key=lambda message: message.captured)
    return last.captured == len(pool.ready) + last.bad + last.no_slot + last.max_fps + last.still
