"""A client as people write it, with a handler that takes its time: run as a program of its own.

    python ordinary_client.py LIBRARY URL HANDLER_S [--reconnect]

It prints a line for each outcome that its handler begins with (wall time, camera, epoch, seq,
missed, and the outcome's own time), and one when a connection has ended: the close code, and from
when to when it lasted. With `ack=` in the URL it acknowledges each message once it is handled. With
`--reconnect` it comes back then, with `since`; otherwise it ends. SIGTERM ends it in any case.

`framefan-sync` is `framefan.client.connect_sync`: it comes back by itself, without a close code,
and acknowledges by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

ABNORMAL = 1006
_AGAIN_S = 0.1


def say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


class Progress:
    """How far the handler is: on this connection for `ack`, altogether for `since`."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.acknowledges = "ack=" in url
        self._handled = 0
        self._last: dict[str, str] = {}

    def connects(self) -> str:
        """Where to, now."""
        self._handled = 0
        if not self._last:
            return self._url
        since = ",".join(f"{camera}:{last}" for camera, last in self._last.items())
        return f"{self._url}{'&' if '?' in self._url else '?'}since={since}"

    def handles(self, text: str | bytes) -> bool:
        """Whether this is an outcome, which the handler then takes its time for."""
        message = json.loads(text)
        if message["type"] not in ("result", "error"):
            return False
        self._last[message["camera"]] = f"{message['epoch']}:{message['seq']}"
        told = {name: message[name] for name in ("camera", "epoch", "seq", "missed", "ts")}
        say(at=time.time(), **told)
        return True

    def ack(self) -> str:
        """One message more is handled."""
        self._handled += 1
        return json.dumps({"ack": self._handled})


async def use_websockets(progress: Progress, handler_s: float, **options: Any) -> int | None:
    import websockets

    async with websockets.connect(progress.connects(), **options) as connection:
        with contextlib.suppress(websockets.ConnectionClosed):
            async for text in connection:
                if progress.handles(text):
                    await asyncio.sleep(handler_s)
                if progress.acknowledges:
                    await connection.send(progress.ack())
    return connection.close_code


def use_websockets_sync(progress: Progress, handler_s: float) -> int | None:
    import websockets
    from websockets.sync.client import connect

    with (
        connect(progress.connects()) as connection,
        contextlib.suppress(websockets.ConnectionClosed),
    ):
        for text in connection:
            if progress.handles(text):
                time.sleep(handler_s)
            if progress.acknowledges:
                connection.send(progress.ack())
    return connection.close_code


def use_websocket_client(progress: Progress, handler_s: float) -> int | None:
    import websocket

    codes: list[int | None] = [None]

    def on_message(client: Any, text: str) -> None:
        if progress.handles(text):
            time.sleep(handler_s)
        if progress.acknowledges:
            client.send(progress.ack())

    def on_close(_: Any, code: int | None, __: Any) -> None:
        codes.append(code)

    address = progress.connects()
    websocket.WebSocketApp(address, on_message=on_message, on_close=on_close).run_forever()
    return codes[-1]


async def use_aiohttp(progress: Progress, handler_s: float) -> int | None:
    import aiohttp

    address = progress.connects()
    async with aiohttp.ClientSession() as session, session.ws_connect(address) as connection:
        async for each in connection:
            if progress.handles(each.data):
                await asyncio.sleep(handler_s)
            if progress.acknowledges:
                await connection.send_str(progress.ack())
        return connection.close_code


def use_framefan_sync(url: str, handler_s: float) -> None:
    from framefan.client import connect_sync
    from framefan.ipc.protocol import Failure, Result, Resumed

    began, resumed = time.time(), set[str]()
    with connect_sync(url) as feed:
        for each in feed.messages():
            now = time.time()
            if isinstance(each, Resumed):  # one for each camera of a connection
                if not resumed or each.camera in resumed:
                    say(closed=None, began=began, at=now)
                    began, resumed = now, set()
                resumed.add(each.camera)
            elif isinstance(each, Result | Failure):
                told = {name: getattr(each, name) for name in ("camera", "epoch", "seq", "missed")}
                say(at=now, ts=each.ts, **told)
                time.sleep(handler_s)


def read(library: str, progress: Progress, handler_s: float) -> int | None:
    """One connection, to its end; its close code."""
    match library:
        case "websockets":
            return asyncio.run(use_websockets(progress, handler_s))
        case "websockets-1":
            return asyncio.run(use_websockets(progress, handler_s, max_queue=1))
        case "websockets-sync":
            return use_websockets_sync(progress, handler_s)
        case "websocket-client":
            return use_websocket_client(progress, handler_s)
        case "aiohttp":
            return asyncio.run(use_aiohttp(progress, handler_s))
    raise ValueError(library)


def read_once(connection: Callable[[], int | None]) -> None:
    began, error = time.time(), ""
    code: int | None = None
    try:
        code = connection()
    except Exception as raised:  # noqa: BLE001 - each library has its own; a reader judges it
        error = repr(raised)
    say(closed=code or ABNORMAL, error=error, began=began, at=time.time())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("library")
    parser.add_argument("url")
    parser.add_argument("handler_s", type=float)
    parser.add_argument("--reconnect", action="store_true")
    given = parser.parse_args()
    if given.library == "framefan-sync":
        use_framefan_sync(given.url, given.handler_s)
        return
    progress = Progress(given.url)
    read_once(lambda: read(given.library, progress, given.handler_s))
    while given.reconnect:
        time.sleep(_AGAIN_S)
        read_once(lambda: read(given.library, progress, given.handler_s))


if __name__ == "__main__":
    main()
