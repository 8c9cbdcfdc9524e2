"""Previews: which pictures of which cameras this gateway's clients need, and snapshots.

The gateway subscribes on the bus only to pictures that its clients need, so workers encode no
others. A snapshot subscribes to a picture until the first one arrives.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import TYPE_CHECKING

from framefan.ipc import bus

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from framefan_gateway.delivery.subscription import Subscription
    from framefan_gateway.delivery.wire import Picture

MOST_SNAPSHOTS = 32
"""The most pending snapshots in a run; each is a request that holds a connection."""


class Busy(Exception):
    """The limit on pending snapshots is reached."""


class Previews:
    """Knows which topics are needed. The reader of the bus waits for changes of them.

    The hub reports subscriptions to it, and the server reports cameras and pictures.
    """

    def __init__(
        self, cameras: Collection[str] = (), gateways: Callable[[], int] = lambda: 1
    ) -> None:
        """`cameras`: the names of all. `gateways` returns how many share the limit on snapshots."""
        self._gateways = gateways
        self._cameras = cameras
        self._subscriptions: list[Subscription] = []
        """Those with pictures."""
        self._waiting: defaultdict[str, set[asyncio.Future[bytes]]] = defaultdict(set)
        """By topic, the pending snapshots."""
        self.topics: frozenset[str] = frozenset()
        """The topics to subscribe to on the bus."""
        self._changed = asyncio.Event()

    async def wait_changed(self, known: Collection[str]) -> frozenset[str]:
        """Wait until the topics differ from `known`; return them. For one caller at a time."""
        while self.topics == known:
            self._changed.clear()
            await self._changed.wait()
        return self.topics

    def on_subscriptions(self, subscriptions: Iterable[Subscription]) -> None:
        """The clients' subscriptions have changed."""
        self._subscriptions = [each for each in subscriptions if each.preview]
        self._update()

    def on_cameras(self, cameras: Collection[str]) -> None:
        """Cameras may have been added or removed."""
        self._cameras = cameras
        self._update()

    def on_picture(self, picture: Picture) -> None:
        """A picture was delivered: answer the snapshots that wait for it."""
        waiting = self._waiting.pop(_topic(picture.camera, picture.picture), None)
        if waiting:
            for future in waiting:
                if not future.done():
                    future.set_result(picture.jpeg)
            self._update()

    def _update(self) -> None:
        topics = set(self._waiting)
        for subscription in self._subscriptions:
            covered = filter(subscription.covers, self._cameras)
            topics.update(_topic(camera, str(subscription.preview)) for camera in covered)
        if topics != self.topics:
            self.topics = frozenset(topics)
            self._changed.set()

    async def snapshot(self, camera: str, picture: str, seconds: float) -> bytes:
        """The next picture of a camera. Raises Busy, or TimeoutError if none comes in time."""
        topic = _topic(camera, picture)
        if sum(map(len, self._waiting.values())) >= max(1, MOST_SNAPSHOTS // self._gateways()):
            raise Busy
        future = asyncio.get_running_loop().create_future()
        self._waiting[topic].add(future)
        self._update()
        try:
            return await asyncio.wait_for(future, seconds)
        finally:
            waiting = self._waiting.get(topic)
            if waiting is not None:
                waiting.discard(future)
                if not waiting:
                    del self._waiting[topic]
                    self._update()


def _topic(camera: str, picture: str) -> str:
    return f"{bus.PREVIEW}{camera}/{picture}/"
