"""The cameras of a run: the links of their capture processes, and the rings these fill.

A capture's slots come in as Ready and go back as Free, on its link and for its newest ring only.
When the link ends nobody fills its rings any more: they go as soon as no frame stands in them.
"""

from __future__ import annotations

import contextlib
from functools import partial
from typing import TYPE_CHECKING, Any

from framefan import logs
from framefan.errors import LinkClosed, LinkError, LinkGarbled
from framefan.messages import Attach, Free, HelloCapture, Ready, RingMade, SourceStatus, Welcome
from framefan_inference.cameras import Camera
from framefan_inference.rings import Rings
from framefan_inference.schedule import Frame

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from framefan.links import Link
    from framefan.messages import Children, ToPool
    from framefan_inference.pool import Pool
    from framefan_inference.schedule import Freed


class Captures:
    """Cameras by name, each with the link of its capture while there is one."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self.cameras = {camera.name: Camera(camera) for camera in pool.settings.cameras}
        self.rings = Rings()

    # ---- links ------------------------------------------------------------------------------

    def greet(self, link: Link[ToPool], hello: HelloCapture, rest: Sequence[Any]) -> None:
        """A capture process has connected; `rest` came together with its hello."""
        camera = self.cameras[hello.camera]
        if camera.link is not None:  # its predecessor's end has not been read yet
            self._pool.drop(camera.link)
        self._orphan(camera)
        frame = camera.hello(link, hello.pid, hello.frame)
        with contextlib.suppress(LinkClosed):
            link.send(Welcome(self._pool.publisher.epoch, frame, self._pool.settings.slots))
        self._pool.loop.watch(link.fileno(), partial(self._listen, camera, link))
        self._listen(camera, link, rest)

    def _listen(self, camera: Camera, link: Link[ToPool], early: Sequence[Any] = ()) -> None:
        try:
            self._take_in(camera, link, early or link.receive())
        except LinkError as error:
            logs.debug("capture link ended", camera=camera.settings.name, how=str(error))
            self._pool.drop(link)
            if camera.link is link:
                self._orphan(camera)
                self._pool.hear_supervisor()  # a stop ends captures too, and that is no news
                if not self._pool.stopping:
                    self._pool.status(camera.gone())

    def _take_in(self, camera: Camera, link: Link[ToPool], messages: Iterable[Any]) -> None:
        name = camera.settings.name
        for message in messages:
            match message:
                case Ready(ring):
                    if not self.rings.is_current(name, ring):
                        raise LinkGarbled(f"a frame stands in ring {ring}, which was never made")
                    self.free(self._pool.ledger.ready(name, _frame(message)))
                    self._pool.status(camera.ready(message))
                case SourceStatus():
                    self._pool.status(camera.source_status(message))
                case RingMade(ring, slots, slot_bytes):
                    self.rings.made(Attach(name, ring, slots, slot_bytes), link.take_fd())
                    self.collect()

    # ---- what the supervisor knows ----------------------------------------------------------

    def heard_of(self, children: Children) -> None:
        for child in children.children:
            if child.stage == "capture" and child.role in self.cameras:
                self._pool.status(self.cameras[child.role].child(child))

    # ---- slots and rings --------------------------------------------------------------------

    def free(self, freed: Iterable[Freed]) -> None:
        """Slots go back to the captures they came from, if those still want them."""
        for camera, ring, slot in freed:
            link = self.cameras[camera].link
            if link and self.rings.is_current(camera, ring):
                with contextlib.suppress(LinkClosed):  # its end is read elsewhere
                    link.send(Free(ring, [slot]))

    def _orphan(self, camera: Camera) -> None:
        """Nobody fills the camera's rings any more."""
        self.rings.orphan(camera.settings.name)
        self.collect()

    def collect(self) -> None:
        """Let go of retired rings in which no frame stands, here and in the workers."""
        for camera, ring in self.rings.collect(self._pool.ledger.schedule.uses):
            for worker in self._pool.workers.values():
                worker.detach(camera, ring)


def _frame(message: Ready) -> Frame:
    return Frame(
        message.ring,
        message.slot,
        message.frame,
        message.captured_at,
        message.ts,
        message.width,
        message.height,
    )
