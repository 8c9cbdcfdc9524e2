"""An ordinary client with `framefan.client`, which comes back and acknowledges by itself."""

import asyncio
import inspect
import logging
from typing import Any

from observing import Observer

from framefan.client import connect

observer = Observer()


class Told(logging.Handler):
    """What the feed logs when its connection is gone."""

    def emit(self, record: logging.LogRecord) -> None:
        observer.closed(record.getMessage())


def options() -> dict[str, Any]:
    found: dict[str, Any] = {"token": observer.token} if observer.token else {}
    if "ack" in inspect.signature(connect).parameters:
        return found | {"ack": observer.ack}
    if observer.ack:
        raise SystemExit("this framefan.client acknowledges nothing")
    return found


async def main() -> None:
    logging.getLogger("framefan.client").addHandler(Told())
    asked, observer.ack = options(), None
    async with connect(observer.url(), **asked, **observer.options) as feed:
        observer.opened()
        async for result in feed:
            message = {name: getattr(result, name) for name in _NAMES}
            await asyncio.sleep(observer.handles(message | {"type": "result"}))


_NAMES = ("camera", "epoch", "seq", "missed", "ts")

asyncio.run(main())
