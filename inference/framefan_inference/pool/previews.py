"""Previews in the pool: which pictures are watched, and when each is sent: after its result.

1. A subscription to `preview/CAMERA/PICTURE/` at any of the bus's sockets that carry pictures
   (places) asks for that picture. Each socket reports its first subscriber and the end of its last
   one. A subscription to a mere prefix of a topic asks for nothing.
2. Each lease lists the pictures that its worker must make. Pictures that nobody watches are not
   made.
3. The worker sends pictures after the outcome, so a result never waits for its picture. A picture
   whose result has not left yet is held until it does, within a limit. Pictures of a lost seq or of
   an unknown lease are dropped.

Pure: topics and messages are arguments.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from typing import TYPE_CHECKING, NamedTuple

from framefan.ipc import bus
from framefan.ipc.records import PICTURES
from framefan.settings.run import NAME

if TYPE_CHECKING:
    from framefan.ipc.outcomes import WorkerPreview


_REMEMBERED = 256
_HELD = 32
"""Most leases with held pictures: pictures are large, and a hanging worker delays results."""
RESULTS = 0
"""The place of the socket for results; the sockets for pictures are 1, 2 and 3."""


class Preview(NamedTuple):
    head: WorkerPreview
    jpeg: bytes


class Previews:
    def __init__(self, most_bytes: int) -> None:
        """`most_bytes`: most bytes of pictures that are held until their results leave."""
        self._most_bytes = most_bytes
        self._wanted: dict[str, tuple[str, ...]] = {}
        self._places: dict[str, int] = {}
        """By topic, the places where it is subscribed to, one bit each."""
        self._begun: set[str] = set()
        """Cameras of which somebody began to watch a picture."""
        self._held: dict[int, list[Preview]] = {}
        """By lease, the pictures whose result has not left yet; the oldest first."""
        self._held_bytes = 0
        self._told: deque[int] = deque(maxlen=_REMEMBERED)
        """The latest leases whose results have left."""
        self.made: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """By camera, how many of each picture were made."""
        self.cpu_s: defaultdict[str, float] = defaultdict(float)
        """By camera, the workers' CPU time for pictures."""

    def watched(self, topic: str, starts: bool, place: int) -> bool:
        """A subscription begins or ends at this place; returns whether it is one to previews."""
        if not topic.startswith(bus.PREVIEW):
            return False
        camera, _, picture = topic[len(bus.PREVIEW) : -1].partition("/")
        if topic.endswith("/") and NAME.fullmatch(camera) and picture in PICTURES:
            bit, places = 1 << place, self._places.pop(topic, 0)
            places = places | bit if starts else places & ~bit
            others = tuple(each for each in self.of(camera) if each != picture)
            if places:
                self._places[topic] = places
            self._wanted[camera] = (*others, picture) if places else others
            if not self._wanted[camera]:
                del self._wanted[camera]
            if starts:
                self._begun.add(camera)
        return True

    def take_begun(self) -> set[str]:
        """The cameras of which somebody began to watch a picture since the last call."""
        begun = self._begun
        if begun:
            self._begun = set()
        return begun

    def places(self, topic: str) -> int:
        """The places where this picture is watched, one bit each; 0: nowhere."""
        return self._places.get(topic, 0)

    def of(self, camera: str) -> tuple[str, ...]:
        """The pictures that the next lease of this camera must ask for."""
        return self._wanted.get(camera, ())

    def arrived(self, preview: Preview, is_open: bool) -> list[Preview]:
        """A picture has arrived; returns what may be sent now. `is_open`: its seq has not left."""
        head = preview.head
        self.made[head.camera][head.picture] += 1
        self.cpu_s[head.camera] += head.cpu_s
        if not is_open:
            return [preview] if head.lease in self._told else []
        self._held.setdefault(head.lease, []).append(preview)
        self._held_bytes += len(preview.jpeg)
        while len(self._held) > _HELD or self._held_bytes > self._most_bytes:
            self._take_held(next(iter(self._held)))
        return []

    def left(self, lease: int, is_lost: bool) -> list[Preview]:
        """A seq has left; returns the held pictures of its frame, which may be sent now."""
        held = self._take_held(lease)
        if is_lost:
            return []
        self._told.append(lease)
        return held

    def _take_held(self, lease: int) -> list[Preview]:
        held = self._held.pop(lease, [])
        self._held_bytes -= sum(len(each.jpeg) for each in held)
        return held

    def forget(self, camera: str) -> None:
        """The camera has left: drop its counters; subscriptions stay in case it returns."""
        self.made.pop(camera, None)
        self.cpu_s.pop(camera, None)
