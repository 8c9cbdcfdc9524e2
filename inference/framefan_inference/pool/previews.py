"""Previews in the pool: which pictures somebody watches, and that each follows its result.

1. Who subscribes to `preview/CAMERA/PICTURE/` watches it, at any of the bus's sockets that have
   pictures (places); each says when the first comes and when the last has gone. A subscription to
   less than a whole topic asks for nothing.
2. A lease says which pictures its worker is to make. Nobody watches: no worker makes any.
3. The worker sends them behind the outcome, so its result does not wait for a picture. A picture
   whose result still waits for its turn waits with it, so long as few do; of a seq that is lost,
   or of no lease of ours, none is sent.

Pure: topics and messages come in.
"""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from typing import TYPE_CHECKING, NamedTuple

from framefan.ipc import bus
from framefan.ipc.records import PICTURES
from framefan.settings.run import NAME

if TYPE_CHECKING:
    from framefan.ipc.messages import WorkerPreview


_REMEMBERED = 256
_HELD = 32
"""Leases: pictures are large, and behind a worker that hangs results may wait for long."""
RESULTS = 0
"""The place of the results' socket; the sockets for pictures are 1, 2 and 3."""


class Preview(NamedTuple):
    head: WorkerPreview
    jpeg: bytes


class Previews:
    def __init__(self, most_bytes: int) -> None:
        """`most_bytes`: of pictures that wait for their results."""
        self._most_bytes = most_bytes
        self._wanted: dict[str, tuple[str, ...]] = {}
        self._places: dict[str, int] = {}
        """By topic, where it is subscribed to: one bit for each place."""
        self._held: dict[int, list[Preview]] = {}
        """By lease, those whose result has not left yet; the oldest first."""
        self._held_bytes = 0
        self._told: deque[int] = deque(maxlen=_REMEMBERED)
        """The leases whose results left last."""
        self.made: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """By camera, how many of each picture."""
        self.cpu_s: defaultdict[str, float] = defaultdict(float)
        """By camera, the workers' CPU time for them."""

    def watched(self, topic: str, starts: bool, place: int) -> bool:
        """A subscription begins or ends at this place; answers whether it was one to previews."""
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
        return True

    def places(self, topic: str) -> int:
        """Where this picture is watched, one bit for each place; 0: nowhere."""
        return self._places.get(topic, 0)

    def of(self, camera: str) -> tuple[str, ...]:
        """The pictures that the next lease of this camera asks for."""
        return self._wanted.get(camera, ())

    def arrived(self, preview: Preview, is_open: bool) -> list[Preview]:
        """What may be sent now. `is_open`: its seq has not left yet."""
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
        """A seq has left: what was made of its frame may follow."""
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
        """The camera has left; who watches it may see it come back."""
        self.made.pop(camera, None)
        self.cpu_s.pop(camera, None)
