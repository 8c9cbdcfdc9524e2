"""Previews: which pictures of which cameras this gateway's clients need, and snapshots.

The gateway subscribes on the bus only to pictures that its clients need, so workers encode no
others. A snapshot subscribes to a picture until the first one arrives.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING

from framefan.ipc import bus
from framefan_gateway.delivery.wire import Picture

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from framefan.ipc.records import PreviewRecord
    from framefan_gateway.delivery.hub import Hub

MOST_SNAPSHOTS = 32
"""The most pending snapshots in a run; each is a request that holds a connection."""


class Busy(Exception):
    """The limit on pending snapshots is reached."""


class Previews:
    def __init__(
        self,
        hub: Hub,
        cameras: Callable[[], Collection[str]],
        gateways: Callable[[], int] = lambda: 1,
    ) -> None:
        """`cameras` returns all names; call `look` when they change. `gateways` returns how many
        gateways share the limit on snapshots.
        """
        self._gateways = gateways
        self._hub = hub
        self._cameras = cameras
        self._waiting: defaultdict[str, set[asyncio.Future[bytes]]] = defaultdict(set)
        """By topic, the pending snapshots."""
        self._topics: set[str] = set()
        self.follow: Callable[[set[str]], None] = lambda _topics: None
        """Called with all topics to subscribe to, when they change."""
        hub.on_regroup = self.look

    def look(self) -> None:
        """Update the topics: subscriptions, snapshots or cameras may have changed."""
        topics = set(self._waiting)
        for subscription in self._hub.subscriptions:
            if subscription.preview:
                covered = filter(subscription.covers, self._cameras())
                topics.update(_topic(camera, str(subscription.preview)) for camera in covered)
        if topics != self._topics:
            self._topics = topics
            self.follow(topics)

    def arrived(self, record: PreviewRecord) -> None:
        """Take a picture whose result has been taken before."""
        waiting = self._waiting.pop(_topic(record.camera, record.picture), None)
        if waiting:
            for future in waiting:
                if not future.done():
                    future.set_result(record.jpeg)
            self.look()
        self._hub.tell(Picture(record))

    async def snapshot(self, camera: str, picture: str, seconds: float) -> bytes:
        """The next picture of a camera. Raises Busy, or TimeoutError if none comes in time."""
        topic = _topic(camera, picture)
        if sum(map(len, self._waiting.values())) >= max(1, MOST_SNAPSHOTS // self._gateways()):
            raise Busy
        future = asyncio.get_running_loop().create_future()
        self._waiting[topic].add(future)
        self.look()
        try:
            return await asyncio.wait_for(future, seconds)
        finally:
            waiting = self._waiting.get(topic)
            if waiting is not None:
                waiting.discard(future)
                if not waiting:
                    del self._waiting[topic]
                    self.look()


def _topic(camera: str, picture: str) -> str:
    return f"{bus.PREVIEW}{camera}/{picture}/"
