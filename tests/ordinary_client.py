"""A client as people write it, with a handler that takes its time: run as a program of its own.

    python ordinary_client.py LIBRARY URL HANDLER_S

It prints a line for each result that its handler begins with (wall time, epoch, seq, missed, and
the result's own time), and one when it is closed. With `ack=` in the URL it acknowledges each
message once it is handled. SIGTERM ends it.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from typing import Any

_count = itertools.count(1)


def say(**facts: Any) -> None:
    print(json.dumps(facts), flush=True)


def handles(text: str | bytes) -> bool:
    """Whether this is a result, which the handler then takes its time for."""
    message = json.loads(text)
    if message["type"] != "result":
        return False
    told = {name: message[name] for name in ("epoch", "seq", "missed", "ts")}
    say(at=time.time(), **told)
    return True


def ack() -> str:
    return json.dumps({"ack": next(_count)})


async def use_websockets(url: str, handler_s: float, **options: Any) -> None:
    import websockets

    try:
        async with websockets.connect(url, **options) as connection:
            async for text in connection:
                if handles(text):
                    await asyncio.sleep(handler_s)
                if "ack=" in url:
                    await connection.send(ack())
    except websockets.ConnectionClosed as error:
        say(closed=str(error))


def use_websockets_sync(url: str, handler_s: float) -> None:
    import websockets
    from websockets.sync.client import connect

    try:
        with connect(url) as connection:
            for text in connection:
                if handles(text):
                    time.sleep(handler_s)
                if "ack=" in url:
                    connection.send(ack())
    except websockets.ConnectionClosed as error:
        say(closed=str(error))


def use_websocket_client(url: str, handler_s: float) -> None:
    import websocket

    def on_message(client: Any, text: str) -> None:
        if handles(text):
            time.sleep(handler_s)
        if "ack=" in url:
            client.send(ack())

    websocket.WebSocketApp(url, on_message=on_message).run_forever()
    say(closed="run_forever ended")


async def use_aiohttp(url: str, handler_s: float) -> None:
    import aiohttp

    async with aiohttp.ClientSession() as session, session.ws_connect(url) as connection:
        async for each in connection:
            if handles(each.data):
                await asyncio.sleep(handler_s)
            if "ack=" in url:
                await connection.send_str(ack())
        say(closed=str(connection.close_code))


def main(library: str, url: str, handler_s: float) -> None:
    match library:
        case "websockets":
            asyncio.run(use_websockets(url, handler_s))
        case "websockets-1":
            asyncio.run(use_websockets(url, handler_s, max_queue=1))
        case "websockets-sync":
            use_websockets_sync(url, handler_s)
        case "websocket-client":
            use_websocket_client(url, handler_s)
        case "aiohttp":
            asyncio.run(use_aiohttp(url, handler_s))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], float(sys.argv[3]))
