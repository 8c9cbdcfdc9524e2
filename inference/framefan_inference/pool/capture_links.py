"""The cameras of a run: the links to their capture processes, and the rings that these write.

A slot arrives as Ready and returns as Free, on the capture's link and for its newest ring only.
When the link ends, nothing writes to its rings any more. Each is dropped once it holds no frame.

A reload adds and removes cameras. A removed camera loses its link at once, and its waiting frames
are superseded. It leaves when its leased frames are published. The last messages about it are
`ended (removed)` and one table with its final counters. These counters are kept, so that the camera
resumes with them if it is added again within this epoch.
"""

from __future__ import annotations

import contextlib
import math
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from framefan.base import clock, logs
from framefan.errors import LinkClosed, LinkError, LinkGarbled
from framefan.ipc.messages import (
    Attach,
    FrameWanted,
    Free,
    HelloCapture,
    Ready,
    RingMade,
    Slots,
    SourceStatus,
    Welcome,
)
from framefan.settings.run import RUN_PREDICTOR
from framefan_inference.leases.camera_queue import Frame
from framefan_inference.pool.cameras import Camera

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from framefan.ipc.links import Link
    from framefan.ipc.messages import Children, ToPool
    from framefan.ipc.records import CameraFacts
    from framefan.settings.run import CameraSettings
    from framefan_inference.leases.camera_queue import Freed
    from framefan_inference.leases.ledger import Account, Ledger
    from framefan_inference.pool.failures import Failures
    from framefan_inference.pool.loop import Loop
    from framefan_inference.pool.publisher import Publisher
    from framefan_inference.pool.rings import Rings
    from framefan_inference.pool.supervisor_link import SupervisorLink


PARKED = 256
"""How many removed cameras are remembered; beyond it the one parked first is forgotten."""


class Parked(NamedTuple):
    camera: Camera
    account: Account


