"""A gateway in a loop and thread of its own, for tests whose thread is another's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

from gateway_fakes import parts, status
from gateway_server import Gateway

from framefan.base import clock


class Feeder:
    """A gateway in a loop and thread of its own: playwright has this one's."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever)
        self._thread.start()
        self.gateway = Gateway()
        self.do(self.gateway.start)

    def do(self, what: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        async def call() -> Any:
            found = what(*arguments, **named)
            return await found if asyncio.iscoroutine(found) else found

        return asyncio.run_coroutine_threadsafe(call(), self.loop).result(20)

    def take(self, topic: str, record: Any) -> None:
        def took() -> None:
            self.gateway.intake.take(parts(topic, record), clock.now(), clock.wall())
            self.gateway.server.flush_soon()

        self.do(took)

    def status(self, name: str, reason: str = "", **changes: Any) -> None:
        told = status(name, reason=reason, ts=clock.wall(), **changes)
        self.take("status/cam/", told)

    def close(self) -> None:
        self.do(self.gateway.server.close)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()