class CaptureLinks:
    """Cameras by name, each with the link of its capture while there is one."""

    def __init__(
        self,
        supervisor: SupervisorLink,
        loop: Loop,
        ledger: Ledger,
        publisher: Publisher,
        rings: Rings,
    ) -> None:
        self._supervisor = supervisor
        self._loop = loop
        self._ledger = ledger
        self._publisher = publisher
        self._rings = rings
        self.cameras = {camera.name: Camera(camera) for camera in supervisor.settings.cameras}
        self._leaving: set[str] = set()
        self._parked: dict[str, Parked] = {}

    # ---- links ------------------------------------------------------------------------------

    def greet(self, link: Link[ToPool], hello: HelloCapture, rest: Sequence[Any]) -> None:
        """A capture process has connected; `rest`: messages that came with its hello."""
        camera = self.cameras.get(hello.camera)
        if camera is None or camera.is_removed:  # it is being stopped, or connects again later
            logs.debug("capture of an unknown or removed camera", camera=hello.camera)
            self._loop.drop(link)
            return
        if camera.link is not None:  # the end of its predecessor's link has not been read yet
            self._loop.drop(camera.link)
        self._orphan(camera)
        self._publisher.status(camera.hello(link, hello))
        epoch = self._publisher.epoch
        slots = self._supervisor.settings.of(camera.settings.predictor).slots
        facts = (camera.next_frame, slots, camera.has_ended, camera.began)
        with contextlib.suppress(LinkClosed):  # `_listen` below reads the end of the link
            link.send(Welcome(epoch, *facts))
        self._loop.watch(link.fileno(), partial(self._listen, camera, link))
        self._listen(camera, link, rest)

    def _listen(self, camera: Camera, link: Link[ToPool], early: Sequence[Any] = ()) -> None:
        try:
            self._take_in(camera, link, early or link.receive())
        except LinkError as error:
            tell = logs.warning if isinstance(error, LinkGarbled) else logs.debug
            tell("capture link ended", camera=camera.settings.name, how=str(error))
            self._loop.drop(link)
            if camera.link is link:
                camera.link = None
                self._orphan(camera)
                if not self._supervisor.stopping:  # a stop ends captures too: publish no change
                    self._publisher.status(camera.gone())

    def _take_in(self, camera: Camera, link: Link[ToPool], messages: Iterable[Any]) -> None:
        name = camera.settings.name
        for message in messages:
            match message:
                case Ready(ring):
                    if not self._rings.is_current(name, ring):
                        raise LinkGarbled(f"a frame in ring {ring}, which was never announced")
                    self._ledger.ready(name, _frame(message), clock.now())
                    self._publisher.status(camera.ready(message))
                case SourceStatus():
                    self._publisher.status(camera.source_status(message))
                case RingMade(ring, slots, slot_bytes):
                    self._rings.made(Attach(name, ring, slots, slot_bytes), link.take_fd())

    # ---- reload -----------------------------------------------------------------------------

    def reload(self, cameras: Sequence[CameraSettings]) -> None:
        """Replace the set of cameras with this one."""
        names = {settings.name for settings in cameras}
        for camera in list(self.cameras.values()):
            if camera.settings.name not in names and not camera.is_removed:
                self._remove(camera)
        for settings in cameras:
            if settings.name in self.cameras:
                self._change(self.cameras[settings.name], settings)
            else:
                self._add(settings)

    def _add(self, settings: CameraSettings) -> None:
        was = self._parked.pop(settings.name, None)
        camera = Camera(settings, was.camera if was else None)
        self.cameras[settings.name] = camera
        account = was.account if was else None
        self._ledger.add(settings.name, settings.mode, account, settings.predictor)
        self._publisher.status(camera.added())

    def _change(self, camera: Camera, settings: CameraSettings) -> None:
        self._leaving.discard(settings.name)
        if settings.predictor != camera.settings.predictor:
            self._ledger.move(settings.name, settings.predictor)
            self._resize(camera, self._supervisor.settings.of(settings.predictor).slots)
        self._publisher.status(camera.change(settings))
        self._ledger.set_mode(settings.name, settings.mode)

    def _remove(self, camera: Camera) -> None:
        if camera.link is not None:
            self._loop.drop(camera.link)
        camera.remove()
        self._ledger.remove(camera.settings.name)  # frees the slots of waiting frames
        self._orphan(camera)
        self._leaving.add(camera.settings.name)

    def part(self) -> list[str]:
        """Publish the end of removed cameras whose every frame is settled and published.

        Returns their names; call `let_go` for each once the last table with them is published.
        """
        settled = [each for each in self._leaving if self._ledger.is_settled(each)]
        for name in settled:
            self._publisher.status(self.cameras[name].parted())
        return settled

    def let_go(self, name: str) -> None:
        """Drop a camera, except what it needs to resume if it is added again."""
        self._leaving.remove(name)
        self._parked[name] = Parked(self.cameras.pop(name), self._ledger.park(name))
        if len(self._parked) > PARKED:
            del self._parked[next(iter(self._parked))]

    # ---- state ------------------------------------------------------------------------------

    def look(self, now: float) -> float:
        """Publish which cameras have stalled; returns when the next one would, without frames."""
        due = math.inf
        for name, camera in self.cameras.items():
            waiting = self._ledger.queue(name).waits
            self._publisher.status(camera.tick(now, waiting))
            if now < camera.stalls_at < due:
                due = camera.stalls_at
        return due

    def measure(self, failures: Failures) -> dict[str, CameraFacts]:
        previews = self._publisher.previews
        found = {}
        for name, camera in self.cameras.items():
            facts = found[name] = camera.measure(self._ledger, self._rings.slots(name))
            facts.predictor_name = camera.settings.predictor or RUN_PREDICTOR
            facts.previews = dict(previews.made.get(name, {}))
            facts.preview_cpu_s = round(previews.cpu_s.get(name, 0.0), 6)
            facts.errors_in_row, facts.last_error = failures.in_row(name)
        return found

    @property
    def all_ended(self) -> bool:
        """Whether there is any camera, and the sources of all have ended."""
        stay = [camera for camera in self.cameras.values() if not camera.is_removed]
        return bool(stay) and all(camera.has_ended for camera in stay)

    def heard_of(self, children: Children) -> None:
        for child in children.children:
            if child.stage == "capture" and child.role in self.cameras:
                self._publisher.status(self.cameras[child.role].child(child))

    # ---- slots and rings --------------------------------------------------------------------

    def free(self, freed: Iterable[Freed]) -> None:
        """Return slots to the captures they came from, if those still use the ring."""
        for camera, ring, slot in freed:
            link = self.cameras[camera].link if camera in self.cameras else None
            if link and self._rings.is_current(camera, ring):
                with contextlib.suppress(LinkClosed):  # its end is read elsewhere
                    link.send(Free(ring, [slot]))

    def resize(self, predictor: str, slots: int) -> None:
        """Ask captures with fewer than `slots` slots for that many; the others keep theirs.

        Only those whose cameras have this predictor.
        """
        for camera in self.cameras.values():
            if (camera.settings.predictor or predictor) == predictor:
                self._resize(camera, slots)

    def _resize(self, camera: Camera, slots: int) -> None:
        if camera.link and self._rings.slots(camera.settings.name) < slots:
            with contextlib.suppress(LinkClosed):  # its end is read elsewhere
                camera.link.send(Slots(slots))

    def want_frames_for(self, predictor: str) -> None:
        """Somebody waits for a frame of a camera with this predictor: see `want_frames`."""
        of_it = self.cameras.items()
        self.want_frames([n for n, c in of_it if (c.settings.predictor or predictor) == predictor])

    def want_frames(self, names: Iterable[str]) -> None:
        """Somebody waits for a frame of these cameras: their motion gates let one pass."""
        for name in names:
            camera = self.cameras.get(name)
            if camera is not None and camera.link and camera.settings.gate != "off":
                with contextlib.suppress(LinkClosed):  # its end is read elsewhere
                    camera.link.send(FrameWanted())

    def _orphan(self, camera: Camera) -> None:
        """No capture writes to the camera's rings any more."""
        self._rings.orphan(camera.settings.name)


def _frame(message: Ready) -> Frame:
    return Frame(
        message.ring,
        message.slot,
        message.frame,
        message.captured_at,
        message.ts,
        message.width,
        message.height,
        message.pts,
    )
